/**
 * Makes a zone's rows of some shards what their owner has (design.md section 6, Healing). Reads at the owner, writes here
 * only, and never for a shard this zone owns: `control.heal_rows` refuses that, and a zone that is sealed off (T30).
 *
 * It runs beside the stream, in batches that are each a transaction of their own, and may be broken off and begun again at
 * any point. One pass does not make equal: a row may be under way, or an update of a row that was missing may have been
 * dropped meanwhile (T6). So it ends in a comparison, and begins again until that finds nothing.
 */
import { compareStamps, type Epoch } from '@borough/topology';
import { awaitArrival, type ComparedZone } from './compared-zone.js';
import { compareShards, type RowDifference } from './compare-shards.js';
import {
  type DifferingRange,
  differingRanges,
  differingRows,
  type ReadingCost,
  type RowPair,
} from './differing-rows.js';
import { documentsByKey, documentsWithin } from './key-ranges.js';
import { type ShardedTable, shardedTables } from './sharded-table.js';

/** A shard, and the epoch at which its owner serves it. */
export interface HealedShard {
  readonly shard: number;
  readonly epoch: Epoch;
}

interface HealProgress {
  readonly table: string;
  readonly taken: number;
  readonly receipts: number;
  /** Rows of the owner that were gone through, all tables together. */
  readonly rowsDone: number;
}

export interface HealOptions {
  readonly tables?: readonly string[];
  readonly batchRows?: number;
  readonly onProgress?: (progress: HealProgress) => void;
  readonly signal?: AbortSignal;
}

export interface Healing {
  /** Rows of the owner that were written here. */
  readonly taken: number;
  /** Rows that stood here and are kept as receipts. */
  readonly receipts: number;
  /** Ranges of rows that differed: none says that everything was found equal. */
  readonly rangesDiffering: number;
}

const BATCH_ROWS = 500;
/** A range of so many rows is read by key at once: what differs here is mostly much or nothing. */
const READ_ROWS = 512;
const DEADLINE_MS = 60_000;

/**
 * One pass over all rows of the shards.
 *
 * @param owner serves all these shards, at these epochs; a session that reads
 * @param here a session of the owner role
 * @throws what the sessions throw: BR409 when the owner is sealed off here, or a shard is owned here or has a later epoch;
 *   the signal's reason when it is aborted. What was written until then stays
 */
export async function healFrom(
  owner: ComparedZone,
  here: ComparedZone,
  shards: readonly HealedShard[],
  options: HealOptions = {},
): Promise<Healing> {
  const { signal, onProgress, batchRows = BATCH_ROWS } = options;
  const numbers = shards.map(({ shard }) => shard);
  const cost: ReadingCost = { rowsDigested: 0, rowsRead: 0 };
  let taken = 0;
  let receipts = 0;
  let rangesDiffering = 0;
  const tables = shards.length === 0 ? [] : await shardedTables(owner, here, options.tables);
  for (const table of tables) {
    for await (const ranges of differingRanges(owner, here, table, numbers, cost, signal)) {
      rangesDiffering += ranges.length;
      for (const range of ranges) {
        const work = await workOf(owner, here, table, numbers, range, shards, cost);
        for (const batch of batchesOf(work, batchRows)) {
          signal?.throwIfAborted();
          const rows = batch.keys === undefined ? batch.documents : await documentsByKey(owner, table, batch.keys);
          const healed = await writeRows(owner, here, table, shards, rows, batch.absent);
          taken += healed.taken;
          receipts += healed.receipts;
          onProgress?.({ table: table.name, taken, receipts, rowsDone: cost.rowsDigested });
        }
      }
      onProgress?.({ table: table.name, taken, receipts, rowsDone: cost.rowsDigested });
    }
  }
  return { taken, receipts, rangesDiffering };
}

/** What came of healing until equal. */
export interface HealedUntilEqual {
  readonly taken: number;
  readonly receipts: number;
  readonly isEqual: boolean;
  /** What differs still, or cannot be told; empty when equal. */
  readonly differing: readonly RowDifference[];
}

const PASSES = 5;

/**
 * Heals until a comparison finds nothing, and notes it (`control.healed`), unless it was for some tables only.
 *
 * @returns not equal after five passes, or when one finds nothing to do: the owner lacks a row of its own epoch, say, and
 *   healing writes to no owner
 * @throws as `healFrom` and `compareShards`
 */
export async function healUntilEqual(
  owner: ComparedZone,
  here: ComparedZone,
  shards: readonly HealedShard[],
  options: HealOptions = {},
): Promise<HealedUntilEqual> {
  let taken = 0;
  let receipts = 0;
  for (let pass = 1; ; pass += 1) {
    const healing = await healFrom(owner, here, shards, options);
    taken += healing.taken;
    receipts += healing.receipts;
    const differing = healing.rangesDiffering === 0 ? [] : await stillDiffering(owner, here, shards, options);
    const isEqual = differing.length === 0;
    const isOver = pass === PASSES || (pass > 1 && healing.taken + healing.receipts === 0);
    if (isEqual && options.tables === undefined) await noteHealed(here, shards);
    if (isEqual || isOver) return { taken, receipts, isEqual, differing };
  }
}

async function stillDiffering(
  owner: ComparedZone,
  here: ComparedZone,
  shards: readonly HealedShard[],
  { tables, signal }: HealOptions,
): Promise<readonly RowDifference[]> {
  const { differing, undecided } = await compareShards(
    owner,
    here,
    shards.map(({ shard }) => shard),
    {
      ...(tables === undefined ? {} : { tables }),
      ...(signal === undefined ? {} : { signal }),
      settle: () => awaitArrival(owner, here, undefined, signal),
    },
  );
  return [...differing, ...undecided];
}

async function noteHealed(here: ComparedZone, shards: readonly HealedShard[]): Promise<void> {
  await here.session.query('SELECT control.note_healed($1, $2)', [
    shards.map(({ shard }) => shard),
    shards.map(({ epoch }) => epoch),
  ]);
}

/** What is to be done in one range. */
interface Work {
  /** Rows of the owner to be written, as they were read. */
  readonly documents: readonly string[];
  /** Keys of rows of the owner to be read and written. */
  readonly keys: readonly (readonly string[])[];
  /** Rows the owner has not: key and shard, as JSON texts. */
  readonly absent: readonly string[];
}

async function workOf(
  owner: ComparedZone,
  here: ComparedZone,
  table: ShardedTable,
  numbers: readonly number[],
  range: DifferingRange,
  shards: readonly HealedShard[],
  cost: ReadingCost,
): Promise<Work> {
  // A fresh disk: nothing to look at first.
  if (range.right.rows === 0) {
    return { documents: await documentsWithin(owner, table, numbers, range.range), keys: [], absent: [] };
  }
  const pairs = await differingRows(owner, here, table, numbers, range, cost, READ_ROWS);
  const epochs = new Map(shards.map(({ shard, epoch }) => [shard, epoch]));
  return {
    documents: [],
    keys: pairs.filter((pair) => isWanted(pair, epochs)).map(({ key }) => key),
    absent: pairs.flatMap(({ key, left, right }) =>
      left === undefined && right !== undefined && right.epoch < (epochs.get(right.shard) ?? 0)
        ? [
            JSON.stringify({
              ...Object.fromEntries(table.key.map(({ name }, n) => [name, key[n]])),
              shard: right.shard,
            }),
          ]
        : [],
    ),
  };
}

/** Whether the owner's row may have to replace the one here. The database judges again, on the locked row. */
function isWanted({ left, right }: RowPair, epochs: ReadonlyMap<number, Epoch>): boolean {
  if (left === undefined) return false;
  if (right === undefined) return true;
  return compareStamps(right, left) <= 0 || right.epoch < (epochs.get(left.shard) ?? 0);
}

interface Batch {
  readonly documents: readonly string[];
  /** Undefined: the documents are there. */
  readonly keys: readonly (readonly string[])[] | undefined;
  readonly absent: readonly string[];
}

function* batchesOf({ documents, keys, absent }: Work, size: number): Generator<Batch> {
  const slices = <Item>(items: readonly Item[]): (readonly Item[])[] =>
    Array.from({ length: Math.ceil(items.length / size) }, (_, n) => items.slice(n * size, (n + 1) * size));
  // What the owner has not goes first: it may stand in the way of what it has, on another unique key.
  for (const part of slices(absent)) yield { documents: [], keys: undefined, absent: part };
  for (const part of slices(documents)) yield { documents: part, keys: undefined, absent: [] };
  for (const part of slices(keys)) yield { documents: [], keys: part, absent: [] };
}

async function writeRows(
  owner: ComparedZone,
  here: ComparedZone,
  table: ShardedTable,
  shards: readonly HealedShard[],
  rows: readonly string[],
  absent: readonly string[],
): Promise<{ taken: number; receipts: number }> {
  const [healed] = await here.session.query<{ taken: string; receipts: string }>(
    'SELECT h.taken::text, h.receipts::text FROM control.heal_rows($1, $2, $3, $4, $5::jsonb, $6::jsonb) h',
    [
      owner.zoneId,
      table.name,
      shards.map(({ shard }) => shard),
      shards.map(({ epoch }) => epoch),
      `[${rows.join(',')}]`,
      `[${absent.join(',')}]`,
    ],
    DEADLINE_MS,
  );
  return { taken: Number(healed?.taken ?? 0), receipts: Number(healed?.receipts ?? 0) };
}
