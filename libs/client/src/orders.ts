import {
  acceptOrder,
  cancelOrder,
  changeOrderRequest,
  getOrder,
  listCustomerOrders,
  orderPage,
  orderView,
  pageQuery,
  placeField,
  placeOrder,
  placeOrderRequest,
  type ChangeOrderRequest,
  type OrderPage,
  type OrderView,
  type Place,
  type PlaceOrderRequest,
} from '@borough/contracts';
import { tagOfPlace } from './place-tag.js';
import { type Routing } from './routing/routing.js';
import { type CallOptions, type Calls, type WriteOptions } from './transport/calls.js';
import { pathOf, queryOf } from './transport/path-of.js';
import { requireValid } from './transport/require-valid.js';

/** Which page of a customer's orders. */
export interface OrderPageOptions extends CallOptions {
  /** 1 to 100 orders; by default 20. */
  readonly limit?: number | undefined;
  /** `next` of the page before. */
  readonly cursor?: string | undefined;
  /** A place near the customer, so that a zone near it answers; any zone can. */
  readonly near?: Place | undefined;
}

/** Orders. Each function throws `DeliveryProblem`. */
export class Orders {
  readonly #calls: Calls;
  readonly #routing: Routing;

  constructor(calls: Calls, routing: Routing) {
    this.#calls = calls;
    this.#routing = routing;
  }

  /**
   * Places an order at a store. When this returns, it is on disk in every in-sync zone.
   *
   * @throws DeliveryProblem among others `store-not-found`, `validation-failed`
   */
  async place(request: PlaceOrderRequest, options: WriteOptions = {}): Promise<OrderView> {
    const body = requireValid(placeOrderRequest, request);
    return this.#calls.write('orders.place', { path: placeOrder.path, tag: body.storeId, body }, orderView, options);
  }

  /** Reads an order, as the zone that answers has it. @throws DeliveryProblem `order-not-found` */
  async get(orderId: string, options: CallOptions = {}): Promise<OrderView> {
    const params = requireValid(getOrder.params, { orderId });
    return this.#calls.read({ path: pathOf(getOrder.path, params) }, orderView, options);
  }

  /**
   * One page of a customer's orders in all areas, the newest first.
   *
   * A customer lives in no area, so the request names any: that of `near`, or one of the routing table. Only this call
   * waits for the table when there is none yet.
   */
  async listOfCustomer(customerId: string, options: OrderPageOptions = {}): Promise<OrderPage> {
    const { limit, cursor, near, ...bounds } = options;
    const params = requireValid(listCustomerOrders.params, { customerId });
    const page = requireValid(pageQuery, {
      ...(limit === undefined ? {} : { limit }),
      ...(cursor === undefined ? {} : { cursor }),
    });
    const tag =
      near === undefined
        ? await this.#routing.anyTag(bounds.signal)
        : tagOfPlace(requireValid(placeField, near), this.#routing.copy.areaMap);
    return this.#calls.read({ path: pathOf(listCustomerOrders.path, params) + queryOf(page), tag }, orderPage, bounds);
  }

  /** The store takes the order: placed → accepted. @throws DeliveryProblem `order-not-found`, `illegal-transition` */
  async accept(orderId: string, request: ChangeOrderRequest = {}, options: WriteOptions = {}): Promise<OrderView> {
    const params = requireValid(acceptOrder.params, { orderId });
    const body = requireValid(changeOrderRequest, request);
    return this.#calls.write('orders.accept', { path: pathOf(acceptOrder.path, params), body }, orderView, options);
  }

  /** The order is called off: placed or accepted → cancelled. @throws DeliveryProblem `illegal-transition` */
  async cancel(orderId: string, request: ChangeOrderRequest = {}, options: WriteOptions = {}): Promise<OrderView> {
    const params = requireValid(cancelOrder.params, { orderId });
    const body = requireValid(changeOrderRequest, request);
    return this.#calls.write('orders.cancel', { path: pathOf(cancelOrder.path, params), body }, orderView, options);
  }
}
