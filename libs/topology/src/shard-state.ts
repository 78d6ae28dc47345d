/**
 * The states of one shard, and what a voter stores about it (SPEC.md, States; O1–O9).
 *
 *              intend-move              fence
 *     Serving ────────────► Moving ─────────────► Fenced
 *        ▲                    │ install (epoch+1)    │ install (epoch+1)
 *        └────────────────────┴──────────────────────┘
 *
 * Within an epoch a shard only goes forward. Every way back to Serving is a new epoch, the way back to the same owner
 * included; so "later" is a plain comparison of (epoch, state), and a late message can never undo a newer one.
 *
 * `next` says which step follows which. It cannot see whether the step is safe: that the owner's database holds the
 * fence, or that an owner nobody can reach is sealed off, is for the caller of `install` to have made true.
 */
import { type ShardNumber } from './ids.js';
import { type ZoneId } from './zone-id.js';

/** Counter of one shard's ownership, +1 at each new owner: the fencing token. Whole, from `FIRST_EPOCH`. */
export type Epoch = number;

/** The epoch of a shard's first owner. 0 stands for "no owner yet", so that any owner is later than none. */
export const FIRST_EPOCH: Epoch = 1;

/** Name of a move, the same in every log line it causes. Unique for ever. */
export type MoveId = string;

/** `owner` may write the shard. */
export type Serving = { kind: 'serving'; owner: ZoneId; epoch: Epoch };
/** A move has begun. `owner` may still finish what it began; routers hold new writes. */
export type Moving = { kind: 'moving'; owner: ZoneId; epoch: Epoch; heir: ZoneId; moveId: MoveId };
/** The owner's database refuses every write. No `owner` here: nobody may write. */
export type Fenced = { kind: 'fenced'; epoch: Epoch; heir: ZoneId; moveId: MoveId };
/** The state of one shard. */
export type ShardState = Serving | Moving | Fenced;

/** A move to `heir` begins. Applies while serving, and not to the owner itself. */
export type IntendMove = { kind: 'intend-move'; heir: ZoneId; moveId: MoveId };
/** The owner's database has committed the fence of this move. Applies to the move that is under way, to no other. */
export type Fence = { kind: 'fence'; moveId: MoveId };
/**
 * A majority has accepted `owner` at `epoch`, and its copy serves. Applies only at the epoch after the current one.
 *
 * `owner` need not be the heir: a revert names the old owner, and a failover whose heir died names another zone.
 */
export type Install = { kind: 'install'; epoch: Epoch; owner: ZoneId };
/** What can happen to a shard. */
export type ShardEvent = IntendMove | Fence | Install;

/** The state after `event`, or the same object when the event does not apply. Never mutates. */
export function next(shard: ShardState, event: ShardEvent): ShardState {
  switch (event.kind) {
    case 'intend-move':
      if (shard.kind !== 'serving' || event.heir === shard.owner) return shard;
      return { ...shard, kind: 'moving', heir: event.heir, moveId: event.moveId };
    case 'fence':
      if (shard.kind !== 'moving' || event.moveId !== shard.moveId) return shard;
      return { kind: 'fenced', epoch: shard.epoch, heir: shard.heir, moveId: shard.moveId };
    case 'install':
      // Not while serving: an epoch changes only in a move whose intent a majority knows (SPEC.md O6).
      if (shard.kind === 'serving' || event.epoch !== shard.epoch + 1) return shard;
      return { kind: 'serving', owner: event.owner, epoch: event.epoch };
  }
}

/**
 * Counter of coordinator leadership. A coordinator leads once a majority of voters promised it a term above every one
 * they had promised before. `coordinator` makes two terms of one number different, and ordered.
 */
export type Term = { number: number; coordinator: string };

/** Below 0 when `a` is older than `b`, above 0 when newer, 0 when they are the same term. By number, then by name. */
export function compareTerms(a: Term, b: Term): number {
  if (a.number !== b.number) return a.number - b.number;
  if (a.coordinator === b.coordinator) return 0;
  return a.coordinator < b.coordinator ? -1 : 1; // by code unit; never by locale, which differs between machines
}

/** What a voter can store. `accepted` is a value that is being installed: nobody serves it, and nobody publishes it. */
export type StoredState = 'accepted' | 'serving' | 'moving' | 'fenced';

/**
 * A voter's copy of one shard's ownership: one row of `control.ownership`.
 *
 * `owner` is kept in every state, because reads go on at the old owner while it is fenced. `heir` and `moveId` stand in
 * `moving` and `fenced` only. `term` is the term under which the row was last written.
 */
export type OwnershipRow = {
  shard: ShardNumber;
  epoch: Epoch;
  state: StoredState;
  owner: ZoneId;
  heir?: ZoneId | undefined;
  moveId?: MoveId | undefined;
  term: Term;
};

/**
 * The state a stored row stands for.
 *
 * @returns undefined for an accepted row: it is no state of the shard yet
 * @throws RangeError when a moving or fenced row names no heir or no move, which the table's checks forbid
 */
export function stateOfRow(row: OwnershipRow): ShardState | undefined {
  const { shard, epoch, state, owner, heir, moveId } = row;
  if (state === 'accepted') return undefined;
  if (state === 'serving') return { kind: state, owner, epoch };
  if (heir === undefined || moveId === undefined)
    throw new RangeError(`shard ${shard} is ${state} with no heir or move`);
  return state === 'moving' ? { kind: state, owner, epoch, heir, moveId } : { kind: state, epoch, heir, moveId };
}
