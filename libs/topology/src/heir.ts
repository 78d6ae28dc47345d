/** Who may own a shard next (SPEC.md M4–M6): the checks of a handover, and the choice of a failover. */
import { type InSyncRecord } from './in-sync-record.js';
import { type MoveId } from './shard-state.js';
import { type ZoneId } from './zone-id.js';

/** What a handover from `from` to `to` looks at, read after both records were frozen for it. */
export type HandoverFacts = {
  from: ZoneId;
  to: ZoneId;
  moveId: MoveId;
  /** Whom the old owner waits for, and which moves keep its record as it is. */
  ownerRecord: Pick<InSyncRecord, 'members' | 'frozenBy'>;
  heirRecord: Pick<InSyncRecord, 'members' | 'frozenBy'>;
  /** Zones that at least one zone has sealed off: what they wrote travels nowhere until they have rejoined. */
  sealedOff: readonly ZoneId[];
  /** Freezes of these moves stand though no record says that they run: left over, to be undone first. */
  orphanMoves: readonly MoveId[];
  /** Other moves that run on one of the shards. */
  runningMoves: readonly MoveId[];
};

/** One reason why a handover may not begin. `zones` and `moves` say what to look at. */
export type HandoverBlocker =
  | { check: 'records-are-frozen-for-it'; zones: readonly ZoneId[] }
  | { check: 'heir-is-in-the-record-of-the-owner'; zones: readonly ZoneId[] }
  /** Members of the heir that the old owner does not wait for: they may lack its writes (T5, T22). */
  | { check: 'members-of-the-heir-are-members-of-the-owner'; zones: readonly ZoneId[] }
  /** Owner or heir is sealed off somewhere: it has to rejoin first. */
  | { check: 'neither-is-sealed-off'; zones: readonly ZoneId[] }
  | { check: 'no-other-move-has-a-shard'; moves: readonly MoveId[] }
  | { check: 'no-freeze-is-left-over'; moves: readonly MoveId[] };

/** The checks that fail; empty when the handover may begin. Asked again by whoever takes the move up. */
export function handoverBlockers(facts: HandoverFacts): HandoverBlocker[] {
  const { from, to, moveId, ownerRecord, heirRecord } = facts;
  const unfrozen = [
    ...(ownerRecord.frozenBy.includes(moveId) ? [] : [from]),
    ...(heirRecord.frozenBy.includes(moveId) ? [] : [to]),
  ];
  const strangers = heirRecord.members.filter((zone) => zone !== from && !ownerRecord.members.includes(zone));
  const sealed = facts.sealedOff.filter((zone) => zone === from || zone === to);
  const frozenBy = new Set([...ownerRecord.frozenBy, ...heirRecord.frozenBy]);
  const orphans = facts.orphanMoves.filter((orphan) => orphan !== moveId && frozenBy.has(orphan));
  const others = facts.runningMoves.filter((running) => running !== moveId);
  const blockers: HandoverBlocker[] = [];
  if (unfrozen.length > 0) blockers.push({ check: 'records-are-frozen-for-it', zones: unfrozen });
  if (!ownerRecord.members.includes(to)) blockers.push({ check: 'heir-is-in-the-record-of-the-owner', zones: [to] });
  if (strangers.length > 0) blockers.push({ check: 'members-of-the-heir-are-members-of-the-owner', zones: strangers });
  if (sealed.length > 0) blockers.push({ check: 'neither-is-sealed-off', zones: sealed });
  if (others.length > 0) blockers.push({ check: 'no-other-move-has-a-shard', moves: others });
  if (orphans.length > 0) blockers.push({ check: 'no-freeze-is-left-over', moves: orphans });
  return blockers;
}

/** The zones that must have applied the old owner's log up to the cut before the heir may be proposed (M4). */
export function zonesToApplyTheCut(from: ZoneId, to: ZoneId, heirRecord: Pick<InSyncRecord, 'members'>): ZoneId[] {
  return [...new Set([to, ...heirRecord.members])].filter((zone) => zone !== from).sort();
}

/** A zone that has sealed the old owner off, its apply workers seen gone, and what it then held of the owner's log. */
export type SealedZone = { zone: ZoneId; appliedTo: bigint };

/**
 * The heir of a failover: a recorded member of the owner that has sealed it off, with the most of its log; of equals the
 * first by name.
 *
 * @returns undefined when no recorded member has sealed it: the failover is refused, unless a person declares a loss
 */
export function chooseHeir(ownerRecord: InSyncRecord, sealed: readonly SealedZone[]): ZoneId | undefined {
  const [heir] = sealed
    .filter(({ zone }) => ownerRecord.members.includes(zone))
    .toSorted((a, b) =>
      a.appliedTo === b.appliedTo ? compareNames(a.zone, b.zone) : a.appliedTo > b.appliedTo ? -1 : 1,
    );
  return heir?.zone;
}

function compareNames(a: ZoneId, b: ZoneId): number {
  return a < b ? -1 : 1; // by code unit; never by locale, which differs between machines
}
