import { z } from 'zod';
import { type RouteContract } from './route.js';
import { moveIdField } from './moves.js';
import { routingEntry, zoneIdField } from './routing.js';

export const zoneStatus = z.strictObject({
  zone: zoneIdField,
  /** Its database answers the coordinator. */
  isDatabaseReachable: z.boolean(),
  /** Its API says that it is ready; absent where the coordinator was given no address of it. */
  isApiReady: z.boolean().optional(),
  /** Shards it owns, in whatever state. */
  ownedShards: z.int().min(0),
  /** Zones each of its commits waits for; absent when its database does not answer. */
  waitsFor: z.array(zoneIdField).optional(),
  /** It waits for no other zone: what it acknowledges is nowhere else. Shown red. */
  isSolo: z.boolean().optional(),
  /** Moves that keep its in-sync set as it is. */
  frozenBy: z.array(moveIdField).optional(),
  /** How much of its log each other zone has not applied, in bytes. */
  behindBytes: z.record(zoneIdField, z.int().min(0)).optional(),
  /** In words for people; empty when all is well. */
  problems: z.array(z.string()),
});
export type ZoneStatus = z.infer<typeof zoneStatus>;

export const routerStatus = z.strictObject({
  routerId: z.string(),
  tableVersion: z.int().min(0),
  /** How long ago it reported, in ms. */
  reportedMsAgo: z.number().min(0),
  heldRequests: z.int().min(0),
});

export const leaderStatus = z.strictObject({ coordinator: z.string(), term: z.int().min(1), isThisOne: z.boolean() });

export const zonesView = z.strictObject({
  /** The coordinator that answered. */
  answeredBy: z.string(),
  /** Absent while nobody is known to lead. */
  leader: leaderStatus.optional(),
  tableVersion: z.int().min(0),
  zones: z.array(zoneStatus),
  routers: z.array(routerStatus),
  runningMoves: z.array(moveIdField),
});
export type ZonesView = z.infer<typeof zonesView>;

export const shardStatus = routingEntry.extend({
  area: z.string().optional(),
  moveId: moveIdField.optional(),
  /** What each zone's copy says, like `serving a@7`; for people. */
  copies: z.record(zoneIdField, z.string()),
});
export type ShardStatus = z.infer<typeof shardStatus>;

export const shardsView = z.strictObject({ tableVersion: z.int().min(0), shards: z.array(shardStatus) });
export type ShardsView = z.infer<typeof shardsView>;

export const auditEntry = z.strictObject({
  at: z.iso.datetime(),
  who: z.string(),
  /** `move.requested`, `move.abort-requested`, `move.ended`. */
  what: z.string(),
  moveId: moveIdField.optional(),
  why: z.string().optional(),
  /** What came of it, in words. */
  detail: z.string(),
});
export type AuditEntry = z.infer<typeof auditEntry>;

export const auditPage = z.strictObject({
  entries: z.array(auditEntry),
  /** Cursor of the next, older page. */
  next: z.string().optional(),
});
export type AuditPage = z.infer<typeof auditPage>;

export const getZones = {
  method: 'get',
  path: '/ops/v1/zones',
  summary: 'Zones, routers and who leads, as this coordinator sees them just now',
  isTagged: false,
  answers: { 200: { description: 'All of them', body: zonesView } },
  problems: ['no-majority'],
} as const satisfies RouteContract;

export const getShards = {
  method: 'get',
  path: '/ops/v1/shards',
  summary: 'Every shard: its owner, state and move, and what each voter holds',
  isTagged: false,
  answers: { 200: { description: 'All of them, by number', body: shardsView } },
  problems: ['no-majority'],
} as const satisfies RouteContract;

export const getAuditLog = {
  method: 'get',
  path: '/ops/v1/audit-log',
  summary: 'Who asked for what, why, and what came of it; the newest first',
  isTagged: false,
  query: z.strictObject({
    limit: z.coerce.number().int().min(1).max(200).default(50),
    before: z.string().max(100).optional(),
  }),
  answers: { 200: { description: 'One page', body: auditPage } },
  problems: ['no-majority', 'malformed-query', 'malformed-cursor'],
} as const satisfies RouteContract;
