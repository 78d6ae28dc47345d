import { describe, expect, it } from 'vitest';
import { exploreAll, walkAtRandom } from './explore.js';
import { type Model, type StepKind } from './model.js';
import { seededRandom } from './seeded-random.js';

/** A graph of numbers: from each, where a step leads, and what kind of step that is. */
type Graph = Readonly<Record<number, readonly (readonly [number, StepKind])[]>>;

function modelOf(graph: Graph, home: readonly number[], wrong: readonly number[] = []): Model<number> {
  return {
    initial: 0,
    steps: (state, emit) => {
      for (const [next, kind] of graph[state] ?? []) emit(next, kind, () => `${state} to ${next}`);
    },
    recoverySteps: (state, emit) => {
      for (const [next, kind] of graph[state] ?? [])
        if (kind !== 'fault') emit(next, kind, () => `${state} to ${next}`);
    },
    encode: (state, into) => {
      into[0] = state;
      return 1;
    },
    breachOf: (state) => (wrong.includes(state) ? `${state} is wrong` : undefined),
    isHome: (state) => home.includes(state),
    describe: (state) => `at ${state}`,
  };
}

const BOUNDS = { states: 1_000, depth: 100, homeEvery: 1 };

/** 0 → 1 → 2 → 0, and 2 → 3 by a fault, from where a repair leads back. */
const RING: Graph = {
  0: [[1, 'step']],
  1: [[2, 'step']],
  2: [
    [0, 'step'],
    [3, 'fault'],
  ],
  3: [[0, 'repair']],
};

describe('looking at everything', () => {
  it('ends when nothing is left to look at, each state being looked at once', () => {
    const { states, isExhausted, violation } = exploreAll(modelOf(RING, [0]), BOUNDS);
    expect([states, isExhausted, violation]).toEqual([4, true, undefined]);
  });

  it('finds a wrong state by a shortest path, and tells it as sentences', () => {
    const graph: Graph = {
      ...RING,
      0: [
        [1, 'step'],
        [4, 'step'],
      ],
      4: [[3, 'step']],
    };
    const { violation, isExhausted } = exploreAll(modelOf(graph, [0], [3]), BOUNDS);
    expect(violation).toEqual({ breach: '3 is wrong', story: ['0 to 4', '4 to 3'], end: 'at 3' });
    expect(isExhausted).toBe(false);
  });

  it('marks what was a fault or a repair', () => {
    const { violation } = exploreAll(modelOf(RING, [0], [3]), BOUNDS);
    expect(violation?.story.at(-1)).toBe('(fault) 2 to 3');
  });

  it('finds a state from which nothing leads home', () => {
    const graph: Graph = { ...RING, 3: [[5, 'repair']], 5: [[3, 'step']] };
    const { violation } = exploreAll(modelOf(graph, [0]), BOUNDS);
    expect(violation?.breach).toMatch(/nothing leads back/);
    expect(violation?.end).toBe('at 3');
  });

  it('takes no fault for a way home', () => {
    const graph: Graph = { ...RING, 3: [[0, 'fault']] };
    expect(exploreAll(modelOf(graph, [0]), BOUNDS).violation?.breach).toMatch(/nothing leads back/);
  });

  it('says when it stopped at a bound', () => {
    const line: Graph = Object.fromEntries(Array.from({ length: 50 }, (_, at) => [at, [[at + 1, 'step' as const]]]));
    const bounded = exploreAll(modelOf(line, [50]), { ...BOUNDS, depth: 10 });
    expect([bounded.isExhausted, bounded.depth]).toEqual([false, 10]);
    expect(exploreAll(modelOf(line, [50]), { ...BOUNDS, states: 20 }).isExhausted).toBe(false);
  });
});

describe('walking at random', () => {
  const bounds = { walks: 200, depth: 20, homeEvery: 1 };

  it('finds what is wrong, and leaves out what the story does not need', () => {
    const dawdling: Graph = {
      0: [[1, 'step']],
      1: [
        [1, 'step'],
        [2, 'step'],
      ],
      2: [
        [2, 'repair'],
        [3, 'fault'],
      ],
    };
    const { violation } = walkAtRandom(modelOf(dawdling, [0], [3]), bounds, seededRandom(1));
    expect(violation?.story).toEqual(['0 to 1', '1 to 2', '(fault) 2 to 3']);
  });

  it('is the same walk for one seed', () => {
    const walk = () => walkAtRandom(modelOf(RING, [0]), bounds, seededRandom(7));
    expect(walk()).toEqual(walk());
  });

  it('finds an end from which nothing leads home', () => {
    const graph: Graph = { ...RING, 3: [[5, 'repair']], 5: [[3, 'step']] };
    expect(walkAtRandom(modelOf(graph, [0]), bounds, seededRandom(1)).violation?.breach).toMatch(/leads back/);
  });
});
