/**
 * A state as numbers, so that two states are the same if their numbers are. Left out is what makes no difference to any
 * future: log entries that every zone has taken in (positions count from there), the numbers of terms and of record
 * versions (only their order counts), and which of the two coordinators is which.
 *
 * Plain loops: this runs for every step that the checker tries.
 */
import { type StoredState } from '@borough/topology';
import {
  at,
  maskOf,
  recordOf,
  zoneOf,
  type AgentWork,
  type ControlCall,
  type Coordinator,
  type Stage,
  type TermCode,
  type World,
} from './world.js';

const STATE_CODES: Record<StoredState, number> = { accepted: 0, serving: 1, moving: 2, fenced: 3 };
const CALL_CODES: Record<ControlCall['kind'], number> = {
  intend: 1,
  fence: 2,
  seal: 3,
  unseal: 4,
  accept: 5,
  serve: 6,
  tell: 7,
};
const STAGE_CODES: Record<Stage, number> = {
  standby: 0,
  leading: 1,
  freezing: 2,
  judging: 3,
  intending: 4,
  stopping: 5,
  applying: 6,
  sealing: 7,
  preparing: 8,
  accepting: 9,
  telling: 10,
  ending: 11,
};

/** Of one call of `encode`: the terms in order, and per zone how much of its log every other zone has taken in. */
const terms: TermCode[] = [];
const taken = [0, 0, 0];

/** @returns how many numbers were written, each from 0 to 65535 */
export function encode(world: World, into: Uint16Array): number {
  rankTerms(world);
  for (let source = 0; source < 3; source++) {
    const one = at(zoneOf(world, (source + 1) % 3).applied, source);
    const other = at(zoneOf(world, (source + 2) % 3).applied, source);
    taken[source] = one < other ? one : other;
  }
  let length = 0;
  for (let zone = 0; zone < 3; zone++) length = putZone(world, zone, into, length);
  const [first, second] = world.coordinators;
  if (first !== undefined && second !== undefined) {
    length = putCoordinator(first.term <= second.term ? first : second, into, length);
    length = putCoordinator(first.term <= second.term ? second : first, into, length);
  } else if (first !== undefined) length = putCoordinator(first, into, length);
  return putRest(world, into, length);
}

function putZone(world: World, self: number, into: Uint16Array, start: number): number {
  const zone = zoneOf(world, self);
  const record = recordOf(world, self);
  const { copy, log, rows, loaded } = zone;
  const base = at(taken, self);
  let length = start;
  into[length++] =
    (zone.isUp ? 1 : 0) |
    (zone.isCutOff ? 2 : 0) |
    (zone.doCommitsWait ? 4 : 0) |
    (zone.setting << 3) |
    (zone.sealed << 6) |
    (zone.lingering << 9) |
    ((copy.cutZone + 1) << 12);
  into[length++] =
    rankOf(zone.promised) |
    (rankOf(copy.term) << 4) |
    (copy.owner << 8) |
    ((copy.heir + 1) << 10) |
    (STATE_CODES[copy.state] << 12);
  into[length++] = copy.epoch | (copy.move << 4) | (position(copy.cutZone, copy.cutAt) << 8);
  into[length++] = at(loaded, 0) | (at(loaded, 1) << 3) | (at(loaded, 2) << 6) | (maskOf(record.members) << 9);
  let frozenBy = 0;
  for (const name of record.frozenBy) frozenBy |= 1 << (name.charCodeAt(1) - 48);
  into[length++] = frozenBy;
  into[length++] = workCode(zone.agent, self, record.version);
  into[length++] = workCode(zone.lateChange, self, record.version);
  const one = (self + 1) % 3;
  const other = (self + 2) % 3;
  into[length++] = at(zone.applied, one) - at(taken, one);
  into[length++] = at(zone.applied, other) - at(taken, other);
  into[length++] = log.length - base;
  for (let index = base; index < log.length; index++) {
    const entry = log[index];
    if (entry !== undefined) into[length++] = entry.row | (entry.write << 9) | (entry.isUpdate ? 1 << 12 : 0);
  }
  for (let write = 0; write < rows.length; write++) {
    const backend = zone.backends[write];
    into[length++] = at(rows, write) | (backend === 'none' ? 0 : backend === 'begun' ? 1 << 9 : 1 << 10);
    if (backend === 'waiting') into[length++] = position(self, at(zone.waitingAt, write));
  }
  return length;
}

function workCode({ kind, phase, member, begunFrom, marker }: AgentWork, self: number, version: number): number {
  if (kind === 'none') return 0;
  const phaseCode = phase === 'setting' ? 0 : phase === 'marker' ? 4 : 8;
  return (
    (kind === 'drop' ? 1 : 2) |
    phaseCode |
    (member << 4) |
    (begunFrom === version ? 64 : 0) |
    (position(self, marker) << 7)
  );
}

function putCoordinator(coordinator: Coordinator, into: Uint16Array, start: number): number {
  const { term, stage, isBack, owner, epoch, cutZone, cutAt, done, needed } = coordinator;
  into[start] = rankOf(term) | (STAGE_CODES[stage] << 4) | (isBack ? 256 : 0) | (owner << 9) | ((cutZone + 1) << 11);
  into[start + 1] = epoch | (done << 4) | (needed << 7) | (position(cutZone, cutAt) << 10);
  return start + 2;
}

function putRest(world: World, into: Uint16Array, start: number): number {
  const { move, late, budget } = world;
  let length = start;
  const kind = move.kind === 'none' ? 0 : move.kind === 'handover' ? 1 : 2;
  into[length++] =
    move.id | (kind << 4) | (move.from << 6) | (move.to << 8) | (move.epoch << 10) | (move.isRunning ? 1 << 14 : 0);
  into[length++] = world.planned | ((world.rejoining + 1) << 4) | (world.rejoinMove << 6);
  if (late === undefined) into[length++] = 0;
  else {
    const { voter, call } = late;
    into[length++] = CALL_CODES[call.kind] | (voter << 4) | (call.owner << 6) | (rankOf(call.term) << 8);
    const intent = 'heir' in call ? (call.heir << 4) | (call.move << 6) : 0;
    const cut = 'cutAt' in call ? position(call.cutZone, call.cutAt) << 8 : 0;
    into[length++] = ('epoch' in call ? call.epoch : 0) | intent | cut;
  }
  for (const epoch of world.acknowledged) into[length++] = epoch;
  into[length++] =
    budget.crashes | (budget.cutOffs << 3) | (budget.deaths << 6) | (budget.lateCalls << 9) | (budget.leads << 12);
  into[length++] = budget.agentChanges | (budget.lateChanges << 3) | (budget.replays << 6) | (budget.missed << 9);
  return length;
}

/** 0: none; else 1 plus how far beyond what every zone has taken in. */
function position(source: number, where: number): number {
  if (source < 0 || where < 0) return 0;
  const beyond = where - at(taken, source);
  return beyond < 0 ? 1 : 1 + beyond;
}

function rankTerms(world: World): void {
  terms.length = 0;
  for (const zone of world.zones) {
    addTerm(zone.promised);
    addTerm(zone.copy.term);
  }
  for (const { term } of world.coordinators) addTerm(term);
  if (world.late !== undefined) addTerm(world.late.call.term);
}

/** Keeps `terms` sorted, each once. */
function addTerm(term: TermCode): void {
  let where = terms.length;
  while (where > 0 && (terms[where - 1] ?? 0) > term) where--;
  if (where > 0 && terms[where - 1] === term) return;
  for (let index = terms.length; index > where; index--) terms[index] = terms[index - 1] ?? 0;
  terms[where] = term;
}

function rankOf(term: TermCode): number {
  return terms.indexOf(term);
}
