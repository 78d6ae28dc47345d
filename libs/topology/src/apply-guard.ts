/**
 * What a zone does with a row that comes in from another zone (design.md section 6, the apply guard).
 *
 * Rows come late: from before a handover, or never again, from a zone that was sealed off. A late row from before the
 * cut is a write like any other and must be taken in by age. One from beyond the cut is the tail of a deposed owner: to
 * skip it would acknowledge it there (T1), so it raises and stops the stream, and the seal and the rejoin are the way out.
 */
import { type Epoch } from './shard-state.js';

/** The age of a replicated row: the epoch that wrote it, then +1 per change (SPEC.md D3). */
export type RowStamp = { epoch: Epoch; version: number };

/** Below 0 when `a` is older, above 0 when newer, 0 when they are the same write. */
export function compareStamps(a: RowStamp, b: RowStamp): number {
  return a.epoch - b.epoch || a.version - b.version;
}

/** One incoming row and what this zone has and knows. */
export type IncomingRow = {
  incoming: RowStamp;
  /** The local row with the same id, or one that collides with it on another unique key. */
  local: RowStamp | undefined;
  /** Not the same row: another write that took the same unique key, such as a replayed request (T13). */
  isCollision: boolean;
  /** This zone's copy of the shard: the epoch it knows, accepted or served. */
  knownEpoch: Epoch;
  /** The row stands beyond the cut with which an epoch up to the known one ended. */
  isBeyondCut: boolean;
};

/** `keep-as-receipt-and-apply`: the local row is moved to the receipts first, then the incoming one is taken in. */
export type ApplyVerdict = 'apply' | 'skip' | 'raise' | 'keep-as-receipt-and-apply';

/** What the guard does with the row. Only `raise` stops the stream. */
export function judgeIncoming({ incoming, local, isCollision, knownEpoch, isBeyondCut }: IncomingRow): ApplyVerdict {
  if (incoming.epoch < knownEpoch && isBeyondCut) return 'raise';
  if (local === undefined) return 'apply';
  if (compareStamps(incoming, local) <= 0) return 'skip';
  return isCollision ? 'keep-as-receipt-and-apply' : 'apply';
}

/** One row of a zone that is being healed, beside what the owner of its shard has. */
export type HealedRow = {
  /** The owner's row, from a snapshot; undefined when the owner has none. */
  owners: RowStamp | undefined;
  local: RowStamp | undefined;
  /** The epoch at which the owner serves. */
  ownerEpoch: Epoch;
};

/** `take`: the owner's row replaces what is here; `receipt`: what is here is kept as evidence and leaves the table. */
export type HealingVerdict = 'keep' | 'take' | 'receipt' | 'receipt-and-take';

/**
 * What healing does with one row.
 *
 * A local row of the owner's own epoch has come through the owner's stream: by age, as the guard. One of an older epoch
 * that differs is a tail, whatever its version says: a deposed owner may have raised the version of a row and told
 * nobody, and by age alone such a row would stay, and the comparison fail, for ever. A version that the owner has passed
 * in a later epoch was claimed twice: the older claim is a tail too. Rows of one age with different contents are damage,
 * which the database settles for the owner, with a receipt; ages say nothing about it.
 */
export function judgeHealing({ owners, local, ownerEpoch }: HealedRow): HealingVerdict {
  if (local === undefined) return owners === undefined ? 'keep' : 'take';
  const isFromOwner = local.epoch >= ownerEpoch;
  if (owners === undefined) return isFromOwner ? 'keep' : 'receipt';
  const age = compareStamps(local, owners);
  if (age === 0 || (age > 0 && isFromOwner)) return 'keep';
  // The owner has passed that version in a later epoch: whoever wrote it here was deposed by then.
  const isClaimedTwice = local.epoch < owners.epoch && local.version >= owners.version;
  return age > 0 || isClaimedTwice ? 'receipt-and-take' : 'take';
}
