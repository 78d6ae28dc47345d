import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compareTerms, next, stateOfRow, type OwnershipRow, type ShardEvent, type ShardState } from './shard-state.js';

const STATES: { [K in ShardState['kind']]: Extract<ShardState, { kind: K }> } = {
  serving: { kind: 'serving', owner: 'a', epoch: 7 },
  moving: { kind: 'moving', owner: 'a', epoch: 7, heir: 'b', moveId: 'mov-1' },
  fenced: { kind: 'fenced', epoch: 7, heir: 'b', moveId: 'mov-1' },
};
const EVENTS: { [K in ShardEvent['kind']]: Extract<ShardEvent, { kind: K }> } = {
  'intend-move': { kind: 'intend-move', heir: 'b', moveId: 'mov-1' },
  fence: { kind: 'fence', moveId: 'mov-1' },
  install: { kind: 'install', epoch: 8, owner: 'b' },
};
/** The same table stands in SPEC.md. A new state or event does not compile until its row is written. */
const EXPECTED: Record<ShardState['kind'], Record<ShardEvent['kind'], ShardState['kind'] | 'unchanged'>> = {
  serving: { 'intend-move': 'moving', fence: 'unchanged', install: 'unchanged' },
  moving: { 'intend-move': 'unchanged', fence: 'fenced', install: 'serving' },
  fenced: { 'intend-move': 'unchanged', fence: 'unchanged', install: 'serving' },
};
const PAIRS = Object.values(STATES).flatMap((state) => Object.values(EVENTS).map((event) => ({ state, event })));

const RANKS: Record<ShardState['kind'], number> = { serving: 1, moving: 2, fenced: 3 };
const zones = fc.constantFrom('a', 'b', 'c');
const moveIds = fc.constantFrom('mov-1', 'mov-2');
const epochs = fc.integer({ min: 1, max: 12 });
const events = fc.oneof(
  fc.record({ kind: fc.constant('intend-move'), heir: zones, moveId: moveIds }),
  fc.record({ kind: fc.constant('fence'), moveId: moveIds }),
  fc.record({ kind: fc.constant('install'), epoch: epochs, owner: zones }),
) satisfies fc.Arbitrary<ShardEvent>;

describe('O6: a shard', () => {
  it.each(PAIRS)('that is $state.kind takes $event.kind as the table says', ({ state, event }) => {
    const after = next(state, event);
    const expected = EXPECTED[state.kind][event.kind];
    if (expected === 'unchanged') expect(after).toBe(state);
    else expect(after.kind).toBe(expected);
  });

  it('goes from serving to moving to fenced to serving at the next epoch', () => {
    const moving = next(STATES.serving, EVENTS['intend-move']);
    expect(moving).toEqual(STATES.moving);
    const fenced = next(moving, EVENTS.fence);
    expect(fenced).toEqual(STATES.fenced);
    expect(next(fenced, EVENTS.install)).toEqual({ kind: 'serving', owner: 'b', epoch: 8 });
  });

  it('that is fenced has no owner, so nobody may write', () => {
    expect(next(STATES.moving, EVENTS.fence)).not.toHaveProperty('owner');
  });

  it('only goes forward by epoch and state, whatever happens, and its epoch by one at a time', () => {
    fc.assert(
      fc.property(fc.array(events, { maxLength: 40 }), (happened) => {
        happened.reduce<ShardState>((before, event) => {
          const frozen = Object.freeze(before);
          const after = next(frozen, event);
          const grown = 4 * (after.epoch - before.epoch) + RANKS[after.kind] - RANKS[before.kind];
          if (after !== before) expect(grown).toBeGreaterThan(0);
          expect(after.epoch - before.epoch).toBeLessThanOrEqual(1);
          return after;
        }, STATES.serving);
      }),
    );
  });

  it.each([6, 7, 9])('at epoch 7 is not installed at epoch %d', (epoch) => {
    for (const state of [STATES.moving, STATES.fenced]) {
      expect(next(state, { kind: 'install', epoch, owner: 'b' })).toBe(state);
    }
  });

  it('goes back to its old owner with a new epoch only', () => {
    for (const state of [STATES.moving, STATES.fenced]) {
      expect(next(state, { kind: 'install', epoch: 8, owner: 'a' })).toEqual({ kind: 'serving', owner: 'a', epoch: 8 });
    }
  });

  it('is not moved to the zone that owns it', () => {
    expect(next(STATES.serving, { kind: 'intend-move', heir: 'a', moveId: 'mov-1' })).toBe(STATES.serving);
  });

  it('is not fenced by another move', () => {
    expect(next(STATES.moving, { kind: 'fence', moveId: 'mov-2' })).toBe(STATES.moving);
  });

  it('that is moving does not change its heir or its move', () => {
    expect(next(STATES.moving, { kind: 'intend-move', heir: 'c', moveId: 'mov-2' })).toBe(STATES.moving);
  });
});

describe('O1: terms', () => {
  const terms = fc.record({ number: fc.integer({ min: 0, max: 3 }), coordinator: fc.constantFrom('a', 'b', 'B') });

  it('are ordered by number, then by coordinator', () => {
    expect(compareTerms({ number: 2, coordinator: 'a' }, { number: 10, coordinator: 'a' })).toBeLessThan(0);
    expect(compareTerms({ number: 2, coordinator: 'b' }, { number: 2, coordinator: 'a' })).toBeGreaterThan(0);
    expect(compareTerms({ number: 2, coordinator: 'a' }, { number: 2, coordinator: 'a' })).toBe(0);
  });

  it('are in one total order, and equal only when they are the same', () => {
    fc.assert(
      fc.property(terms, terms, terms, (a, b, c) => {
        expect(Math.sign(compareTerms(a, b)) + Math.sign(compareTerms(b, a))).toBe(0);
        expect(compareTerms(a, b) === 0).toBe(a.number === b.number && a.coordinator === b.coordinator);
        if (compareTerms(a, b) <= 0 && compareTerms(b, c) <= 0) expect(compareTerms(a, c)).toBeLessThanOrEqual(0);
      }),
    );
  });
});

describe('a stored row', () => {
  const row = (state: OwnershipRow['state']): OwnershipRow => {
    const base = { shard: 3, epoch: 7, state, owner: 'a', term: { number: 1, coordinator: 'x' } };
    return state === 'moving' || state === 'fenced' ? { ...base, heir: 'b', moveId: 'mov-1' } : base;
  };

  it.each(['serving', 'moving', 'fenced'] as const)('that is %s stands for that state', (state) => {
    expect(stateOfRow(row(state))).toEqual(STATES[state]);
  });

  it('that is accepted stands for no state yet', () => {
    expect(stateOfRow(row('accepted'))).toBeUndefined();
  });

  it.each(['moving', 'fenced'] as const)('that is %s without a move is a fault', (state) => {
    expect(() => stateOfRow({ ...row('serving'), state })).toThrow(RangeError);
  });
});
