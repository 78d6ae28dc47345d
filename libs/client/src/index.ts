/** Borough for the apps of customers, stores and couriers. Runs in browsers, React Native and Node. */
export type {
  ChangeOrderRequest,
  CourierView,
  OpenStoreRequest,
  OrderItem,
  OrderPage,
  OrderStatus,
  OrderView,
  Place,
  PlaceOrderRequest,
  ProblemCode,
  RegisterCourierRequest,
  RetryRule,
  StoreView,
  Vehicle,
} from '@borough/contracts';
export type { RoutingEntry } from '@borough/topology';
export { type Couriers } from './couriers.js';
export { createDeliveryClient, type DeliveryClient, type DeliveryClientOptions } from './delivery-client.js';
export { type OrderPageOptions, type Orders } from './orders.js';
export { type PendingCall, type ResumedCall } from './resume-pending.js';
export { type RoutingChange, type RoutingListener } from './routing/table-copy.js';
export { type Stores } from './stores.js';
export { type CallOptions, type WriteOptions } from './transport/calls.js';
export { type Clock } from './transport/clock.js';
export { DeliveryProblem, type ClientProblemCode } from './transport/delivery-problem.js';
export { type Fetch, type FetchAnswer, type FetchInit } from './transport/fetch.js';
export { type WriteOperation } from './transport/pending-calls.js';
export {
  fromAsyncStorage,
  fromWebStorage,
  type AsyncStorageLike,
  type Storage,
  type WebStorageLike,
} from './transport/storage.js';
