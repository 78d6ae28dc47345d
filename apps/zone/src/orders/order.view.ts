import { type OrderView } from '@borough/contracts';
import { toId } from '@borough/topology';
import { type OrderRow } from './order.entity.js';

export function orderView(row: OrderRow): OrderView {
  return {
    id: toId('order', row.id),
    storeId: toId('store', row.storeId),
    customerId: toId('customer', row.customerId),
    status: row.status,
    items: row.items,
    dropOff: { latitude: row.dropOffLatitude, longitude: row.dropOffLongitude },
    ...(row.note === null ? {} : { note: row.note }),
    ...(row.readyAt === null ? {} : { readyAt: row.readyAt.toISOString() }),
    ...(row.expectedDropOffAt === null ? {} : { expectedDropOffAt: row.expectedDropOffAt.toISOString() }),
    placedAt: row.placedAt.toISOString(),
    version: row.version,
    ...(row.hold === null || row.hold === undefined ? {} : { hold: row.hold }),
  };
}
