import {
  courierView,
  getCourier,
  registerCourier,
  registerCourierRequest,
  type CourierView,
  type RegisterCourierRequest,
} from '@borough/contracts';
import { tagOfPlace } from './place-tag.js';
import { type Routing } from './routing/routing.js';
import { type CallOptions, type Calls, type WriteOptions } from './transport/calls.js';
import { pathOf } from './transport/path-of.js';
import { requireValid } from './transport/require-valid.js';

/** Couriers. Each function throws `DeliveryProblem`. */
export class Couriers {
  readonly #calls: Calls;
  readonly #routing: Routing;

  constructor(calls: Calls, routing: Routing) {
    this.#calls = calls;
    this.#routing = routing;
  }

  /** Registers a courier in the area of their location. @throws DeliveryProblem `area-not-served` */
  async register(request: RegisterCourierRequest, options: WriteOptions = {}): Promise<CourierView> {
    const body = requireValid(registerCourierRequest, request);
    const tag = tagOfPlace(body.location, this.#routing.copy.areaMap);
    return this.#calls.write('couriers.register', { path: registerCourier.path, tag, body }, courierView, options);
  }

  /** Reads a courier, as the zone that answers has it. @throws DeliveryProblem `courier-not-found` */
  async get(courierId: string, options: CallOptions = {}): Promise<CourierView> {
    const params = requireValid(getCourier.params, { courierId });
    return this.#calls.read({ path: pathOf(getCourier.path, params) }, courierView, options);
  }
}
