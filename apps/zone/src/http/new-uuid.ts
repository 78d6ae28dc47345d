import { randomBytes } from 'node:crypto';
import { newUuid, type ShardNumber } from '@borough/topology';

const UUID_BYTES = 16;

/** A fresh id for a row of this shard, by the clock and the chance of this process. */
export function freshUuid(shard: ShardNumber): string {
  return newUuid(shard, Date.now(), () => randomBytes(UUID_BYTES));
}
