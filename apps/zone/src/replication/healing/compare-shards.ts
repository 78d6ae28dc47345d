/**
 * Do two zones hold the same rows of some shards, and which differ?
 *
 * Both go on writing meanwhile. So a row that differs is looked at again once each zone has taken in what the other had
 * written by then: a row that stood still on both sides and differs all the same is different. One that moves is looked at
 * again. A range is believed to be equal when its digests were once: a stream that runs keeps it so.
 */
import { type RowStamp } from '@borough/topology';
import { awaitLag, type ComparedZone, LAG_MAX_MS } from './compared-zone.js';
import {
  differingPairs,
  differingRanges,
  differingRows,
  nameOf,
  type ReadingCost,
  type RowPair,
} from './differing-rows.js';
import { type RowDigest, type RowKey, rowsByKey } from './key-ranges.js';
import { type ShardedTable, shardedTables } from './sharded-table.js';

export interface CompareOptions {
  /** Names of tables; all when left out. */
  readonly tables?: readonly string[];
  /** It stops after so many; 1,000 when left out. */
  readonly maxDifferences?: number;
  /** How long a stream may be behind before nothing can be said, in ms. */
  readonly lagMaxMs?: number;
  /**
   * Waits until what was written by now has arrived; false: it did not in time. When left out, the streams between the two
   * zones are waited for; to be given for shards that a third zone owns.
   */
  readonly settle?: () => Promise<boolean>;
  /** Looks only at what may have changed since, in ms since 1970. */
  readonly sinceMs?: number;
  /** Waited for after every part of a table: makes it slower, for the sake of others. */
  readonly pace?: () => Promise<void>;
  readonly onProgress?: (progress: { readonly table: string; readonly rowsDigested: number }) => void;
  readonly signal?: AbortSignal;
}

export interface RowDifference {
  readonly table: string;
  /** The values of the primary key, as text, in its order. */
  readonly key: RowKey;
  readonly shard: number;
  /** Undefined: this side has no such row. */
  readonly left: RowStamp | undefined;
  readonly right: RowStamp | undefined;
}

export interface Comparison extends Readonly<ReadingCost> {
  readonly differing: readonly RowDifference[];
  /** Rows that differ, but move all the time, or belong to a stream that is stuck: nobody can say. */
  readonly undecided: readonly RowDifference[];
  /** False when it stopped at `maxDifferences`. */
  readonly isComplete: boolean;
  /** Everything was seen, and no row differs. */
  readonly isEqual: boolean;
}

/** Rows are looked at again so often before nothing is said about them. */
const LOOKS = 10;
const KEYS_PER_LOOK = 500;

/**
 * Compares all rows of some shards in two zones.
 *
 * @param shards none: the answer is equal
 * @throws what the sessions throw; the signal's reason when it is aborted
 */
export async function compareShards(
  left: ComparedZone,
  right: ComparedZone,
  shards: readonly number[],
  options: CompareOptions = {},
): Promise<Comparison> {
  const { maxDifferences = 1_000, lagMaxMs = LAG_MAX_MS, signal } = options;
  const settle = options.settle ?? (() => awaitLag(left, right, lagMaxMs, signal));
  const cost: ReadingCost = { rowsDigested: 0, rowsRead: 0 };
  const differing: RowDifference[] = [];
  const undecided: RowDifference[] = [];
  const tables = shards.length === 0 ? [] : await shardedTables(left, right, options.tables, options.sinceMs);
  for (const table of tables) {
    let candidates: RowPair[] = [];
    const decide = async (): Promise<void> => {
      const found = await decided(left, right, table, candidates, settle, cost);
      differing.push(...found.differing.map((pair) => differenceOf(table, pair)));
      undecided.push(...found.undecided.map((pair) => differenceOf(table, pair)));
      candidates = [];
    };
    for await (const ranges of differingRanges(left, right, table, shards, cost, signal)) {
      for (const range of ranges) {
        candidates.push(...(await differingRows(left, right, table, shards, range, cost)));
        if (candidates.length + differing.length < maxDifferences) continue;
        await decide();
        if (differing.length >= maxDifferences) {
          return {
            ...cost,
            differing: differing.slice(0, maxDifferences),
            undecided,
            isComplete: false,
            isEqual: false,
          };
        }
      }
      options.onProgress?.({ table: table.name, rowsDigested: cost.rowsDigested });
      await options.pace?.();
    }
    await decide();
  }
  const isEqual = differing.length === 0 && undecided.length === 0;
  return { ...cost, differing, undecided, isComplete: true, isEqual };
}

/** Looks again until each pair is equal, or has stood still through a wait for the streams. */
async function decided(
  left: ComparedZone,
  right: ComparedZone,
  table: ShardedTable,
  candidates: readonly RowPair[],
  settle: () => Promise<boolean>,
  cost: ReadingCost,
): Promise<{ differing: RowPair[]; undecided: RowPair[] }> {
  const differing: RowPair[] = [];
  let open = [...candidates];
  for (let looked = 0; looked < LOOKS && open.length > 0; looked += 1) {
    if (!(await settle())) break;
    const before = new Map(open.map((pair) => [nameOf(pair.key), pair]));
    const now = await lookAgain(left, right, table, open, cost);
    const hasStoodStill = (pair: RowPair): boolean => {
      const then = before.get(nameOf(pair.key));
      return then?.left?.digest === pair.left?.digest && then?.right?.digest === pair.right?.digest;
    };
    differing.push(...now.filter(hasStoodStill));
    open = now.filter((pair) => !hasStoodStill(pair));
  }
  return { differing, undecided: open };
}

async function lookAgain(
  left: ComparedZone,
  right: ComparedZone,
  table: ShardedTable,
  pairs: readonly RowPair[],
  cost: ReadingCost,
): Promise<RowPair[]> {
  const found = new Map<string, RowPair>();
  for (let first = 0; first < pairs.length; first += KEYS_PER_LOOK) {
    const keys = pairs.slice(first, first + KEYS_PER_LOOK).map(({ key }) => key);
    const [ours, theirs] = await Promise.all([left, right].map((zone) => rowsByKey(zone, table, keys)));
    cost.rowsRead += (ours?.length ?? 0) + (theirs?.length ?? 0);
    for (const pair of differingPairs(ours ?? [], theirs ?? [])) found.set(nameOf(pair.key), pair);
  }
  return pairs.flatMap(({ key }) => found.get(nameOf(key)) ?? []);
}

function differenceOf(table: ShardedTable, { key, left, right }: RowPair): RowDifference {
  const stampOf = (row: RowDigest | undefined): RowStamp | undefined =>
    row === undefined ? undefined : { epoch: row.epoch, version: row.version };
  return { table: table.name, key, shard: (left ?? right)?.shard ?? -1, left: stampOf(left), right: stampOf(right) };
}
