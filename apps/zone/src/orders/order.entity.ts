import { type OrderHold, type OrderItem, type OrderStatus } from '@borough/contracts';
import { EntitySchema } from 'typeorm';

export interface OrderRow {
  id: string;
  shard: number;
  epoch: number;
  version: number;
  storeId: string;
  customerId: string;
  status: OrderStatus;
  items: OrderItem[];
  dropOffLatitude: number;
  dropOffLongitude: number;
  note: string | null;
  readyAt: Date | null;
  expectedDropOffAt: Date | null;
  placedAt: Date;
  /** Read only: no column, but what the holds of its shard say of it. */
  hold?: OrderHold | null;
}

export const orderEntity = new EntitySchema<OrderRow>({
  name: 'Order',
  tableName: 'orders',
  columns: {
    id: { type: 'uuid', primary: true },
    shard: { type: 'integer' },
    epoch: { type: 'bigint' },
    version: { type: 'bigint' },
    storeId: { type: 'uuid', name: 'store_id' },
    customerId: { type: 'uuid', name: 'customer_id' },
    status: { type: 'text' },
    items: { type: 'jsonb' },
    dropOffLatitude: { type: 'double precision', name: 'drop_off_latitude' },
    dropOffLongitude: { type: 'double precision', name: 'drop_off_longitude' },
    note: { type: 'text', nullable: true },
    readyAt: { type: 'timestamptz', name: 'ready_at', nullable: true },
    expectedDropOffAt: { type: 'timestamptz', name: 'expected_drop_off_at', nullable: true },
    placedAt: { type: 'timestamptz', name: 'placed_at' },
    hold: {
      type: 'jsonb',
      virtualProperty: true,
      query: (row) => `SELECT public.order_hold(${row}.id, ${row}.shard, ${row}.epoch, ${row}.status)`,
    },
  },
});
