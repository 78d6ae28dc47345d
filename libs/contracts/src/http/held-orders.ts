import { z } from 'zod';
import { idField, textField } from '../fields.js';
import { orderHold } from './orders.js';
import { type RouteContract } from './route.js';
import { shardField, zoneIdField } from './routing.js';

/** An order that nobody may change: its shard was failed over, or the loss of writes of its zone was declared. */
export const heldOrder = z.strictObject({
  orderId: idField('order'),
  shard: shardField,
  /** Owns the shard, and so holds the order. */
  zone: zoneIdField,
  status: z.string(),
  placedAt: z.iso.datetime({ offset: true }),
  /** `declared-loss`: until somebody has looked at it. `failover`: until the move releases it by itself. */
  reason: orderHold.shape.reason,
  since: z.iso.datetime(),
});
export type HeldOrder = z.infer<typeof heldOrder>;

export const heldOrdersView = z.strictObject({
  /** How many are held at the zones that answered; `orders` may be fewer. */
  total: z.int().min(0),
  /** The longest held first. */
  orders: z.array(heldOrder),
  /** Zones that did not answer: what is held in the shards they own is not counted. */
  unanswered: z.array(zoneIdField),
});
export type HeldOrdersView = z.infer<typeof heldOrdersView>;

export const releaseOrderRequest = z.strictObject({
  /** Who has looked at it; like `ana@laptop`. */
  requestedBy: textField(100),
  /** What was found; kept with the release. */
  why: textField(500),
});
export type ReleaseOrderRequest = z.infer<typeof releaseOrderRequest>;

export const releasedOrder = z.strictObject({ orderId: idField('order'), shard: shardField, zone: zoneIdField });
export type ReleasedOrder = z.infer<typeof releasedOrder>;

export const listHeldOrders = {
  method: 'get',
  path: '/ops/v1/held-orders',
  summary: 'Orders that take no change since a failover or a declared loss, the longest held first',
  isTagged: false,
  query: z.strictObject({ limit: z.coerce.number().int().min(1).max(500).default(50) }),
  answers: { 200: { description: 'Of every zone that answered', body: heldOrdersView } },
  problems: ['no-majority', 'malformed-query'],
} as const satisfies RouteContract;

export const releaseHeldOrder = {
  method: 'post',
  path: '/ops/v1/held-orders/{orderId}/release',
  summary: 'Let an order be changed again that is held after a declared loss: somebody has looked at it',
  isTagged: false,
  params: z.strictObject({ orderId: idField('order') }),
  body: releaseOrderRequest,
  answers: { 200: { description: 'It is released', body: releasedOrder } },
  problems: [
    'not-leader',
    'no-majority',
    'stale-term',
    'malformed-json',
    'body-too-deep',
    'body-too-large',
    'unsupported-media-type',
    'validation-failed',
    'malformed-id',
    'order-not-found',
    'order-not-held',
    'shard-unsettled',
    'shard-moving',
    'zone-unavailable',
  ],
} as const satisfies RouteContract;
