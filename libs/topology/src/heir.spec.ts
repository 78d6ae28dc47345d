import { describe, expect, it } from 'vitest';
import { chooseHeir, handoverBlockers, type HandoverFacts, zonesToApplyTheCut } from './heir.js';
import { type InSyncRecord } from './in-sync-record.js';

const RECORD: InSyncRecord = { zone: 'a', members: ['b', 'c'], version: 1, frozenBy: ['mov_1'] };

describe('the heir of a failover', () => {
  it('is the recorded member with the most of the log; of equals the first by name', () => {
    expect(
      chooseHeir(RECORD, [
        { zone: 'b', appliedTo: 5n },
        { zone: 'c', appliedTo: 9n },
      ]),
    ).toBe('c');
    expect(
      chooseHeir(RECORD, [
        { zone: 'c', appliedTo: 9n },
        { zone: 'b', appliedTo: 9n },
      ]),
    ).toBe('b');
  });

  it('is nobody that is not recorded, whatever it has', () => {
    expect(
      chooseHeir({ ...RECORD, members: ['b'] }, [
        { zone: 'b', appliedTo: 1n },
        { zone: 'c', appliedTo: 9n },
      ]),
    ).toBe('b');
    expect(chooseHeir({ ...RECORD, members: ['b'] }, [{ zone: 'c', appliedTo: 9n }])).toBeUndefined();
  });

  it('is nobody when nobody has sealed the owner off, or the owner was solo', () => {
    expect(chooseHeir(RECORD, [])).toBeUndefined();
    expect(chooseHeir({ ...RECORD, members: [] }, [{ zone: 'b', appliedTo: 9n }])).toBeUndefined();
  });
});

describe('a handover', () => {
  const WELL: HandoverFacts = {
    from: 'a',
    to: 'b',
    moveId: 'mov_1',
    ownerRecord: { members: ['b', 'c'], frozenBy: ['mov_1'] },
    heirRecord: { members: ['a', 'c'], frozenBy: ['mov_1'] },
    sealedOff: [],
    orphanMoves: [],
    runningMoves: ['mov_1'],
  };
  const checks = (change: Partial<HandoverFacts>): string[] =>
    handoverBlockers({ ...WELL, ...change }).map(({ check }) => check);

  it.each<[string, Partial<HandoverFacts>, string[]]>([
    ['may begin when all is well', {}, []],
    ['may begin though a third zone is sealed off', { sealedOff: ['c'] }, []],
    [
      'may begin though another move has frozen the records too',
      { ownerRecord: { members: ['b', 'c'], frozenBy: ['mov_1', 'mov_2'] } },
      [],
    ],
    [
      'needs the record of the owner to be frozen for it',
      { ownerRecord: { members: ['b', 'c'], frozenBy: [] } },
      ['records-are-frozen-for-it'],
    ],
    [
      'needs that of the heir, too',
      { heirRecord: { members: ['a', 'c'], frozenBy: ['mov_2'] } },
      ['records-are-frozen-for-it'],
    ],
    [
      'needs the heir in the record of the owner',
      { ownerRecord: { members: ['c'], frozenBy: ['mov_1'] } },
      ['heir-is-in-the-record-of-the-owner'],
    ],
    [
      'needs everybody whom the heir waits for there as well (T5, T22)',
      { ownerRecord: { members: ['b'], frozenBy: ['mov_1'] } },
      ['members-of-the-heir-are-members-of-the-owner'],
    ],
    ['does not begin at a zone that is sealed off', { sealedOff: ['a'] }, ['neither-is-sealed-off']],
    ['does not end at one', { sealedOff: ['b', 'c'] }, ['neither-is-sealed-off']],
    ['has its shards to itself (M1)', { runningMoves: ['mov_1', 'mov_2'] }, ['no-other-move-has-a-shard']],
    [
      'does not begin over a freeze that is left over',
      { orphanMoves: ['mov_0'], heirRecord: { members: ['a', 'c'], frozenBy: ['mov_0', 'mov_1'] } },
      ['no-freeze-is-left-over'],
    ],
  ])('%s', (_what, change, expected) => {
    expect(checks(change)).toEqual(expected);
  });

  it('waits for the heir and all whom it waits for, but not for the old owner', () => {
    expect(zonesToApplyTheCut('a', 'b', { members: ['a', 'c'] })).toEqual(['b', 'c']);
    expect(zonesToApplyTheCut('a', 'b', { members: [] })).toEqual(['b']);
  });
});
