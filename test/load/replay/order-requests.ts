/** The requests of a run, made ready before the clock starts so that placing costs the shared machine little. */
import { createHash } from 'node:crypto';
import { type OrderItem, type Place, type PlaceOrderRequest } from '@borough/contracts';
import { newUuid, toId } from '@borough/topology';
import { placeCell } from './areas.js';
import { type CityOrder } from './city-day.js';
import { storeName, type StoreIds } from './stores-and-couriers.js';

/** One order as it will be sent, and what must be found in every zone if it is acknowledged. */
export interface OrderRequest {
  readonly placedAtMs: number;
  /** `<run id>-<city>-<order id>`: unique among all orders of all runs. */
  readonly idempotencyKey: string;
  readonly storeId: string;
  readonly customerId: string;
  readonly items: readonly OrderItem[];
  readonly json: string;
}

/** What the name of an order's first item begins with, for all orders of a run and for no other. */
export function itemPrefix(runId: string): string {
  return `replay ${runId} `;
}

/**
 * @param dayStartsAtMs the instant (ms since 1970) the replayed day is taken to begin at
 * @throws Error when the store of an order is not in `storeIds`: a bug of the caller
 */
export function orderRequests(
  orders: readonly CityOrder[],
  storeIds: StoreIds,
  runId: string,
  dayStartsAtMs: number,
): OrderRequest[] {
  const customerIds = new Map<string, string>();
  return orders.map((order, index) => {
    const name = storeName(order.city, order.pickUp);
    const storeId = storeIds.get(name);
    if (storeId === undefined) throw new Error(`store ${name} was not opened`);
    const customerId = customerIdAt(order.dropOff, customerIds);
    const items = itemsOf(order, runId, index);
    const request: PlaceOrderRequest = {
      storeId,
      customerId,
      items,
      dropOff: order.dropOff,
      readyAt: new Date(dayStartsAtMs + order.readyAtMs).toISOString(),
      expectedDropOffAt: new Date(dayStartsAtMs + order.expectedDropOffAtMs).toISOString(),
    };
    return {
      placedAtMs: order.placedAtMs,
      idempotencyKey: `${runId}-${order.city}-${order.orderId}`,
      storeId,
      customerId,
      items,
      json: JSON.stringify(request),
    };
  });
}

/** The data has no items. The first one names the order, so that a double of it is found by content alone. */
function itemsOf(order: CityOrder, runId: string, index: number): OrderItem[] {
  const named = { name: `${itemPrefix(runId)}${order.city} ${order.orderId}`, quantity: 1 };
  return index % 3 === 0 ? [named, { name: 'bottle of water', quantity: 1 + (index % 4) }] : [named];
}

/** One customer per cell of the drop-off (a few blocks), the same in every run: so customers come again. */
function customerIdAt(dropOff: Place, known: Map<string, string>): string {
  const cell = placeCell(dropOff);
  const id =
    known.get(cell) ??
    toId(
      'customer',
      newUuid(0, 0, () => createHash('sha256').update(cell).digest()),
    );
  known.set(cell, id);
  return id;
}
