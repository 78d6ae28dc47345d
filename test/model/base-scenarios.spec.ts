/**
 * With every rule kept, no scenario shows anything wrong. The small ones are looked at to their end; of the others the
 * first states, breadth-first, and random walks. `npm run model -- --minutes 60` looks further.
 */
import { describe, expect, it } from 'vitest';
import { exploreAll, walkAtRandom } from './checker/explore.js';
import { seededRandom } from './checker/seeded-random.js';
import { isScenario, modelOf, SCENARIOS, type ScenarioName } from './protocol/scenarios.js';

const NAMES = Object.keys(SCENARIOS).filter(isScenario);
/** Those that end within the bound. */
const SMALL: readonly ScenarioName[] = ['adding', 'late-rows', 'missed-heir', 'uneven', 'tail-update', 'rejoin'];
const STATES = 20_000;

it.each(NAMES)('scenario %s: nothing is wrong, and every state leads back to normal service', (name) => {
  const { violation, isExhausted } = exploreAll(modelOf(SCENARIOS[name]), {
    states: STATES,
    depth: 1_000,
    homeEvery: SMALL.includes(name) ? 2 : 10,
  });
  expect(violation).toBeUndefined();
  expect(isExhausted).toBe(SMALL.includes(name));
});

describe('along random walks', () => {
  it.each(['everything', 'failover-in-sync', 'rejoin', 'return'] as const)('scenario %s: nothing is wrong', (name) => {
    const { violation, steps } = walkAtRandom(
      modelOf(SCENARIOS[name]),
      { walks: 300, depth: 120, homeEvery: 5 },
      seededRandom(20_261_123),
    );
    expect(violation).toBeUndefined();
    expect(steps).toBeGreaterThan(3_000);
  });
});
