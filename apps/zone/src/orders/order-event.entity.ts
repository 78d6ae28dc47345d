import { type OrderView } from '@borough/contracts';
import { EntitySchema } from 'typeorm';

/** What can have happened to an order. */
export type OrderEventKind = 'order-placed' | 'order-accepted' | 'order-cancelled';

/** Append-only: what happened to an order, one row per version of it. */
export interface OrderEventRow {
  id: string;
  shard: number;
  epoch: number;
  version: number;
  orderId: string;
  orderVersion: number;
  kind: OrderEventKind;
  before: OrderView | null;
  after: OrderView;
  actor: string;
  /** What the actor gave as the reason. */
  reason: string | null;
  occurredAt: Date;
}

export const orderEventEntity = new EntitySchema<OrderEventRow>({
  name: 'OrderEvent',
  tableName: 'order_events',
  columns: {
    id: { type: 'uuid', primary: true },
    shard: { type: 'integer' },
    epoch: { type: 'bigint' },
    version: { type: 'bigint' },
    orderId: { type: 'uuid', name: 'order_id' },
    orderVersion: { type: 'bigint', name: 'order_version' },
    kind: { type: 'text' },
    before: { type: 'jsonb', nullable: true },
    after: { type: 'jsonb' },
    actor: { type: 'text' },
    reason: { type: 'text', nullable: true },
    occurredAt: { type: 'timestamptz', name: 'occurred_at' },
  },
});
