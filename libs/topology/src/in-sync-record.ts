/**
 * The in-sync record of a zone: who must hold a write before the zone may say it is done (design.md section 5, R1–R3).
 *
 * Two things carry the set, and they are changed in an order (R1: the setting waits for at least everyone in the record):
 *
 *     drop    record ──► setting ──► walsenders reload
 *     add     heal, compare ──► setting ──► walsenders reload ──► marker flushed by the newcomer ──► record
 *
 * The record is kept by the voters. A change is read and written under a **ballot**, on a majority, as ownership is
 * under a term: promise the ballot, adopt what was accepted under the highest one, accept the changed value. Comparing
 * versions alone is not enough: two changes to one version, each at one voter, cannot be told apart by a later reader
 * that sees both (test/model, the register; without ballots it loses a freeze in nine steps).
 */
import { majority } from './ownership.js';
import { type MoveId } from './shard-state.js';
import { type ZoneId } from './zone-id.js';

/** Counts the changes of one record, from 1. */
export type InSyncVersion = number;

/** Who `zone` must wait for with every write, as a majority of voters knows it. */
export type InSyncRecord = {
  zone: ZoneId;
  /** Without `zone` itself; sorted. Empty: the zone is solo. */
  members: readonly ZoneId[];
  version: InSyncVersion;
  /** The moves that keep it as it is; sorted. */
  frozenBy: readonly MoveId[];
};

/** What can happen to a record. `by` is the move that makes the change; without it, the zone's own agent does. */
export type InSyncChange =
  | { kind: 'drop'; member: ZoneId; by?: MoveId }
  | { kind: 'add'; member: ZoneId }
  | { kind: 'freeze'; by: MoveId }
  | { kind: 'thaw'; by: MoveId };

/**
 * The record after `change`, one version on; or the same object when the change does not apply. Never mutates.
 *
 * A change does not apply when the record has another version than it was begun from; when it would change nothing; and
 * when the record is frozen, unless the one move that froze it makes the change itself. Nobody adds to a frozen record.
 *
 * @param begunFrom the version that whoever makes the change had read before it checked anything else
 */
export function changeRecord(record: InSyncRecord, begunFrom: InSyncVersion, change: InSyncChange): InSyncRecord {
  if (record.version !== begunFrom) return record;
  const version = record.version + 1;
  const { members, frozenBy } = record;
  switch (change.kind) {
    case 'drop': {
      const isOwnFreeze = frozenBy.length === 1 && frozenBy[0] === change.by;
      if (!members.includes(change.member) || (frozenBy.length > 0 && !isOwnFreeze)) return record;
      return { ...record, version, members: members.filter((member) => member !== change.member) };
    }
    case 'add':
      if (members.includes(change.member) || change.member === record.zone || frozenBy.length > 0) return record;
      return { ...record, version, members: [...members, change.member].sort() };
    case 'freeze':
      if (frozenBy.includes(change.by)) return record;
      return { ...record, version, frozenBy: [...frozenBy, change.by].sort() };
    case 'thaw':
      if (!frozenBy.includes(change.by)) return record;
      return { ...record, version, frozenBy: frozenBy.filter((moveId) => moveId !== change.by) };
  }
}

/** One voter's copy of a record, with the ballot under which it was accepted: whole, from 0; never used twice. */
export type InSyncCopy = { voter: ZoneId; ballot: number; record: InSyncRecord };

/**
 * What a change must start from: of the copies of a majority, each read after its voter promised the reader's ballot,
 * the one accepted under the highest ballot. It may have been chosen, so whoever reads it accepts it again, changed or
 * not, on a majority under the own ballot before relying on it.
 *
 * @returns undefined when fewer than a majority answered: nobody knows
 * @throws RangeError when two copies of one ballot differ: a ballot was used twice
 */
export function adoptedRecord(copies: readonly InSyncCopy[], voterCount: number): InSyncRecord | undefined {
  const [first, ...others] = copies;
  if (first === undefined || copies.length < majority(voterCount)) return undefined;
  return others.reduce((adopted, copy) => {
    if (copy.ballot === adopted.ballot && copy.record.version !== adopted.record.version) {
      throw new RangeError(`ballot ${copy.ballot} carries two records of zone ${copy.record.zone}`);
    }
    return copy.ballot > adopted.ballot ? copy : adopted;
  }, first).record;
}

/** What the agent of a zone knows while it adds a member. */
export type AddFacts = {
  record: InSyncRecord;
  /** The zones that the setting names. */
  setting: readonly ZoneId[];
  /** The version of the record that was read before the comparison; undefined until the newcomer was found equal. */
  comparedFrom: InSyncVersion | undefined;
  /** Every walsender has started, or has been seen to reload, since the setting was written. */
  haveSendersReloaded: boolean;
  /** The setting was empty before, and no commit has been seen waiting since. */
  isLeavingSolo: boolean;
  /** The newcomer has flushed a marker that was written when the two above held. */
  hasFlushedMarker: boolean;
};

/** What the agent does next for a change of its record; every step may be carried out again. */
export type InSyncStep =
  | { kind: 'heal-and-compare' }
  | { kind: 'write-setting'; members: readonly ZoneId[] }
  /** End the walsenders that have not reloaded; they come back with the new setting. */
  | { kind: 'end-old-senders' }
  /** Commit something small until a backend is seen waiting for members: PostgreSQL's checkpointer switches that on. */
  | { kind: 'see-a-commit-wait' }
  | { kind: 'await-marker' }
  | { kind: 'change-record'; change: InSyncChange; begunFrom: InSyncVersion }
  /** The record is frozen, or has changed since the comparison: begin again later. */
  | { kind: 'give-up' }
  | { kind: 'done' };

/** The next step to add `member`. Setting first, record last (R1); a stranger is compared before anything (R2). */
export function nextAddStep(member: ZoneId, facts: AddFacts): InSyncStep {
  const { record, setting, comparedFrom } = facts;
  if (record.members.includes(member)) return { kind: 'done' };
  if (record.frozenBy.length > 0) return { kind: 'give-up' };
  if (comparedFrom === undefined) return { kind: 'heal-and-compare' };
  if (comparedFrom !== record.version) return { kind: 'give-up' };
  if (!setting.includes(member)) return { kind: 'write-setting', members: [...setting, member].sort() };
  if (!facts.haveSendersReloaded) return { kind: 'end-old-senders' };
  if (facts.isLeavingSolo) return { kind: 'see-a-commit-wait' };
  if (!facts.hasFlushedMarker) return { kind: 'await-marker' };
  return { kind: 'change-record', change: { kind: 'add', member }, begunFrom: comparedFrom };
}

/** The next step to drop `member`: record first, setting last (R1). */
export function nextDropStep(member: ZoneId, record: InSyncRecord, setting: readonly ZoneId[]): InSyncStep {
  if (record.members.includes(member)) {
    if (record.frozenBy.length > 0) return { kind: 'give-up' };
    return { kind: 'change-record', change: { kind: 'drop', member }, begunFrom: record.version };
  }
  if (!setting.includes(member)) return { kind: 'done' };
  return { kind: 'write-setting', members: setting.filter((zone) => zone !== member) };
}

/** R1: does this setting wait for everyone in the record? To be asserted wherever one of the two is written or read. */
export function settingCovers(setting: readonly ZoneId[], record: InSyncRecord): boolean {
  return record.members.every((member) => setting.includes(member));
}
