import { Problem } from '@borough/server-kit';
import { type Epoch, type ShardNumber, type ZoneId } from '@borough/topology';
import { type ServerResponse } from 'node:http';
import { type LiveTable } from '../table/live-table.js';
import { abandonedTotal, heldNow, heldTotal, holdSeconds, refusedTotal, releasedTotal } from './hold-metrics.js';
import { ReleasePace } from './release-pace.js';
import { type Guest, mayGo, WaitingRoom } from './waiting-room.js';

/** How often held requests are let go while the rate, and nothing else, keeps them, in ms. */
const RELEASE_EVERY_MS = 5;
const RETRY_AFTER_SECONDS = 1;

export interface HoldOptions {
  /** Most requests held at once, over all shards. */
  readonly maxRequests: number;
  /** Most bytes of bodies held at once, over all shards. */
  readonly maxBytes: number;
  readonly releasePerSecond: number;
  /** Most requests that were let go to one zone and are not answered yet. */
  readonly maxUnanswered: number;
}

/** A request that is to wait. */
export interface Waiting {
  readonly shard: ShardNumber;
  /** Size of its body. */
  readonly bytes: number;
  /** Waits until its shard serves at a later epoch than this. */
  readonly afterEpoch: Epoch;
  /** Goes after this many ms anyway, unless its shard is known to move by then. */
  readonly retryAfterMs?: number;
  /** The same as soon as this zone is said to answer again. */
  readonly untilAnswers?: ZoneId;
  /** Goes even then: a read, or one that knows more than the table. */
  readonly triesWhileMoving: boolean;
  /** On the clock of `performance.now()`. */
  readonly deadlineAtMs: number;
  /** For the counters: what makes it wait. */
  readonly reason: string;
  /** Its place is given back when this closes. */
  readonly client: ServerResponse;
}

/** The right to send one request now. */
export interface Turn {
  /** Must be called, once, when the zone has answered or failed to. */
  readonly end: () => void;
}

/** The client of a held request went away: there is nobody to answer. */
export class ClientGone extends Error {
  constructor() {
    super('the client went away');
    this.name = 'ClientGone';
  }
}

type HeldRequest = Guest & Waiting & { readonly heldAtMs: number; settle: (outcome: Turn | Error) => void };

/**
 * Keeps requests until their shard serves again, and lets them go one after the other (SPEC.md M3).
 *
 * Bounded in number, in bytes and in time; fair between shards (see `WaitingRoom`). While anybody waits the coordinators
 * are asked again and again, so that a move ends here without NATS too. What is let go is paced twice, by a rate and by
 * what each zone has not answered yet: the heir has just begun to serve.
 */
export class Hold {
  private readonly room: WaitingRoom<HeldRequest>;
  private readonly pace: ReleasePace;
  private readonly unanswered = new Map<ZoneId | undefined, number>();
  private readonly ignoreTable: () => void;
  private releasing: NodeJS.Timeout | undefined;
  private isAsking = false;
  private isEnded = false;

  constructor(
    private readonly table: LiveTable,
    private readonly options: HoldOptions,
  ) {
    this.room = new WaitingRoom({ maxGuests: options.maxRequests, maxBytes: options.maxBytes });
    this.pace = new ReleasePace(options.releasePerSecond, performance.now());
    this.ignoreTable = table.onChange((changed) => {
      for (const entry of changed) this.room.take(entry);
      this.release();
    });
  }

  get heldRequests(): number {
    return this.room.size;
  }

  get isStopped(): boolean {
    return this.isEnded;
  }

  /** Must a write of this shard wait, or go behind some that have? Two look-ups at most; none finds anything in peace. */
  mustWait(shard: ShardNumber): boolean {
    const entry = this.table.entryOf(shard);
    return (entry !== undefined && entry.state !== 'serving') || this.room.isDraining(shard);
  }

  /**
   * Waits for the shard to serve at a later epoch, for `retryAfterMs` to pass or `untilAnswers` to answer, and then for its
   * turn.
   *
   * @returns the right to send it once; look the owner up anew, it is another one
   * @throws Problem `hold-full` when there is no place for it (the newcomer is refused, the parked keep their turn);
   *   `hold-timeout` at `deadlineAtMs`, or at once when this router stops
   * @throws ClientGone when nobody waits for the answer any more
   */
  wait(waiting: Waiting): Promise<Turn> {
    return new Promise((resolve, reject) => {
      const refusal = this.isEnded ? stopping() : this.refusalOf(waiting);
      if (refusal !== undefined) {
        reject(refusal);
        return;
      }
      this.park(waiting, (outcome) => {
        if (outcome instanceof Error) reject(outcome);
        else resolve(outcome);
      });
    });
  }

  /** A zone that was silent answers again: those who wait for it may go. */
  zoneAnswers(zoneId: ZoneId): void {
    for (const held of this.room.all()) if (held.untilAnswers === zoneId) this.tryAgain(held);
  }

  /** Answers everybody who waits, and holds nobody any more. */
  stop(): void {
    this.isEnded = true;
    this.ignoreTable();
    clearTimeout(this.releasing);
    for (const held of this.room.all()) {
      this.room.leave(held);
      held.settle(stopping());
    }
  }

  private refusalOf({ shard, bytes, client, deadlineAtMs }: Waiting): Error | undefined {
    if (client.destroyed) return new ClientGone();
    if (performance.now() >= deadlineAtMs) return timedOut();
    const reason = this.room.refusalOf(shard, bytes);
    if (reason === undefined) return undefined;
    refusedTotal.inc({ reason });
    return new Problem('hold-full', { retryAfterSeconds: RETRY_AFTER_SECONDS });
  }

  private park(waiting: Waiting, answer: (outcome: Turn | Error) => void): void {
    const { shard, client, deadlineAtMs, retryAfterMs, reason } = waiting;
    const heldAtMs = performance.now();
    const give = (outcome: Error): void => {
      this.room.leave(held);
      held.settle(outcome);
    };
    const onGone = (): void => {
      abandonedTotal.inc();
      give(new ClientGone());
    };
    const ending = setTimeout(() => {
      give(timedOut());
    }, deadlineAtMs - heldAtMs);
    const trying =
      retryAfterMs === undefined
        ? undefined
        : setTimeout(() => {
            this.tryAgain(held);
          }, retryAfterMs);
    const settle = (outcome: Turn | Error): void => {
      clearTimeout(ending);
      clearTimeout(trying);
      client.off('close', onGone);
      heldNow.dec();
      holdSeconds.observe((performance.now() - heldAtMs) / 1_000);
      answer(outcome);
    };
    const held: HeldRequest = { ...waiting, heldAtMs, settle };
    client.once('close', onGone);
    heldTotal.inc({ reason });
    heldNow.inc();
    this.enter(held, this.room.isDraining(shard));
  }

  private enter(held: HeldRequest, isJoining: boolean): void {
    this.room.enter(held);
    if (mayGo(this.table.entryOf(held.shard), held.afterEpoch)) {
      this.room.makeReady(held);
      if (isJoining) this.pace.credit();
      this.release();
    } else void this.keepAsking();
  }

  private tryAgain(held: HeldRequest): void {
    const entry = this.table.entryOf(held.shard);
    if (!held.triesWhileMoving && entry !== undefined && entry.state !== 'serving') return;
    this.room.makeReady(held);
    this.release();
  }

  private release(): void {
    clearTimeout(this.releasing);
    this.releasing = undefined;
    const hasRoom = (shard: ShardNumber): boolean =>
      (this.unanswered.get(this.table.entryOf(shard)?.owner) ?? 0) < this.options.maxUnanswered;
    while (this.room.isReady) {
      if (!this.pace.take(performance.now())) {
        this.releasing = setTimeout(() => {
          this.release();
        }, RELEASE_EVERY_MS);
        return;
      }
      const held = this.room.next(hasRoom);
      if (held === undefined) {
        // Every zone has its fill: the next answer lets the next one go.
        this.pace.credit();
        return;
      }
      releasedTotal.inc();
      held.settle(this.turnTo(this.table.entryOf(held.shard)?.owner));
    }
  }

  private turnTo(zoneId: ZoneId | undefined): Turn {
    this.unanswered.set(zoneId, (this.unanswered.get(zoneId) ?? 0) + 1);
    let isOver = false;
    const end = (): void => {
      if (isOver) return;
      isOver = true;
      const left = (this.unanswered.get(zoneId) ?? 1) - 1;
      if (left === 0) this.unanswered.delete(zoneId);
      else this.unanswered.set(zoneId, left);
      if (!this.isEnded && this.releasing === undefined) this.release();
    };
    return { end };
  }

  private async keepAsking(): Promise<void> {
    if (this.isAsking) return;
    this.isAsking = true;
    while (this.room.isWaiting && !this.isEnded) await this.table.refresh();
    this.isAsking = false;
  }
}

function timedOut(): Problem {
  refusedTotal.inc({ reason: 'timeout' });
  return new Problem('hold-timeout', { retryAfterSeconds: RETRY_AFTER_SECONDS });
}

function stopping(): Problem {
  refusedTotal.inc({ reason: 'stopping' });
  return new Problem('hold-timeout', {
    detail: 'This router is stopping.',
    retryAfterSeconds: RETRY_AFTER_SECONDS,
  });
}
