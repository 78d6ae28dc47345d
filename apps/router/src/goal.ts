import { type Epoch, type ShardNumber, type ZoneId } from '@borough/topology';
import { type LiveTable } from './table/live-table.js';

/** Who is asked, and what it is told about the shard. */
export interface Goal {
  readonly epoch: Epoch;
  /** Undefined when nobody owns the shard. */
  readonly owner: ZoneId | undefined;
}

const NOBODY: Goal = { epoch: 0, owner: undefined };

/** Who owns the shard, by the table or, where that is later, by what a zone said. */
export function goalOf(table: LiveTable, shard: ShardNumber, hint?: Goal): Goal {
  const known = table.entryOf(shard) ?? NOBODY;
  return hint !== undefined && hint.epoch > known.epoch ? hint : known;
}

/** First pause after a failure, in ms; it doubles up to the last. Up to as much again is added by chance. */
const FIRST_BACK_OFF_MS = 25;
const LAST_BACK_OFF_MS = 400;

/** @param tries so far, from 1; @param random from 0 to 1 */
export function pauseAfter(tries: number, random: () => number): number {
  return Math.min(FIRST_BACK_OFF_MS * 2 ** (tries - 1), LAST_BACK_OFF_MS) * (1 + random());
}
