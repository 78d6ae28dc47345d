import { type Epoch, type ShardNumber, type ZoneId } from '@borough/topology';
import { takenBackTotal } from './forward/forward-metrics.js';
import { type LiveTable } from './table/live-table.js';

interface InFlightWrite {
  readonly zoneId: ZoneId;
  readonly epoch: Epoch;
  readonly giveUp: () => void;
}

/**
 * Writes that a zone has and has not answered. As soon as the table says that another zone owns the shard by now, those of
 * that shard are given up: a zone that was left is dead, frozen or cut off, and would keep them until its deadline.
 */
export class InFlightWrites {
  private readonly ofShard = new Map<ShardNumber, Set<InFlightWrite>>();
  private readonly ignoreTable: () => void;

  constructor(table: LiveTable) {
    this.ignoreTable = table.onChange((changed) => {
      for (const { shard, epoch, owner } of changed) {
        for (const write of this.ofShard.get(shard) ?? []) {
          if (epoch <= write.epoch || owner === write.zoneId) continue;
          takenBackTotal.inc();
          write.giveUp();
        }
      }
    });
  }

  /** @returns a signal that is aborted when the write is to be given up; `end` must be called when it is answered or failed */
  begin(shard: ShardNumber, zoneId: ZoneId, epoch: Epoch): { readonly signal: AbortSignal; readonly end: () => void } {
    const giving = new AbortController();
    const write: InFlightWrite = {
      zoneId,
      epoch,
      giveUp: () => {
        giving.abort();
      },
    };
    const writes = this.ofShard.get(shard) ?? new Set();
    this.ofShard.set(shard, writes.add(write));
    const end = (): void => {
      writes.delete(write);
      if (writes.size === 0 && this.ofShard.get(shard) === writes) this.ofShard.delete(shard);
    };
    return { signal: giving.signal, end };
  }

  stop(): void {
    this.ignoreTable();
  }
}
