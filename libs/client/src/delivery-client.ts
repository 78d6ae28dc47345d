import { v4 } from 'uuid';
import { Couriers } from './couriers.js';
import { Orders } from './orders.js';
import { pendingCallOf, resumePending, type PendingCall, type ResumedCall } from './resume-pending.js';
import { Routing } from './routing/routing.js';
import { type RoutingListener } from './routing/table-copy.js';
import { Stores } from './stores.js';
import { Calls, type CallOptions } from './transport/calls.js';
import { systemClock, unlessEnded, type Clock } from './transport/clock.js';
import { Closing } from './transport/closing.js';
import { clientProblem } from './transport/delivery-problem.js';
import { platformFetch, type Fetch } from './transport/fetch.js';
import { KeptTexts } from './transport/kept-texts.js';
import { PendingCalls } from './transport/pending-calls.js';
import { type Storage } from './transport/storage.js';

const DEADLINE_MS = 15_000;
/** A router holds a request for 5 s while its shard moves; a shorter try would give up a place in its queue. */
const TRY_MS = 6_000;
const HEARTBEAT_MS = 15_000;
const POLL_MS = 30_000;
const PENDING_MAX_AGE_MS = 86_400_000;

export interface DeliveryClientOptions {
  /** Base URLs of routers, the nearest first; at least one. The client finds the others by itself. */
  readonly routerUrls: readonly string[];
  /** Keeps the routing table and pending changes over restarts. Without it they live as long as the client. */
  readonly storage?: Storage | undefined;
  /** What the keys in the storage start with; one for each cluster the app talks to. Default `borough`. */
  readonly storagePrefix?: string | undefined;
  /** Default: the runtime's own. A wrapper may add headers. */
  readonly fetch?: Fetch | undefined;
  /** How long a call may take with all its tries, in ms; default 15,000. */
  readonly deadlineMs?: number | undefined;
  /** How long one router gets to answer before the next one is asked, in ms, at most half of the deadline; default 6,000. */
  readonly tryMs?: number | undefined;
  /** How often a router's stream says something, in ms; after two of these without a word it is opened anew. Default 15,000. */
  readonly heartbeatMs?: number | undefined;
  /** How often to ask for the table where nothing can be pushed, in ms, half to one and a half of it; default 30,000. */
  readonly pollMs?: number | undefined;
  /** Pending changes older than this are not sent again, in ms; default 24 h. */
  readonly pendingMaxAgeMs?: number | undefined;
  /** From 0 to 1; default `Math.random`. */
  readonly random?: (() => number) | undefined;
  readonly clock?: Clock | undefined;
  /** Idempotency keys; default UUIDv4, for which React Native needs `react-native-get-random-values`. */
  readonly newKey?: (() => string) | undefined;
  /** Told of faults that cost a convenience and no call: a storage that is full, a listener that throws. */
  readonly onFault?: ((error: unknown) => void) | undefined;
}

/**
 * A client of Borough for apps of customers, stores and couriers. Begins to fetch the routing table at once, and listens
 * to its changes until `close`.
 *
 * @throws RangeError without a router, or with one that is not an http or https URL
 */
export function createDeliveryClient(options: DeliveryClientOptions): DeliveryClient {
  const { routerUrls } = options;
  if (routerUrls.length === 0) throw new RangeError('at least one router is needed');
  const wrong = routerUrls.find((url) => !/^https?:\/\/[^\s?#]+$/.test(url));
  if (wrong !== undefined) throw new RangeError(`not the base URL of a router: ${wrong.slice(0, 200)}`);
  return new DeliveryClient(options);
}

/** See `createDeliveryClient`, which makes one. */
export class DeliveryClient {
  readonly orders: Orders;
  readonly stores: Stores;
  readonly couriers: Couriers;
  readonly #clock: Clock;
  readonly #routing: Routing;
  readonly #calls: Calls;
  readonly #pending: PendingCalls;
  readonly #pendingMaxAgeMs: number;
  readonly #onFault: (error: unknown) => void;
  readonly #closing = new Closing();

  /** @internal */
  constructor(options: DeliveryClientOptions) {
    const { routerUrls, storage, storagePrefix = 'borough', fetch = platformFetch, random = Math.random } = options;
    const { clock = systemClock, tryMs = TRY_MS, onFault = () => undefined } = options;
    const texts = new KeptTexts(storage, storagePrefix, clock, onFault);
    const routing = new Routing({
      routerUrls,
      fetch,
      clock,
      random,
      texts,
      tryMs,
      heartbeatMs: options.heartbeatMs ?? HEARTBEAT_MS,
      pollMs: options.pollMs ?? POLL_MS,
    });
    this.#clock = clock;
    this.#routing = routing;
    this.#pending = new PendingCalls(texts);
    this.#pendingMaxAgeMs = options.pendingMaxAgeMs ?? PENDING_MAX_AGE_MS;
    this.#onFault = onFault;
    this.#calls = new Calls({
      transport: {
        fetch,
        clock,
        random,
        way: routing,
        tryMs,
        deadlineMs: options.deadlineMs ?? DEADLINE_MS,
        closing: this.#closing,
      },
      pending: this.#pending,
      newKey: options.newKey ?? (() => v4()),
    });
    this.orders = new Orders(this.#calls, routing);
    this.stores = new Stores(this.#calls, routing);
    this.couriers = new Couriers(this.#calls, routing);
    routing.start();
  }

  /** Version of this client's copy of the routing table: it only grows. 0 before there is one. */
  get tableVersion(): number {
    return this.#routing.copy.tableVersion;
  }

  /**
   * Resolves when there is a routing table, however old, from the storage or from a router. No call needs it.
   *
   * @throws DeliveryProblem `client-closed`
   */
  async ready(): Promise<void> {
    await unlessEnded(this.#routing.whenKnown(), this.#closing);
    if (this.#closing.aborted) throw clientProblem('client-closed');
  }

  /**
   * Calls the listener at each change of this client's copy of the routing table.
   *
   * @returns ends it
   */
  onRoutingChange(listener: RoutingListener): () => void {
    return this.#routing.copy.onChange((change) => {
      try {
        listener(change);
      } catch (error) {
        this.#onFault(error);
      }
    });
  }

  /** Changes whose outcome is not known, of all clients that share the storage, the oldest first. */
  async pendingCalls(): Promise<readonly PendingCall[]> {
    const calls = await this.#pending.list();
    return calls.map((call) => pendingCallOf(call, this.#pending));
  }

  /**
   * Settles what was pending when the app ended: sends each change again with the key it had, so that it has happened
   * once when this says `done`. To be called when the app starts, and when the network is back.
   *
   * @param options bound each call, not all of them
   */
  async resumePending(options: CallOptions = {}): Promise<readonly ResumedCall[]> {
    const parts = { calls: this.#calls, pending: this.#pending, clock: this.#clock };
    return resumePending(parts, this.#pendingMaxAgeMs, options);
  }

  /** Forgets a pending change, which may have happened all the same. No fault when there is none. */
  async forgetPending(idempotencyKey: string): Promise<void> {
    await this.#pending.end(idempotencyKey, true);
  }

  /**
   * Ends every call that is under way with the problem `client-closed`, and everything this client has open. What is
   * pending stays in the storage.
   */
  async close(): Promise<void> {
    this.#closing.close();
    await this.#routing.stop();
  }
}
