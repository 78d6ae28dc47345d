/**
 * Every rule of the protocol is left out in turn, and the model shows what then goes wrong. A rule that can be left out
 * without harm would be either superfluous or not modelled; the last list says of each such rule which it is.
 */
import { describe, expect, it } from 'vitest';
import { exploreAll } from './checker/explore.js';
import { type Rule, RULES, without } from './protocol/rules.js';
import { modelOf, SCENARIOS, type ScenarioName } from './protocol/scenarios.js';

interface Switch {
  /** Left out; more than one where each makes up for the other. */
  readonly rules: readonly [Rule, ...Rule[]];
  readonly scenario: ScenarioName;
  readonly breach: RegExp;
  /** States within which it is found, breadth-first. */
  readonly within: number;
  /** Of how many states one is asked whether it leads back to normal service; only where that is what breaks. */
  readonly homeEvery?: number;
}

const LOST = /acknowledged write .* is missing/;
const TWO_WRITERS = /two writers/;
const OLDER_ROW = /an older row over a newer one/;
const STUCK = /nothing leads back|no way back/;

const FOUND: readonly Switch[] = [
  { rules: ['terms-refuse'], scenario: 'failover-undone', breach: TWO_WRITERS, within: 8000 },
  { rules: ['two-phase-install'], scenario: 'handover', breach: TWO_WRITERS, within: 103600 },
  { rules: ['adopt-the-accepted'], scenario: 'handover', breach: TWO_WRITERS, within: 106500 },
  { rules: ['intent-first'], scenario: 'failover', breach: STUCK, within: 5200, homeEvery: 1 },
  { rules: ['fence-under-the-lock'], scenario: 'late-rows', breach: TWO_WRITERS, within: 5700 },
  { rules: ['fence-the-owner'], scenario: 'handover', breach: LOST, within: 107200 },
  { rules: ['wait-for-members'], scenario: 'handover', breach: LOST, within: 100700 },
  { rules: ['drop-record-first'], scenario: 'missed', breach: LOST, within: 400 },
  { rules: ['add-setting-first'], scenario: 'missed', breach: LOST, within: 900 },
  { rules: ['senders-have-reloaded'], scenario: 'missed', breach: LOST, within: 5600 },
  { rules: ['newcomer-flushed-marker'], scenario: 'missed', breach: LOST, within: 17700 },
  { rules: ['solo-commit-seen-waiting'], scenario: 'solo', breach: LOST, within: 34800 },
  { rules: ['compare-before-recorded'], scenario: 'missed', breach: LOST, within: 19500 },
  { rules: ['remade-streams-count'], scenario: 'missed', breach: LOST, within: 29600 },
  { rules: ['changes-compare-version'], scenario: 'missed', breach: LOST, within: 30400 },
  { rules: ['clean-up-under-a-ballot'], scenario: 'solo', breach: LOST, within: 96200 },
  { rules: ['replay-commits'], scenario: 'handover', breach: LOST, within: 100 },
  { rules: ['freeze-the-owner'], scenario: 'failover-in-sync', breach: TWO_WRITERS, within: 108000 },
  { rules: ['freeze-the-heir'], scenario: 'handover-in-sync', breach: LOST, within: 44000 },
  { rules: ['check-membership'], scenario: 'missed-heir', breach: LOST, within: 700 },
  { rules: ['undo-is-a-new-epoch'], scenario: 'failover-undone', breach: LOST, within: 88100 },
  { rules: ['seal-an-unreachable-owner'], scenario: 'failover-restart', breach: STUCK, within: 500, homeEvery: 1 },
  { rules: ['workers-seen-gone'], scenario: 'failover-undone', breach: STUCK, within: 100, homeEvery: 1 },
  { rules: ['heir-is-recorded'], scenario: 'failover-in-sync', breach: LOST, within: 54700 },
  { rules: ['heal-members-of-the-heir'], scenario: 'uneven', breach: LOST, within: 100 },
  { rules: ['accepting-seals'], scenario: 'unsealed-third', breach: LOST, within: 40200 },
  { rules: ['seal-names-its-epoch'], scenario: 'late-seal', breach: STUCK, within: 21500, homeEvery: 1 },
  { rules: ['only-rejoin-unseals'], scenario: 'failover-restart', breach: STUCK, within: 2400, homeEvery: 1 },
  { rules: ['heal-from-the-owner'], scenario: 'return', breach: LOST, within: 3600 },
  { rules: ['heal-replaces-the-tail'], scenario: 'tail-update', breach: STUCK, within: 100, homeEvery: 1 },
  { rules: ['rejoin-ends-backends'], scenario: 'return', breach: TWO_WRITERS, within: 1500 },
  { rules: ['tail-is-passed'], scenario: 'unsealed-third', breach: LOST, within: 70600 },
  { rules: ['every-zone-passes-the-tail'], scenario: 'late-seal', breach: STUCK, within: 28600, homeEvery: 1 },
  { rules: ['guard'], scenario: 'late-rows', breach: OLDER_ROW, within: 11400 },
  { rules: ['guard-knows-the-cut'], scenario: 'handover', breach: STUCK, within: 9700, homeEvery: 1 },
  { rules: ['guard-raises'], scenario: 'failover-undone', breach: STUCK, within: 8500, homeEvery: 1 },
  { rules: ['rejoin-heals', 'compare-before-recorded'], scenario: 'return', breach: STUCK, within: 7000, homeEvery: 1 },
  { rules: ['recorded-after-rejoin', 'check-seals'], scenario: 'return', breach: STUCK, within: 56000, homeEvery: 1 },
];

/** Nothing was found within the bounds without these, and why. */
const NEEDS_NO_SWITCH: Partial<Record<Rule, string>> = {
  'read-after-promise':
    'needs more leaders in turn than these scenarios have; ownership.model.spec.ts of libs/topology shows it (its draft ' +
    '“unpromised copies”)',
  'wait-for-the-heir':
    'a recorded heir has every acknowledged write before it is acknowledged; the wait spares it the unacknowledged ones',
  'thaw-knows-the-epoch':
    'the seals of the others stop a deposed owner too, until its rejoin has thawed the record itself',
  'heir-has-the-most': 'every recorded member has every acknowledged write; the choice keeps more of the others',
  'owner-leaves-heirs-record':
    'the heir would wait for a zone that takes in nothing, and acknowledge nothing: slow, not wrong',
};

describe('without', () => {
  it.each(FOUND.map((found) => [found.rules.join(' and '), found.scenario, found] as const))(
    '%s, in the scenario %s, something goes wrong',
    (_rules, _scenario, { rules, scenario, breach, within, homeEvery = 0 }) => {
      const { violation } = exploreAll(modelOf(SCENARIOS[scenario], without(...rules)), {
        states: within,
        depth: 1_000,
        homeEvery,
      });
      expect(violation?.breach).toMatch(breach);
      expect(violation?.story.length).toBeGreaterThan(0);
    },
  );
});

it('every rule either has a switch here or a reason to need none', () => {
  const switched = new Set(FOUND.flatMap(({ rules }) => rules));
  const missing = Object.keys(RULES).filter(
    (rule) => !switched.has(rule as Rule) && !Object.hasOwn(NEEDS_NO_SWITCH, rule),
  );
  expect(missing).toEqual([]);
  expect(Object.keys(NEEDS_NO_SWITCH).filter((rule) => switched.has(rule as Rule))).toEqual([]);
});
