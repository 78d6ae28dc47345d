/**
 * The way back of a zone that was sealed off (design.md section 6, Rejoin).
 *
 *     take the new epochs, end old writers ─► heal, keep the tail as receipts ─► zone by zone: past the tail, unseal ─► thaw
 *
 * Only after that may it be compared and recorded as a member again. The order matters: a position moved while old
 * writers still wait tells them that their rows have arrived (T12), and a zone that unseals with its old position takes
 * the tail in (T31).
 */
import { type InSyncRecord } from './in-sync-record.js';
import { type MoveId } from './shard-state.js';
import { type ZoneId } from './zone-id.js';

/** What is known of the returning zone. Zones that do not answer stand in `others` with what was last certain. */
export type RejoinFacts = {
  zone: ZoneId;
  /** Its own copy holds the newest epoch of every shard it lost. */
  knowsItsLoss: boolean;
  /** Backends that began before it knew, waiting ones included. */
  oldBackends: number;
  /** Its rows of those shards equal the owners', and what only it had is kept as receipts. */
  isHealed: boolean;
  /**
   * Every other zone, whether or not it had sealed this one off: each must know the newest epochs (else a seal that
   * comes late is still taken), and must have passed the tail.
   */
  others: readonly { zone: ZoneId; knowsTheLoss: boolean; hasPassedTail: boolean; isSealed: boolean }[];
  record: InSyncRecord;
  /** The failover that froze its record. */
  moveId: MoveId;
};

/** What to do next; every step may be carried out again. */
export type RejoinStep =
  | { kind: 'take-epochs-and-end-old-backends' }
  | { kind: 'heal-and-keep-receipts' }
  /** Bring `zone` up to the newest epochs. */
  | { kind: 'tell'; zone: ZoneId }
  /** In one transaction at `zone`: move its position for the returning zone past the tail, and unseal. */
  | { kind: 'pass-tail-and-unseal'; zone: ZoneId }
  | { kind: 'thaw' }
  | { kind: 'done' };

export function nextRejoinStep(facts: RejoinFacts): RejoinStep {
  if (!facts.knowsItsLoss || facts.oldBackends > 0) return { kind: 'take-epochs-and-end-old-backends' };
  if (!facts.isHealed) return { kind: 'heal-and-keep-receipts' };
  const unaware = facts.others.find(({ knowsTheLoss }) => !knowsTheLoss);
  if (unaware !== undefined) return { kind: 'tell', zone: unaware.zone };
  const behind = facts.others.find(({ hasPassedTail, isSealed }) => !hasPassedTail || isSealed);
  if (behind !== undefined) return { kind: 'pass-tail-and-unseal', zone: behind.zone };
  return facts.record.frozenBy.includes(facts.moveId) ? { kind: 'thaw' } : { kind: 'done' };
}

/**
 * May the old owner's record be thawed? Only once its own copy holds the new epoch and none of its writers waits; else
 * it drops the zones that sealed it, and acknowledges alone (T25).
 */
export function mayThawOwner(facts: Pick<RejoinFacts, 'knowsItsLoss' | 'oldBackends'>): boolean {
  return facts.knowsItsLoss && facts.oldBackends === 0;
}
