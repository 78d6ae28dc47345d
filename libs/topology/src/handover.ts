/**
 * A handover, one shard of it (SPEC.md M1–M7): what is to be done next, from what a majority of voters says.
 *
 *     intend ──► transfer ──► finish ──► ended        forward: epoch + 1 goes to the heir
 *                   └───────► finish ──► ended        back:    epoch + 1 goes to the old owner again
 *
 * Nothing is remembered between two steps but the move itself: whoever leads next asks again, and goes on from there
 * (M7). "back" is asked for when the move failed or was aborted; from the moment an epoch + 1 may have been accepted,
 * back and forward are the same, because what was accepted must be adopted.
 */
import { type AdoptedOwnership } from './ownership.js';
import { type ShardNumber } from './ids.js';
import { type Epoch, type MoveId } from './shard-state.js';
import { type ZoneId } from './zone-id.js';

/** One shard of a handover, as its plan has it: `epoch` is the one that ends. */
export type HandoverShard = { shard: ShardNumber; from: ZoneId; to: ZoneId; epoch: Epoch; moveId: MoveId };

/** What to do next for a shard of a handover. Every step may be carried out again. */
export type HandoverStep =
  /** Too few voters answered: ask again. */
  | { kind: 'wait' }
  /** Record the intent (`moving`, the heir, this move) on a majority; then publish it. */
  | { kind: 'intend' }
  /**
   * Fence at the old owner; unless `owner` is the old owner, wait until `owner` and everybody in its record has applied
   * up to the cut; then install `owner` at `epoch`.
   */
  | { kind: 'transfer'; owner: ZoneId; epoch: Epoch }
  /** `owner` at `epoch` was accepted and may have been chosen: accept it again under the own term, and serve. */
  | { kind: 'finish'; owner: ZoneId; epoch: Epoch }
  /** Nothing is left to do. `kept`: it never began. `overtaken`: somebody else has moved it on since. */
  | { kind: 'ended'; as: 'moved' | 'reverted' | 'kept' | 'overtaken'; epoch: Epoch }
  /** Two owners at one epoch: touch nothing, call a person. */
  | { kind: 'contradiction' };

/**
 * @param adopted what a majority says, read under the caller's own term
 * @param direction `back` when the move failed before its point of no return, or was aborted
 */
export function nextHandoverStep(
  { from, to, epoch, moveId }: HandoverShard,
  adopted: AdoptedOwnership,
  direction: 'forward' | 'back',
): HandoverStep {
  switch (adopted.kind) {
    case 'no-majority':
    case 'none':
      return { kind: 'wait' };
    case 'contradiction':
      return { kind: 'contradiction' };
    case 'half-installed':
      return { kind: 'finish', owner: adopted.row.owner, epoch: adopted.row.epoch };
    case 'settled': {
      const { entry, row } = adopted;
      if (entry.epoch > epoch) {
        if (entry.epoch > epoch + 1) return { kind: 'ended', as: 'overtaken', epoch: entry.epoch };
        return { kind: 'ended', as: entry.owner === to ? 'moved' : 'reverted', epoch: entry.epoch };
      }
      if (entry.epoch < epoch || entry.owner !== from) return { kind: 'ended', as: 'overtaken', epoch: entry.epoch };
      if (entry.state === 'serving') {
        return direction === 'forward' ? { kind: 'intend' } : { kind: 'ended', as: 'kept', epoch };
      }
      // The intent of another move: that one is finished or reverted by whoever runs it.
      if (row.moveId !== moveId) return { kind: 'ended', as: 'overtaken', epoch };
      return { kind: 'transfer', owner: direction === 'forward' ? to : from, epoch: epoch + 1 };
    }
  }
}
