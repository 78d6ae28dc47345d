/**
 * What the agent of a zone does to its in-sync set. The record is one register here, changed at once by whoever reaches
 * a majority; that the voters can keep such a register is shown by a model of its own (register/).
 */
import { changeRecord, majority, nextAddStep, nextDropStep, type AddFacts, type InSyncChange } from '@borough/topology';
import { type Emit } from '../checker/model.js';
import { type Rules } from './rules.js';
import {
  at,
  bit,
  countOf,
  draftOf,
  maskOf,
  nameOf,
  namesOf,
  NO_WORK,
  reachable,
  recordOf,
  spend,
  type AgentWork,
  type Draft,
  type World,
  ZONES,
  zoneIn,
  zoneNamed,
  zoneOf,
} from './world.js';
import { areEqual, isStreaming } from './zone-steps.js';

/** @param isRecovering the bounds on changes are lifted, and only what helps is begun */
export function agentSteps(world: World, rules: Rules, isRecovering: boolean, emit: Emit<World>): void {
  for (const self of ZONES) {
    const zone = zoneOf(world, self);
    if (zone.lateChange.kind !== 'none') deliverLate(world, self, rules, emit);
    if (!zone.isUp) continue;
    if (zone.agent.kind !== 'none') {
      goOn(world, self, rules, emit);
      if (!isRecovering && world.budget.lateChanges > 0) agentDies(world, self, emit);
      continue;
    }
    for (const member of ZONES) {
      if (member === self) continue;
      tidy(world, self, member, rules, emit);
      if (!isRecovering && world.budget.agentChanges === 0) continue;
      beginDrop(world, self, member, rules, isRecovering, emit);
      beginAdd(world, self, member, rules, isRecovering, emit);
    }
  }
}

/** A change needs a majority that answers, and the zone itself reach it. */
function reachesMajority(world: World, self: number): boolean {
  return (reachable(world) & bit(self)) !== 0 && countOf(reachable(world)) >= majority(ZONES.length);
}

function beginDrop(
  world: World,
  self: number,
  member: number,
  rules: Rules,
  isRecovering: boolean,
  emit: Emit<World>,
): void {
  const record = recordOf(world, self);
  const { setting } = zoneOf(world, self);
  if (!reachesMajority(world, self) || !record.members.includes(nameOf(member))) return;
  // Once faults have ended a member is dropped only when its stream has stopped.
  if (isRecovering && !isStuck(world, member, self)) return;
  const step = nextDropStep(nameOf(member), record, namesOf(setting));
  if (step.kind !== 'change-record') return;
  const draft = draftOf(world);
  const zone = zoneIn(draft, self);
  const isRecordFirst = rules['drop-record-first'];
  zone.agent = {
    ...NO_WORK,
    kind: 'drop',
    phase: isRecordFirst ? 'record' : 'setting',
    member,
    begunFrom: step.begunFrom,
  };
  if (!isRecovering) spend(draft, 'agentChanges');
  emit(draft, 'step', () => `the agent of zone ${nameOf(self)} begins to drop zone ${nameOf(member)}`);
}

function isStuck(world: World, member: number, self: number): boolean {
  return at(zoneOf(world, member).applied, self) < zoneOf(world, self).log.length;
}

function beginAdd(
  world: World,
  self: number,
  member: number,
  rules: Rules,
  isRecovering: boolean,
  emit: Emit<World>,
): void {
  const record = recordOf(world, self);
  const { setting, log } = zoneOf(world, self);
  if (!reachesMajority(world, self) || !isStreaming(world, member, self) || record.frozenBy.length > 0) return;
  if (record.members.includes(nameOf(member))) return;
  if (rules['recorded-after-rejoin'] && world.rejoining === member) return;
  if (rules['compare-before-recorded']) {
    if (at(zoneOf(world, member).applied, self) < log.length || !areEqual(world, self, member)) return;
  }
  if (isRecovering && setting !== 0) return;
  const draft = draftOf(world);
  const zone = zoneIn(draft, self);
  const phase = rules['add-setting-first'] ? 'setting' : 'record';
  zone.agent = { ...NO_WORK, kind: 'add', phase, member, begunFrom: record.version };
  if (!isRecovering) spend(draft, 'agentChanges');
  emit(
    draft,
    'step',
    () => `the agent of zone ${nameOf(self)} finds zone ${nameOf(member)} equal and begins to add it`,
  );
}

function goOn(world: World, self: number, rules: Rules, emit: Emit<World>): void {
  const { agent } = zoneOf(world, self);
  if (agent.kind === 'drop') goOnDropping(world, self, agent, rules, emit);
  else goOnAdding(world, self, agent, rules, emit);
}

function goOnDropping(world: World, self: number, agent: AgentWork, rules: Rules, emit: Emit<World>): void {
  const { setting } = zoneOf(world, self);
  const draft = draftOf(world);
  const zone = zoneIn(draft, self);
  if (agent.phase === 'setting') {
    zone.setting = setting & ~bit(agent.member);
    zone.agent = rules['drop-record-first'] ? NO_WORK : { ...agent, phase: 'record' };
    emit(
      draft,
      'step',
      () => `the agent of zone ${nameOf(self)} takes zone ${nameOf(agent.member)} out of the setting`,
    );
    return;
  }
  if (!reachesMajority(world, self)) return;
  const isChanged = change(draft, self, agent, { kind: 'drop', member: nameOf(agent.member) }, rules);
  zone.agent = isChanged && rules['drop-record-first'] ? { ...agent, phase: 'setting' } : NO_WORK;
  const outcome = isChanged ? 'takes' : 'fails to take';
  emit(
    draft,
    'step',
    () => `the agent of zone ${nameOf(self)} ${outcome} zone ${nameOf(agent.member)} out of the record`,
  );
}

function goOnAdding(world: World, self: number, agent: AgentWork, rules: Rules, emit: Emit<World>): void {
  const { setting, log, loaded, doCommitsWait } = zoneOf(world, self);
  const record = recordOf(world, self);
  const member = nameOf(agent.member);
  const draft = draftOf(world);
  const zone = zoneIn(draft, self);
  const haveReloaded =
    !rules['senders-have-reloaded'] || ZONES.every((peer) => peer === self || at(loaded, peer) === setting);
  const hasLeftSolo = !rules['solo-commit-seen-waiting'] || doCommitsWait;
  const isAwaited = agent.phase === 'marker';
  const facts: AddFacts = {
    record,
    setting: namesOf(setting),
    // Whether the record has changed since is asked where the change is made.
    comparedFrom: record.version,
    haveSendersReloaded: isAwaited || haveReloaded,
    isLeavingSolo: !isAwaited && !hasLeftSolo,
    hasFlushedMarker:
      isAwaited && (!rules['newcomer-flushed-marker'] || at(zoneOf(world, agent.member).applied, self) >= agent.marker),
  };
  const step = agent.phase === 'record' ? addToRecord(member, agent) : nextAddStep(member, facts);
  switch (step.kind) {
    case 'write-setting':
      zone.setting = maskOf(step.members);
      zone.agent = rules['add-setting-first'] ? { ...agent, phase: 'setting' } : NO_WORK;
      emit(draft, 'step', () => `the agent of zone ${nameOf(self)} puts zone ${member} into the setting`);
      return;
    case 'await-marker':
      if (isAwaited) return;
      zone.agent = { ...agent, phase: 'marker', marker: log.length };
      emit(draft, 'step', () => `the agent of zone ${nameOf(self)} writes a marker for zone ${member}`);
      return;
    case 'change-record': {
      if (!reachesMajority(world, self)) return;
      const isChanged = change(draft, self, agent, step.change, rules);
      zone.agent = rules['add-setting-first'] || !isChanged ? NO_WORK : { ...agent, phase: 'setting' };
      emit(
        draft,
        'step',
        () => `the agent of zone ${nameOf(self)} ${isChanged ? 'records' : 'fails to record'} zone ${member}`,
      );
      return;
    }
    case 'give-up':
    case 'done':
      zone.agent = NO_WORK;
      emit(draft, 'step', () => `the agent of zone ${nameOf(self)} gives up adding zone ${member}`);
      return;
    case 'heal-and-compare':
    case 'end-old-senders':
    case 'see-a-commit-wait':
  }
}

const addToRecord = (member: string, { begunFrom }: AgentWork) =>
  ({ kind: 'change-record', change: { kind: 'add', member }, begunFrom }) as const;

/** @returns whether the record has changed */
function change(draft: Draft, self: number, { begunFrom }: AgentWork, wanted: InSyncChange, rules: Rules): boolean {
  const record = recordOf(draft, self);
  const changed = rules['changes-compare-version']
    ? changeRecord(record, begunFrom, wanted)
    : changeRecord({ ...record, frozenBy: [] }, record.version, wanted);
  if (changed.version === record.version) return false;
  draft.records = draft.records.map((known, zone) =>
    zone === self ? { ...changed, frozenBy: record.frozenBy } : known,
  );
  return true;
}

/** The process ends. A change of the record that it was about to make may be under way already. */
function agentDies(world: World, self: number, emit: Emit<World>): void {
  const { agent, lateChange } = zoneOf(world, self);
  const draft = draftOf(world);
  const zone = zoneIn(draft, self);
  zone.agent = NO_WORK;
  spend(draft, 'lateChanges');
  emit(draft, 'fault', () => `the agent of zone ${nameOf(self)} dies`);
  const isSent =
    (agent.kind === 'drop' && agent.phase === 'record') || (agent.kind === 'add' && agent.phase === 'marker');
  if (!isSent || lateChange.kind !== 'none') return;
  if (agent.kind === 'add' && at(zoneOf(world, agent.member).applied, self) < agent.marker) return;
  const later = draftOf(draft);
  zoneIn(later, self).lateChange = agent;
  emit(later, 'fault', () => `the agent of zone ${nameOf(self)} dies; its change of the record is still under way`);
}

function deliverLate(world: World, self: number, rules: Rules, emit: Emit<World>): void {
  const { lateChange } = zoneOf(world, self);
  if (countOf(reachable(world)) < majority(ZONES.length)) return;
  const draft = draftOf(world);
  zoneIn(draft, self).lateChange = NO_WORK;
  const wanted = lateChange.kind === 'drop' ? 'drop' : 'add';
  const isChanged = change(draft, self, lateChange, { kind: wanted, member: nameOf(lateChange.member) }, rules);
  emit(
    draft,
    'step',
    () =>
      `a late change arrives: ${wanted} zone ${nameOf(lateChange.member)} in the record of zone ${nameOf(self)}; ${isChanged ? 'made' : 'refused'}`,
  );
}

/** A new agent finds a zone in the setting that is not in the record: left over from a change of an agent that died. */
function tidy(world: World, self: number, member: number, rules: Rules, emit: Emit<World>): void {
  const { setting } = zoneOf(world, self);
  const record = recordOf(world, self);
  const step = nextDropStep(nameOf(member), record, namesOf(setting));
  if (step.kind !== 'write-setting' || !reachesMajority(world, self)) return;
  const draft = draftOf(world);
  const zone = zoneIn(draft, self);
  zone.setting = maskOf(step.members);
  // Reading under a new ballot refuses what was sent under older ones: as good as a new version.
  if (rules['clean-up-under-a-ballot'] && zone.lateChange.kind !== 'none') {
    draft.records = draft.records.map((known) => (known === record ? { ...known, version: known.version + 1 } : known));
  }
  emit(
    draft,
    'step',
    () => `a new agent of zone ${nameOf(self)} takes zone ${nameOf(member)} out of the setting: it is not recorded`,
  );
}

/** For the moves: the register is read and changed by whoever reaches a majority. */
export function changeByMove(draft: Draft, zone: number, wanted: InSyncChange): void {
  const record = recordOf(draft, zone);
  const changed = changeRecord(record, record.version, wanted);
  draft.records = withRecord(draft, zone, changed);
}

function withRecord(draft: Draft, zone: number, changed: World['records'][number]): World['records'] {
  return draft.records.map((known) => (zoneNamed(known.zone) === zone ? changed : known));
}
