import { Problem } from '@borough/server-kit';
import { type ShardNumber } from '@borough/topology';
import { type Answer, type Outcome, type PendingWrite, scopeOf } from './pending-write.js';

export interface GroupCommitOptions {
  /** Most writes in one batch. Larger ones leave this process idle while PostgreSQL works. */
  readonly batchWrites: number;
  /** Batches of one shard at once: one is written while the next one's rows travel. */
  readonly batchesPerShard: number;
  /** Batches of all shards at once; fewer than the pool has connections, so that reads find one. */
  readonly batches: number;
  /** Most writes waiting for a batch; one more is refused at once. */
  readonly maxWaiting: number;
}

interface Waiting {
  readonly write: PendingWrite;
  readonly resolve: (answer: Answer) => void;
  readonly reject: (reason: unknown) => void;
}

interface Lane {
  readonly shard: ShardNumber;
  waiting: Waiting[];
  batchesInFlight: number;
  /** Scopes of the writes in flight: a duplicate waits for its first to end, and is then a replay. */
  readonly scopesInFlight: Set<string>;
}

/**
 * Writes that arrive while a batch is being written form the next batch; a write that comes alone waits for nobody.
 *
 * One lane per shard, so that a shard that is being fenced stalls no other. No timer: a batch goes when there is room
 * for it, which gives small batches at low load and full ones at high load.
 */
export class GroupCommit {
  private readonly lanes = new Map<ShardNumber, Lane>();
  private waiting = 0;
  private batchesInFlight = 0;

  /** @param commit writes one batch: one outcome per write, or a throw for all of them */
  constructor(
    private readonly commit: (shard: ShardNumber, writes: readonly PendingWrite[]) => Promise<Outcome[]>,
    private readonly options: GroupCommitOptions,
  ) {}

  /**
   * @returns when the write is acknowledged by every in-sync zone
   * @throws Problem `overloaded` at once when too much is waiting; else what the write or its batch was refused with
   */
  submit(shard: ShardNumber, write: PendingWrite): Promise<Answer> {
    if (this.waiting >= this.options.maxWaiting) throw new Problem('overloaded', { retryAfterSeconds: 1 });
    const lane = this.laneOf(shard);
    return new Promise((resolve, reject) => {
      lane.waiting.push({ write, resolve, reject });
      this.waiting += 1;
      this.pump(lane);
    });
  }

  private laneOf(shard: ShardNumber): Lane {
    const lane = this.lanes.get(shard) ?? { shard, waiting: [], batchesInFlight: 0, scopesInFlight: new Set() };
    this.lanes.set(shard, lane);
    return lane;
  }

  private pump(lane: Lane): void {
    while (this.batchesInFlight < this.options.batches && lane.batchesInFlight < this.options.batchesPerShard) {
      const batch = this.take(lane);
      if (batch.length === 0) return;
      void this.write(lane, batch);
    }
  }

  /** The longest-waiting writes, without those whose key is being written already. */
  private take(lane: Lane): Waiting[] {
    const batch: Waiting[] = [];
    const left: Waiting[] = [];
    for (const waiting of lane.waiting) {
      const scope = scopeOf(waiting.write);
      if (batch.length < this.options.batchWrites && !lane.scopesInFlight.has(scope)) {
        lane.scopesInFlight.add(scope);
        batch.push(waiting);
      } else left.push(waiting);
    }
    lane.waiting = left;
    this.waiting -= batch.length;
    return batch;
  }

  private async write(lane: Lane, batch: readonly Waiting[]): Promise<void> {
    lane.batchesInFlight += 1;
    this.batchesInFlight += 1;
    try {
      await this.settle(lane.shard, batch);
    } finally {
      lane.batchesInFlight -= 1;
      this.batchesInFlight -= 1;
      for (const { write } of batch) lane.scopesInFlight.delete(scopeOf(write));
      if (lane.waiting.length === 0 && lane.batchesInFlight === 0) this.lanes.delete(lane.shard);
      // Other lanes first: this one had its turn.
      for (const other of this.lanes.values()) if (other !== lane) this.pump(other);
      this.pump(lane);
    }
  }

  /** A refusal of the shard refuses all; a fault of one write (a bug, a broken row) must not spoil the others. */
  private async settle(shard: ShardNumber, batch: readonly Waiting[]): Promise<void> {
    try {
      const outcomes = await this.commit(
        shard,
        batch.map(({ write }) => write),
      );
      batch.forEach(({ resolve, reject }, at) => {
        const outcome = outcomes[at];
        if (outcome?.kind === 'answered') resolve(outcome.answer);
        else reject(outcome?.problem ?? new Error('a write of a batch has no outcome'));
      });
    } catch (error) {
      if (error instanceof Problem || batch.length === 1) {
        for (const { reject } of batch) reject(error);
      } else {
        for (const waiting of batch) await this.settle(shard, [waiting]);
      }
    }
  }
}
