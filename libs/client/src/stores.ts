import {
  getStore,
  openStore,
  openStoreRequest,
  storeView,
  type OpenStoreRequest,
  type StoreView,
} from '@borough/contracts';
import { tagOfPlace } from './place-tag.js';
import { type Routing } from './routing/routing.js';
import { type CallOptions, type Calls, type WriteOptions } from './transport/calls.js';
import { pathOf } from './transport/path-of.js';
import { requireValid } from './transport/require-valid.js';

/** Stores. Each function throws `DeliveryProblem`. */
export class Stores {
  readonly #calls: Calls;
  readonly #routing: Routing;

  constructor(calls: Calls, routing: Routing) {
    this.#calls = calls;
    this.#routing = routing;
  }

  /** Opens a store; its location decides its area for good. @throws DeliveryProblem `area-not-served` */
  async open(request: OpenStoreRequest, options: WriteOptions = {}): Promise<StoreView> {
    const body = requireValid(openStoreRequest, request);
    const tag = tagOfPlace(body.location, this.#routing.copy.areaMap);
    return this.#calls.write('stores.open', { path: openStore.path, tag, body }, storeView, options);
  }

  /** Reads a store, as the zone that answers has it. @throws DeliveryProblem `store-not-found` */
  async get(storeId: string, options: CallOptions = {}): Promise<StoreView> {
    const params = requireValid(getStore.params, { storeId });
    return this.#calls.read({ path: pathOf(getStore.path, params) }, storeView, options);
  }
}
