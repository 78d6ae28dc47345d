import { type OrderView } from '@borough/contracts';
import { EntitySchema } from 'typeorm';

/** Append-only: what happened to an order, one row per version of it. */
export interface OrderEventRow {
  id: string;
  shard: number;
  epoch: number;
  version: number;
  orderId: string;
  orderVersion: number;
  kind: 'order-placed';
  before: OrderView | null;
  after: OrderView;
  actor: string;
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
    occurredAt: { type: 'timestamptz', name: 'occurred_at' },
  },
});
