/**
 * The routing table: which zone serves which shard (SPEC.md RT1–RT5).
 *
 * Entries may come late, twice and out of order. Per shard the later one stays, by (epoch, state); so all parts that
 * have seen the same entries hold the same table, whatever happened on the way:
 *
 *     coordinator ── (7, moving) ── (8, serving) ──►  router A: both, in order      → (8, serving)
 *                                                     router B: swapped, one twice  → (8, serving)
 *
 * The table version is a sum that grows with every later entry. A part that has merged an update and still has a lower
 * version than the one announced with it has missed something: it fetches the snapshot, and never guesses.
 */
import { type ShardNumber } from './ids.js';
import { type Epoch, type OwnershipRow } from './shard-state.js';
import { type ZoneId } from './zone-id.js';

/** The published states of a shard; a stored `accepted` is never published. */
export type RoutingState = 'serving' | 'moving' | 'fenced';

/**
 * One shard's line of the table, as it crosses the wire.
 *
 * While `moving` and `fenced` the `owner` still answers reads, and `heir` is who will probably be next: a hint for
 * warming connections, not a promise.
 */
export type RoutingEntry = {
  shard: ShardNumber;
  epoch: Epoch;
  state: RoutingState;
  owner: ZoneId;
  heir?: ZoneId | undefined;
};

/** The whole map shard → entry with its version. Immutable: `merge` gives a new one. */
export type RoutingTable = {
  readonly entries: ReadonlyMap<ShardNumber, RoutingEntry>;
  readonly tableVersion: number;
};

/** Order of the states within an epoch, and what each adds to the table version. */
export const STATE_RANKS = { serving: 1, moving: 2, fenced: 3 } as const satisfies Record<RoutingState, number>;

// One more than the highest rank, so that any state of the next epoch outweighs every state of this one.
const EPOCH_WEIGHT = 4;

/** The table before anything is known: no entry, version 0. */
export function emptyTable(): RoutingTable {
  return { entries: new Map(), tableVersion: 0 };
}

/** A table of these entries; of several for one shard the latest stays. */
export function tableOf(entries: Iterable<RoutingEntry>): RoutingTable {
  return merge(emptyTable(), entries);
}

/**
 * The table with every entry taken in that is later than the one it has. Never mutates.
 *
 * Idempotent, commutative and associative: order and repetition do not matter (RT1).
 *
 * @returns the same object when no entry is later, so that callers can tell by `===` that nothing changed
 */
export function merge(table: RoutingTable, entries: Iterable<RoutingEntry>): RoutingTable {
  let merged: Map<ShardNumber, RoutingEntry> | undefined;
  let tableVersion = table.tableVersion;
  for (const entry of entries) {
    const known = (merged ?? table.entries).get(entry.shard);
    if (known !== undefined && compareEntries(entry, known) <= 0) continue;
    merged ??= new Map(table.entries);
    merged.set(entry.shard, entry);
    tableVersion += weightOf(entry) - (known === undefined ? 0 : weightOf(known));
  }
  return merged === undefined ? table : { entries: merged, tableVersion };
}

/**
 * Below 0 when `a` is older than `b`, above 0 when later, 0 when they say the same. For entries of one shard.
 *
 * By epoch, then state. What is left are two entries of one (epoch, state) with another heir, which a second coordinator
 * can cause, or another owner, which O3 rules out: these are ordered by name, with no meaning but that everyone chooses
 * the same one.
 */
export function compareEntries(a: RoutingEntry, b: RoutingEntry): number {
  return weightOf(a) - weightOf(b) || compareTexts(a.owner, b.owner) || compareTexts(a.heir ?? '', b.heir ?? '');
}

/**
 * The version of a table of these entries: the sum over all shards of 4 x epoch + rank (serving 1, moving 2, fenced 3).
 *
 * It only grows along the publications of a cluster. Of two tables with one version, if one came from the other by
 * merging, both hold the same epochs, states and owners. Between the tables of two coordinators that saw different
 * things it proves nothing, so it is no identity of a table (no ETag by itself).
 *
 * @param entries one per shard
 */
export function tableVersionOf(entries: Iterable<RoutingEntry>): number {
  let sum = 0;
  for (const entry of entries) sum += weightOf(entry);
  return sum;
}

/**
 * Has this table missed an update?
 *
 * @param announcedTableVersion the version that came with an update or an answer; ask *after* merging that update
 * @returns true means: fetch the snapshot
 */
export function hasGap(table: RoutingTable, announcedTableVersion: number): boolean {
  return announcedTableVersion > table.tableVersion;
}

/** The entry to publish for a stored row, or undefined for an accepted one: that is never published. */
export function entryOfRow(row: OwnershipRow): RoutingEntry | undefined {
  const { shard, epoch, state, owner, heir } = row;
  if (state === 'accepted') return undefined;
  return heir === undefined ? { shard, epoch, state, owner } : { shard, epoch, state, owner, heir };
}

function weightOf(entry: RoutingEntry): number {
  return EPOCH_WEIGHT * entry.epoch + STATE_RANKS[entry.state];
}

function compareTexts(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
