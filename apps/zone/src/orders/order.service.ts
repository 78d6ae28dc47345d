import { Injectable } from '@nestjs/common';
import {
  type ChangeOrderRequest,
  type OrderPage,
  type OrderView,
  type PageQuery,
  type PlaceOrderRequest,
} from '@borough/contracts';
import { type ShardNumber, shardOfUuid, toId } from '@borough/topology';
import { DataSource, LessThan } from 'typeorm';
import { freshUuid } from '../http/new-uuid.js';
import { readId } from '../http/read-id.js';
import { requireTagAgrees, type WriteRequest } from '../http/write-request.js';
import { IdempotentWrites } from '../writes/idempotent-writes.js';
import { newRow } from '../writes/new-rows.js';
import { type Answer } from '../writes/pending-write.js';
import { StoreService } from '../stores/store.service.js';
import { orderEventEntity, type OrderEventRow } from './order-event.entity.js';
import { orderChange, orderNotFound } from './order-change.js';
import { type OrderTransition } from './order-status.js';
import { orderEntity, type OrderRow } from './order.entity.js';
import { orderView } from './order.view.js';
import { cursorAfter, readCursor } from './page-cursor.js';

@Injectable()
export class OrderService {
  constructor(
    private readonly source: DataSource,
    private readonly stores: StoreService,
    private readonly writes: IdempotentWrites,
  ) {}

  /**
   * Places an order in the shard of its store: the order, its first event and its key, in one transaction.
   *
   * @throws Problem `store-not-found`, `tag-mismatch`, and all that `IdempotentWrites.run` throws
   */
  async place(write: WriteRequest, body: PlaceOrderRequest): Promise<Answer> {
    const storeUuid = readId('store', body.storeId);
    const shard = shardOfUuid(storeUuid);
    requireTagAgrees(write, shard, body.storeId);
    await this.stores.requireStore(storeUuid);
    const row = placedOrder(shard, storeUuid, body);
    const view = orderView(row);
    return this.writes.run(write, shard, body, view, {
      ...newRow(orderEntity, row),
      ...newRow(orderEventEntity, placedEvent(row, view, write.caller)),
    });
  }

  /**
   * Takes an order one step on: the order, its event and its key, in one transaction. Of two that race, one wins and
   * the other is refused by what the first made of the order.
   *
   * @returns the view of the order after the step
   * @throws Problem `order-not-found`, `illegal-transition` with `orderStatus` and `allowedTransitions`, `order-held` with
   *   `reason` and `since` (M8), `tag-mismatch`, and all that `IdempotentWrites.runChange` throws; among it
   *   `shard-moving`, which is how an in-process order is locked while its shard changes hands (P5)
   */
  async change(
    write: WriteRequest,
    uuid: string,
    transition: OrderTransition,
    body: ChangeOrderRequest,
  ): Promise<Answer> {
    const shard = shardOfUuid(uuid);
    const orderId = toId('order', uuid);
    requireTagAgrees(write, shard, orderId);
    return this.writes.runChange(
      write,
      shard,
      { orderId, ...body },
      orderChange(uuid, transition, write.caller, body.reason),
    );
  }

  /** @throws Problem `order-not-found` */
  async get(uuid: string): Promise<OrderView> {
    const row = await this.source.manager.findOneBy(orderEntity, { id: uuid });
    if (row === null) throw orderNotFound(uuid);
    return orderView(row);
  }

  /**
   * A customer's orders of all areas, newest first.
   *
   * @returns at most `limit` orders; `next` only when there are more
   * @throws Problem `malformed-cursor`
   */
  async listOfCustomer(customerUuid: string, { limit, cursor }: PageQuery): Promise<OrderPage> {
    const rows = await this.source.manager.find(orderEntity, {
      where: { customerId: customerUuid, ...(cursor === undefined ? {} : { id: LessThan(readCursor(cursor)) }) },
      order: { id: 'DESC' },
      take: limit + 1,
    });
    const shown = rows.slice(0, limit);
    const last = shown.at(-1);
    return {
      orders: shown.map(orderView),
      ...(rows.length > limit && last !== undefined ? { next: cursorAfter(last.id) } : {}),
    };
  }
}

function placedOrder(shard: ShardNumber, storeUuid: string, body: PlaceOrderRequest): OrderRow {
  return {
    id: freshUuid(shard),
    shard,
    epoch: 0,
    version: 1,
    storeId: storeUuid,
    customerId: readId('customer', body.customerId),
    status: 'placed',
    items: body.items,
    dropOffLatitude: body.dropOff.latitude,
    dropOffLongitude: body.dropOff.longitude,
    note: body.note ?? null,
    readyAt: body.readyAt === undefined ? null : new Date(body.readyAt),
    expectedDropOffAt: body.expectedDropOffAt === undefined ? null : new Date(body.expectedDropOffAt),
    placedAt: new Date(),
  };
}

function placedEvent(order: OrderRow, after: OrderView, actor: string): OrderEventRow {
  return {
    id: freshUuid(order.shard),
    shard: order.shard,
    epoch: 0,
    version: 1,
    orderId: order.id,
    orderVersion: order.version,
    kind: 'order-placed',
    before: null,
    after,
    actor,
    reason: null,
    occurredAt: order.placedAt,
  };
}
