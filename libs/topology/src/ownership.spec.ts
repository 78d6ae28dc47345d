import { describe, expect, it } from 'vitest';
import { adoptedOwnership, laggingVoters, majority, mayServe, type VoterCopy } from './ownership.js';
import { type OwnershipRow, type StoredState, type Term } from './shard-state.js';

const term = (number: number): Term => ({ number, coordinator: 'x' });

/** A copy such as `copy('a', 7, 'moving', 'a', 3)`: voter, epoch, state, owner, number of the term. */
function copy(voter: string, epoch: number, state: StoredState, owner: string, termNumber: number): VoterCopy {
  const row: OwnershipRow = { shard: 1, epoch, state, owner, term: term(termNumber) };
  const inMove = state === 'moving' || state === 'fenced';
  return { voter, row: inMove ? { ...row, heir: 'b', moveId: 'mov-1' } : row };
}
const bare = (voter: string): VoterCopy => ({ voter, row: undefined });

describe('O1: a majority', () => {
  it.each([
    [1, 1],
    [2, 2],
    [3, 2],
    [4, 3],
    [5, 3],
  ])('of %d voters is %d', (voters, needed) => {
    expect(majority(voters)).toBe(needed);
  });

  it('shares a voter with every other majority', () => {
    for (let voters = 1; voters <= 64; voters++) expect(2 * majority(voters)).toBeGreaterThan(voters);
  });

  it.each([0, -1, 1.5, Number.NaN])('of %d voters does not exist', (voters) => {
    expect(() => majority(voters)).toThrow(RangeError);
  });
});

describe('O3: a new leader', () => {
  it('decides nothing from fewer than a majority, even when they agree', () => {
    expect(adoptedOwnership([copy('a', 7, 'serving', 'a', 1)], 3)).toEqual({
      kind: 'no-majority',
      answered: 1,
      needed: 2,
    });
    expect(adoptedOwnership([], 3)).toEqual({ kind: 'no-majority', answered: 0, needed: 2 });
  });

  it('may choose a first owner when no voter of a majority has the shard', () => {
    expect(adoptedOwnership([bare('a'), bare('b')], 3)).toEqual({ kind: 'none' });
  });

  it('adopts a value that one voter has accepted, since a majority may have', () => {
    const accepted = copy('b', 8, 'accepted', 'b', 2);
    const found = adoptedOwnership([copy('a', 7, 'fenced', 'a', 1), accepted], 3);
    expect(found).toEqual({ kind: 'half-installed', row: accepted.row });
  });

  it('adopts the value of the highest term when an epoch has several', () => {
    const copies = [
      copy('a', 8, 'accepted', 'b', 2),
      copy('b', 8, 'accepted', 'c', 4),
      copy('c', 8, 'accepted', 'b', 3),
    ];
    expect(adoptedOwnership(copies, 3)).toEqual({ kind: 'half-installed', row: copies[1]?.row });
  });

  it('adopts the highest epoch before the highest term', () => {
    const copies = [copy('a', 8, 'accepted', 'b', 2), copy('b', 7, 'moving', 'a', 9)];
    expect(adoptedOwnership(copies, 3)).toEqual({ kind: 'half-installed', row: copies[0]?.row });
  });

  it('takes no acceptance for a served value, even when all voters have it', () => {
    const copies = ['a', 'b', 'c'].map((voter) => copy(voter, 8, 'accepted', 'b', 2));
    expect(adoptedOwnership(copies, 3).kind).toBe('half-installed');
  });

  it('finishes an install whose heir serves already, when it sees it at the heir alone', () => {
    const copies = [copy('b', 8, 'serving', 'b', 2), copy('c', 7, 'fenced', 'a', 1)];
    expect(adoptedOwnership(copies, 3)).toEqual({ kind: 'half-installed', row: copies[0]?.row });
  });

  it('finishes an install again when the owner has lost its copy', () => {
    const others = [copy('a', 8, 'serving', 'b', 2), copy('c', 8, 'serving', 'b', 2)];
    for (const lost of [bare('b'), copy('b', 7, 'serving', 'a', 1), copy('b', 8, 'accepted', 'b', 2)]) {
      expect(adoptedOwnership([...others, lost], 3).kind).toBe('half-installed');
    }
    expect(adoptedOwnership(others, 3).kind).toBe('settled'); // it did not answer: it may well be serving
  });
});

describe('O4: a shard is settled', () => {
  it('when a majority holds the epoch and the owner serves', () => {
    const copies = [copy('b', 8, 'serving', 'b', 2), copy('c', 8, 'accepted', 'b', 2), copy('a', 7, 'fenced', 'a', 1)];
    expect(adoptedOwnership(copies, 3)).toEqual({
      kind: 'settled',
      entry: { shard: 1, epoch: 8, state: 'serving', owner: 'b' },
      row: copies[0]?.row,
    });
  });

  it('in the furthest state that any voter has, with its heir and its move', () => {
    const copies = [copy('a', 7, 'fenced', 'a', 2), copy('b', 7, 'moving', 'a', 2), copy('c', 7, 'serving', 'a', 3)];
    expect(adoptedOwnership(copies, 3)).toEqual({
      kind: 'settled',
      entry: { shard: 1, epoch: 7, state: 'fenced', owner: 'a', heir: 'b' },
      row: copies[0]?.row,
    });
  });

  it('in the state of the newest term when two leaders recorded another heir', () => {
    const older = copy('a', 7, 'moving', 'a', 2);
    const newer: VoterCopy = { voter: 'b', row: { ...copy('b', 7, 'moving', 'a', 3).row, heir: 'c' } as OwnershipRow };
    expect(adoptedOwnership([older, newer], 3)).toMatchObject({ kind: 'settled', entry: { heir: 'c' } });
  });

  it('as moving when an owner that never came to serve is being replaced', () => {
    const copies = [copy('a', 7, 'accepted', 'a', 1), copy('b', 7, 'moving', 'a', 2), copy('c', 7, 'moving', 'a', 2)];
    expect(adoptedOwnership(copies, 3)).toMatchObject({ kind: 'settled', entry: { state: 'moving', owner: 'a' } });
  });

  it('although one voter keeps another value of that epoch, of an older term', () => {
    const copies = [
      copy('a', 8, 'serving', 'a', 2),
      copy('b', 8, 'accepted', 'a', 2),
      copy('c', 8, 'accepted', 'c', 1),
    ];
    expect(adoptedOwnership(copies, 3)).toMatchObject({ kind: 'settled', entry: { owner: 'a' } });
  });
});

describe('O3: two owners at one epoch', () => {
  it.each([
    ['both serve', [copy('a', 8, 'serving', 'a', 2), copy('b', 8, 'serving', 'b', 3)]],
    ['a newer term accepted another', [copy('a', 8, 'serving', 'a', 2), copy('b', 8, 'accepted', 'b', 3)]],
    ['one term accepted both', [copy('a', 8, 'accepted', 'a', 2), copy('b', 8, 'accepted', 'b', 2)]],
    ['one serves and one moves', [copy('a', 8, 'serving', 'a', 2), copy('b', 8, 'moving', 'b', 1)]],
  ])('are reported and never adopted: %s', (_, copies) => {
    expect(adoptedOwnership(copies, 3)).toEqual({ kind: 'contradiction', rows: copies.map(({ row }) => row) });
    expect(adoptedOwnership(copies.toReversed(), 3).kind).toBe('contradiction');
  });
});

describe('O3: the heir may serve', () => {
  const proposal = { epoch: 8, owner: 'b', term: term(3) };

  it('when a majority has accepted it under the term of the proposal', () => {
    const [a, b] = [copy('a', 8, 'accepted', 'b', 3), copy('b', 8, 'accepted', 'b', 3)];
    expect(mayServe(proposal, [a, b], 3)).toBe(true);
    expect(mayServe(proposal, [a], 3)).toBe(false);
    expect(mayServe(proposal, [a, b], 5)).toBe(false);
  });

  it('not when copies of several terms make up the majority', () => {
    const copies = [
      copy('a', 8, 'accepted', 'b', 1),
      copy('b', 8, 'accepted', 'b', 3),
      copy('c', 8, 'accepted', 'a', 2),
    ];
    expect(mayServe(proposal, copies, 3)).toBe(false);
  });

  it('not by another epoch or another owner', () => {
    expect(mayServe(proposal, [copy('a', 7, 'accepted', 'b', 3), copy('b', 7, 'accepted', 'b', 3)], 3)).toBe(false);
    expect(mayServe(proposal, [copy('a', 8, 'accepted', 'c', 3), copy('b', 8, 'accepted', 'c', 3)], 3)).toBe(false);
  });

  it('again, when a copy shows that it has served', () => {
    expect(mayServe(proposal, [copy('b', 8, 'serving', 'b', 1)], 3)).toBe(true);
  });
});

describe('O8: the voters that lag', () => {
  const entry = { shard: 1, epoch: 7, state: 'moving', owner: 'a', heir: 'b' } as const;

  it('are those that miss the entry, in whole or in part', () => {
    const copies = [
      bare('none'),
      copy('older', 6, 'fenced', 'c', 1),
      copy('accepted', 7, 'accepted', 'a', 2),
      copy('behind', 7, 'serving', 'a', 2),
      copy('other', 7, 'accepted', 'c', 1),
      copy('same', 7, 'moving', 'a', 2),
      copy('further', 7, 'fenced', 'a', 2),
      copy('newer', 8, 'accepted', 'b', 3),
    ];
    expect(laggingVoters(entry, copies)).toEqual(['none', 'older', 'accepted', 'behind', 'other']);
  });

  it('include one that names another heir', () => {
    expect(laggingVoters({ ...entry, heir: 'c' }, [copy('a', 7, 'moving', 'a', 2)])).toEqual(['a']);
  });
});

describe('copies that do not belong together', () => {
  it.each([
    [
      'of two shards',
      [
        copy('a', 7, 'serving', 'a', 1),
        { voter: 'b', row: { ...copy('b', 7, 'serving', 'a', 1).row, shard: 2 } as OwnershipRow },
      ],
    ],
    ['of one voter twice', [copy('a', 7, 'serving', 'a', 1), bare('a')]],
    ['of more voters than there are', ['a', 'b', 'c', 'd'].map(bare)],
  ])('%s are a fault of the caller', (_, copies) => {
    expect(() => adoptedOwnership(copies, 3)).toThrow(RangeError);
    expect(() => mayServe({ epoch: 7, owner: 'a', term: term(1) }, copies, 3)).toThrow(RangeError);
  });
});
