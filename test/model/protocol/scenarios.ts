/** Bounded pieces of the protocol, each small enough to be looked through; and all of it together, for random walks. */
import { stateAfter } from '../checker/explore.js';
import { type Emit, type Model } from '../checker/model.js';
import { agentSteps } from './agent-steps.js';
import { type PlannedMove } from './calls.js';
import { coordinatorSteps } from './coordinator-steps.js';
import { encode } from './encode.js';
import { breachOf, describe, isHome } from './promises.js';
import { ALL_RULES, type Rules } from './rules.js';
import { ALL, bit, nameOf, namesOf, NO_BUDGET, NO_WORK, type Budget, type World, type Zone, ZONES } from './world.js';
import { faultSteps, healSteps, repairSteps, settingSteps, streamSteps, writerSteps } from './zone-steps.js';

export interface Scenario {
  readonly about: string;
  readonly writes: number;
  readonly plan: readonly PlannedMove[];
  readonly budget: Partial<Budget>;
  /** Record and setting of each zone at the start; default: everyone else. */
  readonly members?: readonly number[];
  /** Coordinators; default 2. */
  readonly coordinators?: number;
  /** No agent heals zones by itself unless this is set: it matters only where somebody missed something. */
  readonly doesHeal?: boolean;
  /** What has happened already, as fragments of sentences. */
  readonly prelude?: readonly string[];
}

const handover: PlannedMove = { kind: 'handover', to: 1 };
const failover: PlannedMove = { kind: 'failover' };
/** a waits for b alone, b for a; c is recorded nowhere and may lag. */
const PAIR = [0b010, 0b001, 0];

const INTENDED = [
  'leads under term 1, promised by a and b and c',
  'records a failover',
  'freezes the records',
  'how far the move is',
  'x → b: intend',
  'x → c: intend',
];
/** b has taken over from a, which is cut off; c was away and left the record of b. */
const FAILED_OVER = [
  ...INTENDED,
  'zone a is cut off',
  'gives up on zone a',
  'x → b: seal',
  'x → c: seal',
  'chooses zone b',
  'takes zone a out of the record',
  'proposes zone b',
  'x → b: accept',
  'x → c: accept',
  'x → b: serve',
  'x → c: tell',
  'ends the telling',
  'ends the move',
];

export const SCENARIOS = {
  install: {
    about: 'ownership alone: a handover, three leaders, a call that comes late',
    writes: 0,
    plan: [handover],
    budget: { leads: 3, lateCalls: 1 },
  },
  handover: {
    about: 'a handover under writes, by two coordinators; a backend dies',
    writes: 1,
    plan: [handover],
    budget: { leads: 2, deaths: 1, replays: 1 },
  },
  'in-sync': {
    about: 'the in-sync set of one owner changes, its agent dies, a change comes late',
    writes: 2,
    plan: [],
    budget: { agentChanges: 3, lateChanges: 1 },
    members: [0b110, 0, 0],
    coordinators: 0,
  },
  solo: {
    about: 'an owner that waits for one other zone drops it, and takes it back',
    writes: 2,
    plan: [],
    budget: { agentChanges: 2, lateChanges: 1 },
    members: [0b010, 0, 0],
    coordinators: 0,
  },
  adding: {
    about: 'an owner that waits for one other zone takes in a third',
    writes: 2,
    plan: [],
    budget: { agentChanges: 1 },
    members: PAIR,
    coordinators: 0,
  },
  missed: {
    about: 'a zone misses an entry of an owner that does not wait for it, and is recorded after that',
    writes: 2,
    plan: [],
    budget: { agentChanges: 1, missed: 1, replays: 1 },
    members: [0b010, 0, 0],
    coordinators: 0,
    doesHeal: true,
  },
  'handover-in-sync': {
    about: 'a handover while agents change the in-sync sets; a third zone lags',
    writes: 1,
    plan: [handover],
    budget: { leads: 1, agentChanges: 1 },
    coordinators: 1,
    members: PAIR,
  },
  failover: {
    about: 'a failover of an owner that is alive, cut off or dead, by two coordinators',
    writes: 1,
    plan: [failover],
    budget: { leads: 2, cutOffs: 1 },
  },
  'failover-in-sync': {
    about: 'a failover while agents change the in-sync sets; the old owner may be alive',
    writes: 1,
    plan: [failover],
    budget: { leads: 1, agentChanges: 1 },
    coordinators: 1,
    members: PAIR,
  },
  'failover-restart': {
    about: 'a failover, and zones that restart in it; the old owner is alive',
    writes: 1,
    plan: [failover],
    budget: { leads: 1, crashes: 1 },
    coordinators: 1,
    prelude: [...INTENDED, 'zone a commits write 0'],
  },
  'failover-undone': {
    about: 'a failover that dies when one voter has accepted, and is taken over by a leader that does not see it',
    writes: 1,
    plan: [failover],
    budget: { leads: 2, agentChanges: 1 },
    prelude: [
      ...INTENDED,
      'gives up on zone a',
      'x → b: seal',
      'x → c: seal',
      'chooses zone b',
      'takes zone a out of the record',
      'proposes zone b',
      'x → c: accept',
      'coordinator y leads under term 2, promised by a and b',
    ],
  },
  'late-rows': {
    about: 'a handover, and a third zone that still takes in rows from before it',
    writes: 1,
    plan: [handover],
    budget: { leads: 1, replays: 2, deaths: 1 },
    coordinators: 1,
    members: PAIR,
  },
  'missed-heir': {
    about: 'a handover to a zone that has missed an entry, and is not recorded',
    writes: 1,
    plan: [handover],
    budget: { leads: 1, missed: 1 },
    coordinators: 1,
    members: [0b100, 0, 0],
  },
  uneven: {
    about: 'a failover whose candidates hold different parts of the log, and a handover after it',
    writes: 1,
    plan: [failover, { kind: 'handover' }],
    budget: { leads: 1, replays: 1 },
    coordinators: 1,
    members: [0b110, 0b101, 0b010],
    prelude: [
      'zone a commits write 0',
      'zone c takes in write 0',
      'leads under term 1',
      'records a failover of epoch 1 from a to b',
      'freezes the records',
      'how far the move is',
      'x → b: intend',
      'x → c: intend',
      'gives up on zone a',
      'x → b: seal',
      'x → c: seal',
    ],
  },
  'unsealed-third': {
    about: 'a failover in which the third zone learns late that the old owner is sealed off; then a handover to it',
    writes: 1,
    plan: [failover, { kind: 'handover', to: 2 }],
    budget: { leads: 1, replays: 1, agentChanges: 1 },
    coordinators: 1,
    members: [0b110, 0b101, 0b010],
    prelude: [
      'zone a commits write 0',
      ...INTENDED,
      'gives up on zone a',
      'x → b: seal',
      'chooses zone b',
      'takes zone a out of the record',
      'takes zone c out of the record',
      'proposes zone b',
      'x → b: accept',
      'x → c: accept',
      'x → b: serve',
      'ends the telling',
      'ends the move',
      'finds zone c equal',
    ],
  },
  'late-seal': {
    about: 'a failover, one of whose seals comes late',
    writes: 1,
    plan: [failover],
    budget: { leads: 1, lateCalls: 1, cutOffs: 1 },
    coordinators: 1,
    prelude: [...INTENDED, 'gives up on zone a', 'x → b: seal a, term 1: is under way', 'x → b: seal a, term 1: done'],
  },
  'tail-update': {
    about: 'the way back of an old owner that had changed a row and told nobody',
    writes: 1,
    plan: [failover],
    budget: { leads: 1, cutOffs: 1, replays: 1 },
    coordinators: 1,
    prelude: [
      'zone a commits write 0',
      'zone b takes in write 0',
      'zone c takes in write 0',
      'zone a acknowledges',
      'zone a commits a replay',
      ...FAILED_OVER,
    ],
  },
  rejoin: {
    about: 'the way back of an old owner with a tail, with retries at the heir',
    writes: 1,
    plan: [failover],
    budget: { leads: 1, cutOffs: 1, crashes: 1, replays: 1 },
    coordinators: 1,
    prelude: ['zone a commits write 0', ...FAILED_OVER],
  },
  return: {
    about: 'the way back, and a handover after it, with healing and members that are added',
    writes: 1,
    plan: [failover, { kind: 'handover' }],
    budget: { leads: 1, cutOffs: 1, replays: 1, agentChanges: 1 },
    coordinators: 1,
    doesHeal: true,
    prelude: ['zone a commits write 0', ...FAILED_OVER],
  },
  everything: {
    about: 'all of it at once, for random walks',
    writes: 2,
    plan: [{ kind: 'handover' }, failover, { kind: 'handover' }],
    budget: {
      leads: 4,
      cutOffs: 2,
      crashes: 2,
      deaths: 1,
      lateCalls: 2,
      agentChanges: 4,
      lateChanges: 1,
      replays: 3,
      missed: 1,
    },
    doesHeal: true,
  },
} as const satisfies Record<string, Scenario>;

export type ScenarioName = keyof typeof SCENARIOS;

export function modelOf(scenario: Scenario, rules: Rules = ALL_RULES): Model<World> {
  const model: Model<World> = {
    initial: initialWorld(scenario),
    steps: (world, emit) => {
      allSteps(world, scenario, rules, false, emit);
    },
    recoverySteps: (world, emit) => {
      allSteps(world, scenario, rules, true, emit);
    },
    encode,
    breachOf,
    isHome,
    describe,
  };
  return scenario.prelude === undefined ? model : { ...model, initial: stateAfter(model, scenario.prelude) };
}

function allSteps(world: World, scenario: Scenario, rules: Rules, isRecovering: boolean, emit: Emit<World>): void {
  const options = { rules, plan: scenario.plan, isRecovering };
  if (isRecovering) repairSteps(world, rules, emit);
  else faultSteps(world, rules, emit);
  streamSteps(world, rules, emit);
  settingSteps(world, emit);
  writerSteps(world, rules, !isRecovering, emit);
  coordinatorSteps(world, options, emit);
  agentSteps(world, rules, isRecovering, emit);
  if (scenario.doesHeal === true || isRecovering) healSteps(world, rules, emit);
}

function initialWorld({ writes, budget, members = [0b110, 0b101, 0b011], coordinators = 2 }: Scenario): World {
  const none = Array.from({ length: writes }, () => 0);
  const copy = { epoch: 1, state: 'serving', owner: 0, heir: -1, move: 0, term: 0, cutZone: -1, cutAt: 0 } as const;
  const zone = (self: number): Zone => {
    const setting = (members[self] ?? ALL) & ~bit(self);
    return {
      isUp: true,
      isCutOff: false,
      promised: 0,
      copy,
      setting,
      loaded: ZONES.map(() => setting),
      doCommitsWait: setting !== 0,
      log: [],
      rows: none,
      applied: ZONES.map(() => 0),
      sealed: 0,
      lingering: 0,
      backends: none.map(() => 'none'),
      waitingAt: none,
      agent: NO_WORK,
      lateChange: NO_WORK,
    };
  };
  return {
    zones: ZONES.map(zone),
    records: ZONES.map((self) => ({
      zone: nameOf(self),
      members: namesOf((members[self] ?? ALL) & ~bit(self)),
      version: 1,
      frozenBy: [],
    })),
    coordinators: Array.from({ length: coordinators }, () => ({
      term: 0,
      stage: 'standby' as const,
      isBack: false,
      owner: 0,
      epoch: 0,
      cutZone: -1,
      cutAt: 0,
      done: 0,
      needed: 0,
    })),
    move: { id: 0, kind: 'none', from: 0, to: 0, epoch: 0, isRunning: false },
    planned: 0,
    rejoining: -1,
    rejoinMove: 0,
    late: undefined,
    acknowledged: none,
    budget: { ...NO_BUDGET, ...budget },
    breach: undefined,
  };
}

export function isScenario(name: string): name is ScenarioName {
  return Object.hasOwn(SCENARIOS, name);
}
