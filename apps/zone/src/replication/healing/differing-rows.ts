/**
 * Finds the rows in which two zones differ without reading the others: digests of key ranges, then of parts of those that
 * differ, down to a few rows.
 *
 *     65,536 rows ─► 16 ranges ─► digests on both sides ─► those that differ, looked at once more ─► 16 parts each ─► …
 *                                                                                                    ─► rows, by key
 *
 * What is under way between the zones differs too, for a moment: whoever calls this decides what to make of it.
 */
import { type ComparedZone } from './compared-zone.js';
import {
  digestsOf,
  type KeyRange,
  keysAt,
  type RangeDigest,
  type RowDigest,
  type RowKey,
  rowsWithin,
} from './key-ranges.js';
import { type ShardedTable } from './sharded-table.js';

const RANGE_ROWS = 4_096;
const RANGES_PER_CHUNK = 16;
const PARTS = 16;
/** A range of so few rows is read. */
const READ_ROWS = 64;

/** One key, and what each side has of it. At least one of the two is there. */
export interface RowPair {
  readonly key: RowKey;
  readonly left: RowDigest | undefined;
  readonly right: RowDigest | undefined;
}

/** What it cost, over the wire and in the databases. */
export interface ReadingCost {
  /** Rows that went into digests, on the side that has more of them. Counted again when looked at again. */
  rowsDigested: number;
  /** Rows of which key, age and digest were read, both sides together. */
  rowsRead: number;
}

export interface DifferingRange {
  readonly range: KeyRange;
  readonly left: RangeDigest;
  readonly right: RangeDigest;
}

/**
 * Ranges of a table in which two zones differ, some 65,000 rows of the left zone at a time.
 *
 * @param left the side whose keys divide the table; the other may have more rows, at the price of longer queries
 */
export async function* differingRanges(
  left: ComparedZone,
  right: ComparedZone,
  table: ShardedTable,
  shards: readonly number[],
  cost: ReadingCost,
  signal?: AbortSignal,
): AsyncGenerator<DifferingRange[]> {
  let after: RowKey | undefined;
  for (;;) {
    signal?.throwIfAborted();
    const bounds = await keysAt(left, table, undefined, { after }, RANGE_ROWS, RANGE_ROWS * RANGES_PER_CHUNK);
    const isLast = bounds.length < RANGES_PER_CHUNK;
    const ranges = rangesBetween(after, bounds, isLast);
    const once = await differingOf(left, right, table, shards, ranges, cost);
    yield await differingOf(
      left,
      right,
      table,
      shards,
      once.map(({ range }) => range),
      cost,
    );
    if (isLast) return;
    after = bounds.at(-1);
  }
}

/** The rows of a range in which two zones differ. */
export async function differingRows(
  left: ComparedZone,
  right: ComparedZone,
  table: ShardedTable,
  shards: readonly number[],
  { range, ...found }: DifferingRange,
  cost: ReadingCost,
  readRows = READ_ROWS,
): Promise<RowPair[]> {
  const most = Math.max(found.left.rows, found.right.rows);
  if (most <= readRows) {
    const [ours, theirs] = await Promise.all([left, right].map((zone) => rowsWithin(zone, table, shards, range)));
    cost.rowsRead += (ours?.length ?? 0) + (theirs?.length ?? 0);
    return differingPairs(ours ?? [], theirs ?? []);
  }
  const larger = found.left.rows >= found.right.rows ? left : right;
  const step = Math.ceil(most / PARTS);
  const bounds = await keysAt(larger, table, shards, range, step, most);
  const parts = partsOf(range, bounds);
  const differing = await differingOf(left, right, table, shards, parts, cost);
  const rows: RowPair[] = [];
  for (const part of differing) rows.push(...(await differingRows(left, right, table, shards, part, cost, readRows)));
  return rows;
}

/** Pairs the rows of two sides by key, and leaves out those that are equal. */
export function differingPairs(ours: readonly RowDigest[], theirs: readonly RowDigest[]): RowPair[] {
  const rightByKey = new Map(theirs.map((row) => [nameOf(row.key), row]));
  const pairs: RowPair[] = [];
  for (const left of ours) {
    const right = rightByKey.get(nameOf(left.key));
    rightByKey.delete(nameOf(left.key));
    if (left.digest !== right?.digest) pairs.push({ key: left.key, left, right });
  }
  return [...pairs, ...[...rightByKey.values()].map((right) => ({ key: right.key, left: undefined, right }))];
}

/** A key as one text, to look it up by. */
export function nameOf(key: RowKey): string {
  return JSON.stringify(key);
}

async function differingOf(
  left: ComparedZone,
  right: ComparedZone,
  table: ShardedTable,
  shards: readonly number[],
  ranges: readonly KeyRange[],
  cost: ReadingCost,
): Promise<DifferingRange[]> {
  if (ranges.length === 0) return [];
  const [ours, theirs] = await Promise.all([left, right].map((zone) => digestsOf(zone, table, shards, ranges)));
  return ranges.flatMap((range, place) => {
    const mine = ours?.[place] ?? { rows: 0, digest: '' };
    const other = theirs?.[place] ?? { rows: 0, digest: '' };
    cost.rowsDigested += Math.max(mine.rows, other.rows);
    const isEqual = mine.rows === other.rows && mine.digest === other.digest;
    return isEqual ? [] : [{ range, left: mine, right: other }];
  });
}

/** From `after` over the bounds; the last range is open where the table ends. */
function rangesBetween(after: RowKey | undefined, bounds: readonly RowKey[], isLast: boolean): KeyRange[] {
  const starts = [after, ...bounds];
  const ranges = bounds.map((upTo, place) => ({ after: starts[place], upTo }));
  return isLast ? [...ranges, { after: starts.at(-1) }] : ranges;
}

function partsOf(range: KeyRange, bounds: readonly RowKey[]): KeyRange[] {
  const inner = bounds.filter((bound) => range.upTo === undefined || nameOf(bound) !== nameOf(range.upTo));
  return rangesBetween(range.after, inner, true).map((part) => ('upTo' in part ? part : { ...part, upTo: range.upTo }));
}
