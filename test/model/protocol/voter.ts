/**
 * The control functions of one zone's database (SPEC.md sections 4 and 5), with the state changes of libs/topology:
 * what `apps/zone/src/migrations` does in SQL.
 */
import { compareTerms, next, stateOfRow, type OwnershipRow } from '@borough/topology';
import { type Rules } from './rules.js';
import { bit, moveName, nameOf, SHARD, termOf, withAt, type ControlCall, type Copy, type Zone } from './world.js';

/** A copy as the functions of libs/topology know it. */
export function ownershipRow({ epoch, state, owner, heir, move, term }: Copy): OwnershipRow {
  const row = { shard: SHARD, epoch, state, owner: nameOf(owner), term: termOf(term) };
  return state === 'moving' || state === 'fenced' ? { ...row, heir: nameOf(heir), moveId: moveName(move) } : row;
}

export type Answer = 'done' | 'refused' | 'old-term' | 'locked';

/** Is a term old here? A newer one is a promise. */
export function hasPromisedMore(zone: Zone, term: number): boolean {
  return compareTerms(termOf(zone.promised), termOf(term)) > 0;
}

/** Carries a call out at a zone of a draft. Whatever it answers, it may be sent again. */
export function answerCall(self: number, zone: Zone, call: ControlCall, rules: Rules): Answer {
  if (hasPromisedMore(zone, call.term)) {
    if (rules['terms-refuse']) return 'old-term';
  } else zone.promised = call.term;
  switch (call.kind) {
    case 'intend':
      return intend(zone, call);
    case 'fence':
      return fence(self, zone, call, rules);
    case 'seal':
      // Late: what it was to end has ended, and accepting that has sealed the owner off where it was needed.
      if (rules['seal-names-its-epoch'] && zone.copy.epoch > call.epoch) return 'refused';
      return seal(zone, call.owner, rules);
    case 'unseal':
      if (rules['seal-names-its-epoch'] && rules['undo-is-a-new-epoch'] && zone.copy.epoch <= call.epoch)
        return 'refused';
      zone.sealed &= ~bit(call.owner);
      zone.lingering &= ~bit(call.owner);
      return 'done';
    case 'accept':
      return accept(self, zone, call, rules);
    case 'serve':
      return serve(zone, call);
    case 'tell': {
      const accepted = accept(self, zone, call, rules);
      return accepted === 'done' ? serve(zone, call) : accepted;
    }
  }
}

function intend(zone: Zone, { term, epoch, owner, heir, move }: ControlCall & { kind: 'intend' }): Answer {
  const { copy } = zone;
  const state = stateOfRow(ownershipRow(copy));
  if (copy.epoch !== epoch || copy.owner !== owner || state === undefined) return 'refused';
  const moved = next(state, { kind: 'intend-move', heir: nameOf(heir), moveId: moveName(move) });
  if (moved === state) return copy.move === move && copy.heir === heir ? 'done' : 'refused';
  zone.copy = { ...copy, state: moved.kind, heir, move, term };
  return 'done';
}

function fence(self: number, zone: Zone, call: ControlCall & { kind: 'fence' }, rules: Rules): Answer {
  const { term, epoch, owner, heir, move } = call;
  const { copy } = zone;
  const state = stateOfRow(ownershipRow(copy));
  if (copy.epoch !== epoch || copy.owner !== owner || owner !== self || state === undefined) return 'refused';
  if (rules['fence-under-the-lock'] && zone.backends.some((backend) => backend !== 'none')) return 'locked';
  const moving = next(state, { kind: 'intend-move', heir: nameOf(heir), moveId: moveName(move) });
  const fenced = next(moving, { kind: 'fence', moveId: moveName(move) });
  if (fenced.kind !== 'fenced' || fenced.moveId !== moveName(move)) return 'refused';
  if (copy.state === 'fenced') return 'done';
  zone.copy = { ...copy, state: 'fenced', heir, move, term, cutZone: self, cutAt: zone.log.length };
  return 'done';
}

/** The row and the disabled subscription are one transaction; the worker may live on a little. */
function seal(zone: Zone, owner: number, rules: Rules): Answer {
  if ((zone.sealed & bit(owner)) === 0 && !rules['workers-seen-gone']) zone.lingering |= bit(owner);
  if (rules['workers-seen-gone']) zone.lingering &= ~bit(owner);
  zone.sealed |= bit(owner);
  return 'done';
}

function accept(self: number, zone: Zone, call: ControlCall & { kind: 'accept' | 'tell' }, rules: Rules): Answer {
  const { term, epoch, owner, cutZone, cutAt } = call;
  const { copy } = zone;
  if (copy.epoch === epoch && copy.owner === owner) {
    zone.copy = { ...copy, term };
    return 'done';
  }
  if (copy.epoch > epoch || (copy.epoch === epoch && copy.state !== 'accepted')) return 'refused';
  if (copy.owner === self && (copy.state === 'serving' || copy.state === 'moving')) return 'refused';
  const isSealedOff = cutZone >= 0 && cutAt < 0 && cutZone !== self && cutZone !== owner;
  if (isSealedOff && rules['accepting-seals']) seal(zone, cutZone, { ...rules, 'workers-seen-gone': true });
  zone.copy = { epoch, state: 'accepted', owner, heir: -1, move: 0, term, cutZone, cutAt };
  return 'done';
}

function serve(zone: Zone, { epoch, owner }: { epoch: number; owner: number }): Answer {
  const { copy } = zone;
  if (copy.epoch !== epoch || copy.owner !== owner) return 'refused';
  if (copy.state === 'accepted') zone.copy = { ...copy, state: 'serving' };
  return 'done';
}

/** Ends all backends: their locks are free, what they had written stays in the log, and nobody is told. */
export function endBackends(zone: Zone): void {
  zone.backends = zone.backends.map(() => 'none');
}

export function setBackend(zone: Zone, write: number, backend: Zone['backends'][number]): void {
  const copy = [...zone.backends];
  copy[write] = backend;
  zone.backends = copy;
  if (backend === 'waiting') zone.waitingAt = withAt(zone.waitingAt, write, zone.log.length - 1);
}
