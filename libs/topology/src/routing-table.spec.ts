import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  compareEntries,
  emptyTable,
  entryOfRow,
  hasGap,
  merge,
  tableOf,
  tableVersionOf,
  type RoutingEntry,
} from './routing-table.js';

const SERVING: RoutingEntry = { shard: 1, epoch: 7, state: 'serving', owner: 'a' };
const MOVING: RoutingEntry = { shard: 1, epoch: 7, state: 'moving', owner: 'a', heir: 'b' };
const FENCED: RoutingEntry = { shard: 1, epoch: 7, state: 'fenced', owner: 'a', heir: 'b' };
const INSTALLED: RoutingEntry = { shard: 1, epoch: 8, state: 'serving', owner: 'b' };
const STORY = [SERVING, MOVING, FENCED, INSTALLED];

const bare = fc.record({
  shard: fc.integer({ min: 0, max: 3 }),
  epoch: fc.integer({ min: 1, max: 4 }),
  state: fc.constantFrom('serving', 'moving', 'fenced'),
  owner: fc.constantFrom('a', 'b'),
});
// Few shards, epochs and names, so that collisions are common; contradictions are in it on purpose.
const entry: fc.Arbitrary<RoutingEntry> = fc
  .tuple(bare, fc.constantFrom(undefined, 'a', 'b'))
  .map(([rest, heir]) => (heir === undefined ? rest : { ...rest, heir }));
const updates = fc.array(entry, { maxLength: 20 });
const shuffledTwice = updates.chain((all) =>
  fc.tuple(fc.constant(all), fc.shuffledSubarray([...all, ...all], { minLength: 2 * all.length })),
);

describe('RT1: merging', () => {
  it('gives the same table when updates come late, twice and out of order', () => {
    fc.assert(
      fc.property(shuffledTwice, ([sent, received]) => {
        expect(tableOf(received)).toEqual(tableOf(sent));
      }),
    );
  });

  it('is idempotent: a table merged with itself is the same object', () => {
    fc.assert(
      fc.property(updates, (all) => {
        const table = tableOf(all);
        expect(merge(table, table.entries.values())).toBe(table);
        expect(merge(table, all)).toBe(table);
      }),
    );
  });

  it('is commutative and associative', () => {
    fc.assert(
      fc.property(updates, updates, updates, (a, b, c) => {
        const [tableA, tableB, tableC] = [tableOf(a), tableOf(b), tableOf(c)];
        const ab = merge(tableA, tableB.entries.values());
        const bc = merge(tableB, tableC.entries.values());
        expect(merge(tableB, tableA.entries.values())).toEqual(ab);
        expect(merge(ab, tableC.entries.values())).toEqual(merge(tableA, bc.entries.values()));
      }),
    );
  });

  it('never changes the table it is given', () => {
    const table = tableOf([SERVING]);
    merge(table, [MOVING, { ...SERVING, shard: 2 }]);
    expect(table).toEqual(tableOf([SERVING]));
    expect(emptyTable()).toEqual({ entries: new Map(), tableVersion: 0 });
  });
});

describe('RT2: of two entries of a shard', () => {
  it('the one with the higher epoch stays, and within an epoch the one that is further on', () => {
    for (const [at, older] of STORY.entries()) {
      for (const later of STORY.slice(at + 1)) {
        expect(compareEntries(later, older)).toBeGreaterThan(0);
        expect(tableOf([later, older]).entries.get(1)).toBe(later);
        expect(tableOf([older, later]).entries.get(1)).toBe(later);
      }
    }
  });

  it('everyone keeps the same one even when two coordinators named different heirs', () => {
    const other = { ...MOVING, heir: 'c' };
    expect(tableOf([MOVING, other])).toEqual(tableOf([other, MOVING]));
  });

  it('an update of one shard leaves the others alone', () => {
    const other = { ...SERVING, shard: 2 };
    expect([...tableOf([SERVING, other, INSTALLED]).entries.values()]).toEqual([INSTALLED, other]);
  });
});

describe('RT3: the table version', () => {
  it('is the sum of 4 x epoch + state over all shards', () => {
    expect(tableVersionOf([])).toBe(0);
    expect(STORY.map((step) => tableVersionOf([step]))).toEqual([29, 30, 31, 33]);
    expect(tableVersionOf([FENCED, { ...SERVING, shard: 2 }])).toBe(31 + 29);
  });

  it('of a merged table is always the sum of its entries', () => {
    fc.assert(
      fc.property(updates, updates, (a, b) => {
        const table = merge(tableOf(a), b);
        expect(table.tableVersion).toBe(tableVersionOf(table.entries.values()));
      }),
    );
  });

  it('never falls, and grows with every entry that is later by epoch or state', () => {
    fc.assert(
      fc.property(updates, entry, (all, update) => {
        const before = tableOf(all);
        const known = before.entries.get(update.shard);
        const after = merge(before, [update]);
        const isLater = known === undefined || tableVersionOf([update]) > tableVersionOf([known]);
        if (isLater) expect(after.tableVersion).toBeGreaterThan(before.tableVersion);
        else expect(after.tableVersion).toBe(before.tableVersion);
      }),
    );
  });

  it('is exact for all shards after a thousand million moves each', () => {
    const old = Array.from({ length: 4096 }, (_, shard) => ({ ...FENCED, shard, epoch: 1_000_000_000 }));
    expect(Number.isSafeInteger(tableVersionOf(old))).toBe(true);
  });
});

describe('RT4: a gap', () => {
  it('shows when an update in between was lost, and closes when it arrives', () => {
    const sent = [SERVING, { ...SERVING, shard: 2 }];
    const move: RoutingEntry = { ...MOVING, shard: 2 };
    const announced = tableVersionOf([MOVING, move]);
    const missedOne = merge(tableOf(sent), [move]);
    expect(hasGap(missedOne, announced)).toBe(true);
    expect(hasGap(merge(missedOne, [MOVING]), announced)).toBe(false);
  });

  it('does not show for an announcement that came late', () => {
    expect(hasGap(tableOf([INSTALLED]), tableVersionOf([MOVING]))).toBe(false);
  });

  it('shows whenever any update of one publisher was lost', () => {
    fc.assert(
      fc.property(updates, fc.nat(), (all, at) => {
        const published = tableOf(all);
        const lost = [...published.entries.values()].filter((_, index) => index !== at % published.entries.size);
        if (published.entries.size > 0) expect(hasGap(tableOf(lost), published.tableVersion)).toBe(true);
      }),
    );
  });
});

describe('RT5: a stored row', () => {
  const term = { number: 3, coordinator: 'x' };

  it.each(STORY)('that is $state at epoch $epoch is published without its move and term', (published) => {
    expect(entryOfRow({ ...published, moveId: 'mov-1', term })).toEqual(published);
  });

  it('that is only accepted is never published', () => {
    expect(entryOfRow({ ...INSTALLED, state: 'accepted', term })).toBeUndefined();
  });
});
