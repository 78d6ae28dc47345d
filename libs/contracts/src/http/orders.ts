import { z } from 'zod';
import { idField, instantField, placeField, textField, versionField } from '../fields.js';
import { type RouteContract, TAGGED_PROBLEMS, WRITE_PROBLEMS } from './route.js';

/** placed → accepted → assigned → picked-up → delivered, or cancelled. Couriers come with dispatch: nothing reaches `assigned` yet. */
export const ORDER_STATUSES = ['placed', 'accepted', 'assigned', 'picked-up', 'delivered', 'cancelled'] as const;
export type OrderStatus = (typeof ORDER_STATUSES)[number];

const orderItem = z.strictObject({ name: textField(200), quantity: z.int().min(1).max(999) });
export type OrderItem = z.infer<typeof orderItem>;

export const placeOrderRequest = z.strictObject({
  storeId: idField('store'),
  customerId: idField('customer'),
  items: z.array(orderItem).min(1).max(100),
  dropOff: placeField,
  note: textField(500).optional(),
  /** When the store expects to have it ready. */
  readyAt: instantField.optional(),
  /** When the customer was told to expect it. */
  expectedDropOffAt: instantField.optional(),
});
export type PlaceOrderRequest = z.infer<typeof placeOrderRequest>;

/** Why an order takes no change just now, and since when. */
export const orderHold = z.strictObject({
  reason: z.enum(['failover', 'declared-loss']),
  since: z.iso.datetime(),
});
export type OrderHold = z.infer<typeof orderHold>;

export const orderView = z.strictObject({
  id: idField('order'),
  storeId: idField('store'),
  customerId: idField('customer'),
  status: z.enum(ORDER_STATUSES),
  items: z.array(orderItem),
  dropOff: placeField,
  note: z.string().optional(),
  readyAt: z.iso.datetime().optional(),
  expectedDropOffAt: z.iso.datetime().optional(),
  placedAt: z.iso.datetime(),
  version: versionField,
  /** Only while it is held. */
  hold: orderHold.optional(),
});
export type OrderView = z.infer<typeof orderView>;

const DEFAULT_PAGE_ROWS = 20;
const MAX_PAGE_ROWS = 100;

export const pageQuery = z.strictObject({
  limit: z.coerce.number().int().min(1).max(MAX_PAGE_ROWS).default(DEFAULT_PAGE_ROWS),
  /** `next` of the page before; opaque. */
  cursor: z.string().max(200).optional(),
});
export type PageQuery = z.infer<typeof pageQuery>;

export const orderPage = z.strictObject({
  orders: z.array(orderView),
  /** Cursor of the next page; absent on the last one. */
  next: z.string().optional(),
});
export type OrderPage = z.infer<typeof orderPage>;

export const placeOrder = {
  method: 'post',
  path: '/v1/orders',
  summary: 'Place an order at a store',
  isTagged: true,
  body: placeOrderRequest,
  answers: {
    201: { description: 'Placed, and on disk in every in-sync zone', body: orderView },
  },
  problems: [...TAGGED_PROBLEMS, ...WRITE_PROBLEMS, 'store-not-found'],
} as const satisfies RouteContract;

export const getOrder = {
  method: 'get',
  path: '/v1/orders/{orderId}',
  summary: 'Read an order; any zone answers',
  isTagged: true,
  params: z.strictObject({ orderId: idField('order') }),
  answers: { 200: { description: 'The order as this zone has it', body: orderView } },
  problems: [...TAGGED_PROBLEMS, 'malformed-id', 'wrong-id-type', 'order-not-found'],
} as const satisfies RouteContract;

export const listCustomerOrders = {
  method: 'get',
  path: '/v1/customers/{customerId}/orders',
  summary: 'The orders of a customer in all areas, newest first; any zone answers',
  isTagged: true,
  params: z.strictObject({ customerId: idField('customer') }),
  query: pageQuery,
  answers: { 200: { description: 'One page', body: orderPage } },
  problems: [...TAGGED_PROBLEMS, 'malformed-id', 'wrong-id-type', 'malformed-query', 'malformed-cursor'],
} as const satisfies RouteContract;

/** Who may ask for which change is checked with the callers' identities, which are not here yet. */
export const changeOrderRequest = z.strictObject({ reason: textField(500).optional() });
export type ChangeOrderRequest = z.infer<typeof changeOrderRequest>;

function orderChange<const Name extends string>(name: Name, summary: string) {
  return {
    method: 'post',
    path: `/v1/orders/{orderId}/${name}`,
    summary,
    isTagged: true,
    params: z.strictObject({ orderId: idField('order') }),
    body: changeOrderRequest,
    answers: { 200: { description: 'Changed, and on disk in every in-sync zone', body: orderView } },
    problems: [
      ...TAGGED_PROBLEMS,
      ...WRITE_PROBLEMS,
      'malformed-id',
      'wrong-id-type',
      'order-not-found',
      'illegal-transition',
      'order-held',
    ],
  } as const satisfies RouteContract;
}

export const acceptOrder = orderChange('accept', 'The store takes the order: placed → accepted');
export const cancelOrder = orderChange('cancel', 'The order is called off: placed or accepted → cancelled');
