import { SHARD_COUNT, ZONE_ID_PATTERN } from '@borough/topology';
import { z } from 'zod';
import { cellField, textField } from '../fields.js';
import { type RouteContract } from './route.js';

export const shardField = z
  .int()
  .min(0)
  .max(SHARD_COUNT - 1);
export const zoneIdField = z.string().regex(ZONE_ID_PATTERN);

/** One shard of the routing table; `heir` only while it moves. */
export const routingEntry = z.strictObject({
  shard: shardField,
  epoch: z.int().min(1),
  state: z.enum(['serving', 'moving', 'fenced']),
  owner: zoneIdField,
  heir: zoneIdField.optional(),
});

export const routingSnapshot = z.strictObject({
  /** Sum over all shards of 4 × epoch + state; only grows, so it shows a gap. */
  tableVersion: z.int().min(0),
  /** Counts the changes of the area map. */
  areaMapVersion: z.int().min(0),
  entries: z.array(routingEntry),
  /** The public address of each zone's router, by zone, where known. Routers add it; coordinators do not. */
  routers: z.record(zoneIdField, z.url()).optional(),
});
export type RoutingSnapshot = z.infer<typeof routingSnapshot>;

export const areaView = z.strictObject({ shard: shardField, name: z.string(), cells: z.array(cellField) });

export const areaMapView = z.strictObject({ areaMapVersion: z.int().min(0), areas: z.array(areaView) });
export type AreaMapView = z.infer<typeof areaMapView>;

export const createAreaRequest = z.strictObject({
  name: textField(100),
  /** H3 cells of any resolution; none may lie in, or hold, a cell of another area. */
  cells: z.array(cellField).min(1).max(10_000),
  /** The zone that is to own the new shard; without it, the zone that owns the fewest. */
  zone: zoneIdField.optional(),
});
export type CreateAreaRequest = z.infer<typeof createAreaRequest>;

export const createdArea = areaView.extend({ zone: zoneIdField });
export type CreatedArea = z.infer<typeof createdArea>;

export const getRouting = {
  method: 'get',
  path: '/v1/routing',
  summary: 'The whole routing table; ETag and 304',
  isTagged: false,
  answers: { 200: { description: 'Snapshot', body: routingSnapshot } },
  problems: ['no-majority', 'routing-unknown'],
} as const satisfies RouteContract;

/**
 * Server-sent events of a router, for clients. Each `event: routing` has `id:` = the table version after it and a
 * `RoutingUpdate` as data; the first one of a connection is whole unless `Last-Event-ID` shows that the client has the
 * table already. A comment line comes every 15 s even when nothing changes. Merge what comes; never guess.
 */
export const ROUTING_STREAM_PATH = '/v1/routing/stream';
export const ROUTING_EVENT = 'routing';

/** `isWhole`: these are all entries; otherwise only those that changed. */
export const routingUpdate = routingSnapshot.extend({ isWhole: z.boolean() });
export type RoutingUpdate = z.infer<typeof routingUpdate>;

export const getAreaMap = {
  method: 'get',
  path: '/v1/area-map',
  summary: 'Which cells belong to which shard; ETag and 304',
  isTagged: false,
  answers: { 200: { description: 'Snapshot', body: areaMapView } },
  problems: ['no-majority', 'routing-unknown'],
} as const satisfies RouteContract;

export const createArea = {
  method: 'post',
  path: '/ops/v1/areas',
  summary: 'Add an area with a shard of its own; the same name and cells again give the same area',
  isTagged: false,
  body: createAreaRequest,
  answers: {
    201: { description: 'Added', body: createdArea },
    200: { description: 'It was there already', body: createdArea },
  },
  problems: [
    'malformed-json',
    'body-too-deep',
    'body-too-large',
    'unsupported-media-type',
    'validation-failed',
    'area-overlaps',
    'area-name-taken',
    'no-free-shard',
    'no-majority',
    'stale-term',
    'zone-unavailable',
  ],
} as const satisfies RouteContract;
