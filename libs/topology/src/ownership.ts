/**
 * The majority rules of ownership (SPEC.md O1–O9). The coordinator asks the voters, these functions say what follows.
 *
 * Installing an owner takes two phases, under one term:
 *
 *     leader ── accept (epoch + 1, heir, term) ──► a majority of voters     1: the value is chosen
 *     leader ── serve ───────────────────────────► the heir's own copy      2: only then may it write
 *     leader ── serve ───────────────────────────► the other voters         later, as a repair
 *
 * The earlier draft wrote the heir's copy first, and the heir served. When that coordinator died, the next one read a
 * majority without the heir, saw nothing, and reverted: two owners at one epoch, in ten steps (trap T4). Now whoever
 * takes over reads a majority under its own new term. Two majorities share a voter, so it sees every value that may
 * have been chosen; it must install the one of the highest (epoch, term), and may choose freely only when it sees none.
 *
 * What must hold already: each copy was read after its voter promised the reader's term. A copy read before that, or
 * from a voter that did not promise, proves nothing: an older leader may still change it, and have it chosen.
 */
import { entryOfRow, STATE_RANKS, type RoutingEntry } from './routing-table.js';
import { compareTerms, type Epoch, type OwnershipRow, type StoredState, type Term } from './shard-state.js';
import { type ZoneId } from './zone-id.js';

/** What one voter answered for a shard; `row` is undefined when it answered that it has none. */
export type VoterCopy = { voter: ZoneId; row: OwnershipRow | undefined };

/** What a coordinator wants accepted: `owner` at `epoch`, under its own `term`. */
export type Proposal = { epoch: Epoch; owner: ZoneId; term: Term };

/** What the copies of a majority say about one shard. */
export type AdoptedOwnership =
  /** Too few voters answered. Nothing may be decided, adopted or published. */
  | { kind: 'no-majority'; answered: number; needed: number }
  /** A majority answered and no voter has the shard: it was never installed, any first owner may be proposed. */
  | { kind: 'none' }
  /**
   * An install has begun and may have been chosen: `row.owner` at `row.epoch` must be accepted again by a majority, under
   * the reader's own term, and then served. No other owner may be proposed at this epoch, and nothing is published yet.
   */
  | { kind: 'half-installed'; row: OwnershipRow }
  /** The owner of this epoch is known for good. `entry` may be published; `row` has the move and the term as well. */
  | { kind: 'settled'; entry: RoutingEntry; row: OwnershipRow }
  /** Two owners at one epoch, which O3 rules out: a bug, or a voter with foreign data. Touch nothing, call a person. */
  | { kind: 'contradiction'; rows: readonly OwnershipRow[] };

/**
 * The smallest number of voters of which any two such groups share one: 2 of 3, 3 of 4, 3 of 5.
 *
 * @throws RangeError unless `voters` is whole and at least 1
 */
export function majority(voters: number): number {
  if (!Number.isInteger(voters) || voters < 1) throw new RangeError(`not a number of voters: ${voters}`);
  return Math.floor(voters / 2) + 1;
}

/**
 * What must be adopted, from the copies of the voters that answered.
 *
 * Settled means: a majority holds the epoch with this owner, and a copy is past `accepted`. The state is the highest
 * seen at that epoch, since states go forward only and each is written for a reason. One exception: when the owner
 * itself answered and does not serve, while another copy says that it does, the owner has lost its copy; the install is
 * then finished again.
 *
 * A `moving` that was seen on fewer than a majority must be copied to the voters that lag (`laggingVoters`) before it
 * is published. Else a later leader may not see it, while routers go on holding.
 *
 * @param copies of one shard; one per voter that answered, the ones without a row included, each read after its voter
 *   promised the reader's term (to look only, and write nothing, any copies will do)
 * @param voterCount how many voters there are, answering or not
 * @throws RangeError when the copies are of several shards, name a voter twice, or are more than there are voters
 */
export function adoptedOwnership(copies: readonly VoterCopy[], voterCount: number): AdoptedOwnership {
  requireOneShard(copies, voterCount);
  const needed = majority(voterCount);
  if (copies.length < needed) return { kind: 'no-majority', answered: copies.length, needed };
  const known = rowsOf(copies);
  const epoch = Math.max(...known.map((row) => row.epoch));
  const rows = known.filter((row) => row.epoch === epoch);
  if (contradicts(rows)) return { kind: 'contradiction', rows };
  const [newest] = rows.toSorted((a, b) => compareTerms(b.term, a.term) || rankOf(b) - rankOf(a));
  if (newest === undefined) return { kind: 'none' };

  const held = rows.filter((row) => row.owner === newest.owner);
  const furthest = held.reduce((a, b) => (compareProgress(b, a) > 0 ? b : a));
  const entry = entryOfRow(furthest);
  const ownCopy = copies.find((copy) => copy.voter === newest.owner);
  const ownerDenies = ownCopy !== undefined && !(ownCopy.row?.epoch === epoch && ownCopy.row.state !== 'accepted');
  if (entry === undefined || held.length < needed || (entry.state === 'serving' && ownerDenies)) {
    return { kind: 'half-installed', row: newest };
  }
  return { kind: 'settled', entry, row: furthest };
}

/**
 * May the second phase begin: has a majority accepted the proposal under its own term, or does a copy already go
 * further with it?
 *
 * Copies accepted under different terms do not add up: between two of them another leader may have had another value
 * chosen (O3).
 *
 * @param copies of one shard, after the accept calls; voters that refused or did not answer are left out
 * @throws RangeError as `adoptedOwnership`
 */
export function mayServe(proposal: Proposal, copies: readonly VoterCopy[], voterCount: number): boolean {
  requireOneShard(copies, voterCount);
  const rows = rowsOf(copies).filter((row) => row.epoch === proposal.epoch && row.owner === proposal.owner);
  const accepted = rows.filter((row) => compareTerms(row.term, proposal.term) === 0);
  return accepted.length >= majority(voterCount) || rows.some((row) => row.state !== 'accepted');
}

/**
 * The voters that answered and do not yet hold the settled entry, so that the coordinator can bring them up to it.
 *
 * A copy lags when it is missing, of an older epoch, behind within the epoch (`accepted` is behind all), or names
 * another owner or heir. A copy that is further on does not lag. Voters that did not answer are not listed: nobody knows.
 */
export function laggingVoters(entry: RoutingEntry, copies: readonly VoterCopy[]): ZoneId[] {
  return copies.filter((copy) => lags(copy.row, entry)).map((copy) => copy.voter);
}

function lags(row: OwnershipRow | undefined, entry: RoutingEntry): boolean {
  if (row === undefined || row.epoch < entry.epoch) return true;
  if (row.epoch > entry.epoch) return false;
  const ahead = rankOf(row) - STATE_RANKS[entry.state];
  return ahead < 0 || row.owner !== entry.owner || (ahead === 0 && row.heir !== entry.heir);
}

/** A value past `accepted` was chosen under its term or an earlier one; every accept since then must agree with it. */
function contradicts(rows: readonly OwnershipRow[]): boolean {
  return rows.some((a) =>
    rows.some((b) => {
      if (a.owner === b.owner) return false;
      const newer = compareTerms(b.term, a.term);
      return newer === 0 || (a.state !== 'accepted' && (newer > 0 || b.state !== 'accepted'));
    }),
  );
}

function compareProgress(a: OwnershipRow, b: OwnershipRow): number {
  return rankOf(a) - rankOf(b) || compareTerms(a.term, b.term);
}

const STORED_RANKS = { accepted: 0, ...STATE_RANKS } as const satisfies Record<StoredState, number>;

function rankOf(row: OwnershipRow): number {
  return STORED_RANKS[row.state];
}

function rowsOf(copies: readonly VoterCopy[]): OwnershipRow[] {
  return copies.flatMap((copy) => (copy.row === undefined ? [] : [copy.row]));
}

function requireOneShard(copies: readonly VoterCopy[], voterCount: number): void {
  const voters = new Set(copies.map((copy) => copy.voter));
  const shards = new Set(rowsOf(copies).map((row) => row.shard));
  if (voters.size < copies.length || voters.size > voterCount) throw new RangeError('one copy per voter is needed');
  if (shards.size > 1) throw new RangeError(`copies of ${shards.size} shards`);
}
