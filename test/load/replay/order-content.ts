/** Compares an order as it was acknowledged with the row a zone has of it: pure. */
import { type OrderItem } from '@borough/contracts';
import { type ShardNumber } from '@borough/topology';

/** An order as it was acknowledged; ids as UUIDs. */
export interface ExpectedOrder {
  readonly uuid: string;
  readonly shard: ShardNumber;
  readonly storeUuid: string;
  readonly customerUuid: string;
  readonly items: readonly OrderItem[];
}

/** A row of `orders` as a zone has it. */
export interface StoredOrder {
  readonly shard: number;
  /** The shard of the row of its store; undefined when this zone has no such store. */
  readonly storeShard: number | undefined;
  readonly storeUuid: string;
  readonly customerUuid: string;
  /** As stored. */
  readonly items: unknown;
}

/** Has the row the acknowledged store, customer and items? Further fields of an item do not matter, their order does. */
export function isSameContent(order: ExpectedOrder, row: StoredOrder): boolean {
  return (
    row.storeUuid === order.storeUuid && row.customerUuid === order.customerUuid && hasItems(row.items, order.items)
  );
}

function hasItems(stored: unknown, expected: readonly OrderItem[]): boolean {
  if (!Array.isArray(stored) || stored.length !== expected.length) return false;
  return expected.every(({ name, quantity }, index) => {
    const item: unknown = stored[index];
    if (typeof item !== 'object' || item === null || !('name' in item) || !('quantity' in item)) return false;
    return item.name === name && item.quantity === quantity;
  });
}
