/**
 * Who waits at this router, who is let in, and who goes next. No clock, no timer, no promise.
 *
 * ```
 *            let-in                  shard serves again                    next
 *   outside ────────► waiting[shard] ──────────────────► ready[shard] ────────────► gone
 *                        ▲      one by one, first come first ▲   │   round-robin over shards
 *                        └────────── shard moves again ──────────┘
 * ```
 *
 * Bounds are over all shards, in places and in bytes of bodies. While a quarter of the room is free anyone may enter.
 * Past that only a shard that has less than its even share may: a busy shard cannot keep the others out, and nobody who
 * is in is put out for a newcomer. (Vitess puts out the oldest instead; then the one who waited longest is failed.)
 */
import { type Epoch, type RoutingEntry, type ShardNumber } from '@borough/topology';

/** One who waits. */
export interface Guest {
  readonly shard: ShardNumber;
  /** Size of what is kept for it. */
  readonly bytes: number;
  /** Goes once its shard serves at a later epoch than this. */
  readonly afterEpoch: Epoch;
}

export interface RoomLimits {
  readonly maxGuests: number;
  readonly maxBytes: number;
}

/** Why a newcomer is not let in: no place, no bytes, or its shard has its share of a room that is nearly full. */
export type RoomRefusal = 'full' | 'bytes' | 'share';

/** From this part of a bound on, shares count. */
const NEARLY_FULL = 0.75;

/** May one who waits for an epoch after this go on to the shard? */
export function mayGo(entry: RoutingEntry | undefined, afterEpoch: Epoch): boolean {
  return entry?.state === 'serving' && entry.epoch > afterEpoch;
}

export class WaitingRoom<G extends Guest> {
  private readonly waiting = new Map<ShardNumber, Set<G>>();
  /** In order of turns: the first shard that may go is next, and then goes to the end. */
  private readonly ready = new Map<ShardNumber, Queue<G>>();
  private readonly held = new Map<ShardNumber, { guests: number; bytes: number }>();
  private guests = 0;
  private bytes = 0;

  constructor(private readonly limits: RoomLimits) {}

  /** All who are in, ready ones included. */
  get size(): number {
    return this.guests;
  }

  get bytesHeld(): number {
    return this.bytes;
  }

  /** Is there anybody whose shard does not serve yet? */
  get isWaiting(): boolean {
    return this.waiting.size > 0;
  }

  get isReady(): boolean {
    return this.ready.size > 0;
  }

  /** Do some of the shard have their turn still to come? Who comes now goes behind them. */
  isDraining(shard: ShardNumber): boolean {
    return this.ready.has(shard);
  }

  /** @returns why one of this shard and size is not let in now; undefined when it is */
  refusalOf(shard: ShardNumber, bytes: number): RoomRefusal | undefined {
    const { maxGuests, maxBytes } = this.limits;
    if (this.guests >= maxGuests) return 'full';
    if (this.bytes + bytes > maxBytes) return 'bytes';
    const own = this.held.get(shard) ?? { guests: 0, bytes: 0 };
    const shards = Math.max(2, this.held.size + (this.held.has(shard) ? 0 : 1));
    const isOver = (held: number, total: number, max: number): boolean =>
      total >= max * NEARLY_FULL && held >= max / shards;
    if (isOver(own.guests, this.guests, maxGuests)) return 'share';
    // By what it has, not by what it would have: else a large body would never find its way in.
    return isOver(own.bytes, this.bytes, maxBytes) ? 'share' : undefined;
  }

  /** Lets one in, behind all others of its shard that wait. The caller has asked `refusalOf`. */
  enter(guest: G): void {
    const waiting = this.waiting.get(guest.shard);
    if (waiting === undefined) this.waiting.set(guest.shard, new Set([guest]));
    else waiting.add(guest);
    this.count(guest, 1);
  }

  /** Gives a place back: the client went away, or its time is over. Does nothing for one who is not in. */
  leave(guest: G): void {
    const ready = this.ready.get(guest.shard);
    if (ready?.delete(guest) === true) {
      if (ready.isEmpty) this.ready.delete(guest.shard);
    } else if (!this.stopWaiting(guest)) return;
    this.count(guest, -1);
  }

  /** One of those that wait need wait no longer, whatever its shard's entry. Does nothing for one who does not wait. */
  makeReady(guest: G): void {
    if (this.stopWaiting(guest)) this.queueOf(guest.shard).add(guest);
  }

  /** A shard's entry is another one: those that may go are ready, in the order they came; or nobody is any more. */
  take(entry: RoutingEntry): void {
    if (entry.state === 'serving') {
      for (const guest of this.waiting.get(entry.shard) ?? []) {
        if (mayGo(entry, guest.afterEpoch)) this.makeReady(guest);
      }
      return;
    }
    const ready = this.ready.get(entry.shard);
    if (ready === undefined) return;
    this.ready.delete(entry.shard);
    this.waiting.set(entry.shard, new Set([...ready.all(), ...(this.waiting.get(entry.shard) ?? [])]));
  }

  /**
   * The next one, who is then no longer in: the first of the first ready shard that may go.
   *
   * @param hasRoom whether one more of this shard may be sent just now
   */
  next(hasRoom: (shard: ShardNumber) => boolean): G | undefined {
    for (const [shard, queue] of this.ready) {
      if (!hasRoom(shard)) continue;
      const guest = queue.shift();
      this.ready.delete(shard);
      if (!queue.isEmpty) this.ready.set(shard, queue);
      if (guest === undefined) continue;
      this.count(guest, -1);
      return guest;
    }
    return undefined;
  }

  /** Everybody, shard by shard. */
  all(): G[] {
    return [
      ...[...this.ready.values()].flatMap((queue) => queue.all()),
      ...[...this.waiting.values()].flatMap((set) => [...set]),
    ];
  }

  private stopWaiting(guest: G): boolean {
    const waiting = this.waiting.get(guest.shard);
    if (waiting?.delete(guest) !== true) return false;
    if (waiting.size === 0) this.waiting.delete(guest.shard);
    return true;
  }

  private queueOf(shard: ShardNumber): Queue<G> {
    const known = this.ready.get(shard);
    if (known !== undefined) return known;
    const queue = new Queue<G>();
    this.ready.set(shard, queue);
    return queue;
  }

  private count(guest: G, by: 1 | -1): void {
    this.guests += by;
    this.bytes += by * guest.bytes;
    const held = this.held.get(guest.shard) ?? { guests: 0, bytes: 0 };
    held.guests += by;
    held.bytes += by * guest.bytes;
    if (held.guests === 0) this.held.delete(guest.shard);
    else this.held.set(guest.shard, held);
  }
}

/** First in, first out, with a way out of the middle. */
class Queue<Item> {
  private readonly items = new Set<Item>();
  /** Kept from one `shift` to the next: a new one would step over all that was taken out before, each time. */
  private head = this.items.values();

  get isEmpty(): boolean {
    return this.items.size === 0;
  }

  add(item: Item): void {
    this.items.add(item);
  }

  delete(item: Item): boolean {
    return this.items.delete(item);
  }

  shift(): Item | undefined {
    let first = this.head.next();
    if (first.done === true) {
      // It had come to the end before the last ones were added.
      this.head = this.items.values();
      first = this.head.next();
    }
    if (first.done === true) return undefined;
    this.items.delete(first.value);
    return first.value;
  }

  all(): Item[] {
    return [...this.items];
  }
}
