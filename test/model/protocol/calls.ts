/** What all steps of a coordinator share: its own state, and calls to voters that may be refused or come late. */
import { majority } from '@borough/topology';
import { type Emit } from '../checker/model.js';
import { type Rules } from './rules.js';
import { answerCall, hasPromisedMore, type Answer } from './voter.js';
import {
  bit,
  coordinatorName,
  coordinatorOf,
  countOf,
  draftOf,
  nameOf,
  reachable,
  spend,
  termOf,
  type ControlCall,
  type Coordinator,
  type Draft,
  type MoveKind,
  type World,
  ZONES,
  zoneIn,
  zoneOf,
  zonesOf,
} from './world.js';

/** What ops ask for, one after the other. A handover to a zone that owns the shard already is left out. */
export type PlannedMove = { kind: Exclude<MoveKind, 'none'>; to?: number };

export const MAJORITY = majority(ZONES.length);
export const STANDBY: Coordinator = {
  term: 0,
  stage: 'standby',
  isBack: false,
  owner: 0,
  epoch: 0,
  cutZone: -1,
  cutAt: 0,
  done: 0,
  needed: 0,
};

export interface Options {
  readonly rules: Rules;
  readonly plan: readonly PlannedMove[];
  readonly isRecovering: boolean;
}

export function put(draft: Draft, self: number, change: Partial<Coordinator>): void {
  draft.coordinators = draft.coordinators.map((known, other) => (other === self ? { ...known, ...change } : known));
}

export const told = (mask: number): string => zonesOf(mask).map(nameOf).join(' and ');

/** No majority has promised more than its term. */
export function isLeading(world: World, self: number): boolean {
  const { stage, term } = coordinatorOf(world, self);
  return stage !== 'standby' && ZONES.filter((zone) => !hasPromisedMore(zoneOf(world, zone), term)).length >= MAJORITY;
}

/** A majority answers, and none of it has promised a newer term: the in-sync register can be changed. */
export function holdsMajority(world: World, self: number, { rules }: Options): boolean {
  const { term } = coordinatorOf(world, self);
  const holding = zonesOf(reachable(world)).filter(
    (zone) => !rules['terms-refuse'] || !hasPromisedMore(zoneOf(world, zone), term),
  );
  return holding.length >= MAJORITY;
}

/** Another coordinator leads. */
export function stepDown(world: World, self: number, emit: Emit<World>): void {
  if (countOf(reachable(world)) < MAJORITY) return;
  const draft = draftOf(world);
  put(draft, self, STANDBY);
  emit(draft, 'step', () => `${coordinatorName(self)} is refused by a majority and steps down`);
}

/**
 * Sends a call to each of these voters that is reachable and has not answered yet, one per step.
 *
 * @param after what the coordinator does with an answer; refusals of an old term send it to standby
 */
export function callEach(
  world: World,
  self: number,
  voters: number,
  callOf: (voter: number) => ControlCall,
  { rules, isRecovering }: Options,
  after: (draft: Draft, voter: number, answer: Exclude<Answer, 'old-term'>) => void,
  emit: Emit<World>,
): void {
  const { done } = coordinatorOf(world, self);
  for (const voter of zonesOf(voters & reachable(world) & ~done)) {
    const call = callOf(voter);
    const draft = draftOf(world);
    const answer = answerCall(voter, zoneIn(draft, voter), call, rules);
    if (answer === 'old-term') put(draft, self, STANDBY);
    else after(draft, voter, answer);
    emit(draft, 'step', () => `${coordinatorName(self)} → ${nameOf(voter)}: ${tellCall(call)}: ${answer}`);
    if (isRecovering || world.budget.lateCalls === 0 || world.late !== undefined) continue;
    const delayed = draftOf(world);
    delayed.late = { voter, call };
    spend(delayed, 'lateCalls');
    emit(
      delayed,
      'fault',
      () => `${coordinatorName(self)} → ${nameOf(voter)}: ${tellCall(call)}: is under way, and will be late`,
    );
  }
}

export function tellCall(call: ControlCall): string {
  const term = `term ${termOf(call.term).number}`;
  switch (call.kind) {
    case 'intend':
      return `intend to move epoch ${call.epoch} to ${nameOf(call.heir)}, ${term}`;
    case 'fence':
      return `fence epoch ${call.epoch}, ${term}`;
    case 'seal':
    case 'unseal':
      return `${call.kind} ${nameOf(call.owner)}, ${term}`;
    case 'accept':
    case 'serve':
    case 'tell':
      return `${call.kind} epoch ${call.epoch} of ${nameOf(call.owner)}, ${term}`;
  }
}

/** One call to one voter, whether or not it has answered another before. */
export function callOne(
  world: World,
  self: number,
  call: ControlCall,
  voter: number,
  options: Options,
  after: (draft: Draft) => void,
  emit: Emit<World>,
): void {
  if ((reachable(world) & bit(voter)) === 0) return;
  const draft = draftOf(world);
  const answer = answerCall(voter, zoneIn(draft, voter), call, options.rules);
  if (answer === 'old-term') put(draft, self, STANDBY);
  else if (answer === 'done') after(draft);
  else put(draft, self, { stage: 'judging', done: 0 });
  emit(draft, 'step', () => `${coordinatorName(self)} → ${nameOf(voter)}: ${tellCall(call)}: ${answer}`);
  if (options.isRecovering || world.budget.lateCalls === 0 || world.late !== undefined) return;
  const delayed = draftOf(world);
  delayed.late = { voter, call };
  spend(delayed, 'lateCalls');
  emit(
    delayed,
    'fault',
    () => `${coordinatorName(self)} → ${nameOf(voter)}: ${tellCall(call)}: is under way, and will be late`,
  );
}
