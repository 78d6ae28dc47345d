/**
 * What the checker is given: plain data, recorded by the drill. It knows nothing of how the system works; it knows what
 * was asked, what was answered, what every zone holds at the end, and when shards were locked.
 *
 * All times are in ms since 1970, of clocks of one machine.
 */

/** One request of a client, as it ended. */
export interface RequestRecord {
  /** `direct`: it asked one zone itself, as a client does that has not heard that it is another's turn. */
  readonly client: 'plain' | 'sdk' | 'direct';
  readonly kind: 'place' | 'change' | 'read';
  readonly shard: number;
  /** The idempotency key of a place or a change. */
  readonly key?: string;
  /** Of a place: the text that no other order has. */
  readonly content?: string;
  /** Of a place or a change: what was asked for, as the history of the order names it. */
  readonly effect?: string;
  /** Of a change or a read: the order it names. */
  readonly orderId?: string;
  /** When it was due by the load's schedule: latencies count from here. */
  readonly scheduledAt: number;
  readonly sentAt: number;
  readonly answeredAt: number;
  /** Anything but the answer that was asked for is a failure: the load asks for nothing that may be refused, but of a zone itself. */
  readonly isOk: boolean;
  /** Of the last answer, where there was one. */
  readonly status?: number;
  /** Why it failed: a problem's code, or what the connection said. */
  readonly failure?: string;
  readonly answer?: OrderAnswer;
  /** Which zone answered, where the answer says so; and whether it repeats an earlier answer. */
  readonly zone?: string;
  readonly isReplay?: boolean;
  /** The answer says itself that it may be so many ms old. */
  readonly staleMs?: number;
}

export interface OrderAnswer {
  readonly orderId: string;
  readonly version: number;
  readonly status: string;
  readonly content: string;
  /** The same for the same answer, all of it. */
  readonly digest: string;
}

/** What one zone holds at the end. */
export interface ZoneRows {
  readonly zone: string;
  readonly orders: readonly OrderRow[];
  readonly events: readonly EventRow[];
  readonly keys: readonly KeyRow[];
  /** What else is the same everywhere: a digest of each replicated table, by name. */
  readonly tables?: Readonly<Record<string, string>>;
}

export interface OrderRow {
  readonly orderId: string;
  readonly shard: number;
  readonly epoch: number;
  readonly version: number;
  readonly status: string;
  readonly content: string;
  /** The same for the same row, all columns of it. */
  readonly digest: string;
}

/** One change of an order; the first is its placing. */
export interface EventRow {
  readonly orderId: string;
  readonly orderVersion: number;
  readonly shard: number;
  readonly epoch: number;
  readonly kind: string;
  /** When whoever wrote it had it in hand, before it was written. */
  readonly occurredAt: number;
  readonly digest: string;
}

interface KeyRow {
  readonly key: string;
  readonly shard: number;
  readonly epoch: number;
  readonly digest: string;
}

/** From a moment at which the old owner could write no more to one at which the next could not yet. */
export interface LockInterval {
  readonly shard: number;
  /** The epoch that ended. */
  readonly epoch: number;
  readonly fencedAt: number;
  /** Undefined where nobody noted it: whoever had the shard locked died before the end. */
  readonly servedAt?: number;
  readonly moveId: string;
}

export interface History {
  readonly requests: readonly RequestRecord[];
  readonly zones: readonly ZoneRows[];
  readonly locks: readonly LockInterval[];
  /** How far apart the clocks of requests, of rows and of locks may have been, in ms. */
  readonly clockErrorMs: number;
}
