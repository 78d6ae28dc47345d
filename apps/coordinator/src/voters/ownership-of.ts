import { type AdoptedOwnership, adoptedOwnership, type ShardNumber, type VoterCopy } from '@borough/topology';
import { type Readings } from './voters.js';

/** What the voters say of one shard, with the copies it follows from. */
export interface ShardOwnership {
  readonly shard: ShardNumber;
  readonly copies: readonly VoterCopy[];
  readonly adopted: AdoptedOwnership;
}

/** Turns the readings by voter into ownership by shard, for every shard any voter has heard of. */
export function ownershipOf(readings: Readings, voterCount: number): ShardOwnership[] {
  const rows = [...readings].map(([voter, reading]) => ({
    voter,
    byShard: new Map(reading.ownership.map((row) => [row.shard, row])),
  }));
  const shards = new Set(rows.flatMap(({ byShard }) => [...byShard.keys()]));
  return [...shards].map((shard) => {
    const copies = rows.map(({ voter, byShard }) => ({ voter, row: byShard.get(shard) }));
    return { shard, copies, adopted: adoptedOwnership(copies, voterCount) };
  });
}
