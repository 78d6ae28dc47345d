import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  adoptedRecord,
  changeRecord,
  type AddFacts,
  type InSyncChange,
  type InSyncCopy,
  type InSyncRecord,
  nextAddStep,
  nextDropStep,
  settingCovers,
} from './in-sync-record.js';

const RECORD: InSyncRecord = { zone: 'a', members: ['b', 'c'], version: 4, frozenBy: [] };
const FROZEN: InSyncRecord = { ...RECORD, frozenBy: ['mov_1'] };

describe('a change of the record', () => {
  it.each<[string, InSyncRecord, InSyncChange, Partial<InSyncRecord>]>([
    ['drops a member', RECORD, { kind: 'drop', member: 'c' }, { members: ['b'] }],
    ['adds one, in order', { ...RECORD, members: ['c'] }, { kind: 'add', member: 'b' }, { members: ['b', 'c'] }],
    ['leaves a zone solo', { ...RECORD, members: ['b'] }, { kind: 'drop', member: 'b' }, { members: [] }],
    ['freezes it', RECORD, { kind: 'freeze', by: 'mov_1' }, { frozenBy: ['mov_1'] }],
    ['freezes it for a second move', FROZEN, { kind: 'freeze', by: 'mov_0' }, { frozenBy: ['mov_0', 'mov_1'] }],
    ['thaws it', FROZEN, { kind: 'thaw', by: 'mov_1' }, { frozenBy: [] }],
    ['is made by the move that froze it', FROZEN, { kind: 'drop', member: 'c', by: 'mov_1' }, { members: ['b'] }],
  ])('%s, one version on', (_what, record, change, expected) => {
    expect(changeRecord(record, record.version, change)).toEqual({
      ...record,
      ...expected,
      version: record.version + 1,
    });
  });

  it.each<[string, InSyncRecord, number, InSyncChange]>([
    ['it was begun from another version', RECORD, 3, { kind: 'drop', member: 'c' }],
    ['it would drop a stranger', RECORD, 4, { kind: 'drop', member: 'd' }],
    ['it would add a member', RECORD, 4, { kind: 'add', member: 'b' }],
    ['it would add the zone itself', RECORD, 4, { kind: 'add', member: 'a' }],
    ['a move has frozen the record', FROZEN, 4, { kind: 'drop', member: 'c' }],
    ['another move has frozen it', FROZEN, 4, { kind: 'drop', member: 'c', by: 'mov_2' }],
    [
      'a second move has frozen it as well',
      { ...FROZEN, frozenBy: ['mov_1', 'mov_2'] },
      4,
      { kind: 'drop', member: 'c', by: 'mov_1' },
    ],
    ['it would add to a frozen record', { ...FROZEN, members: ['b'] }, 4, { kind: 'add', member: 'c' }],
    ['it was frozen by this move already', FROZEN, 4, { kind: 'freeze', by: 'mov_1' }],
    ['it would thaw what another move froze', FROZEN, 4, { kind: 'thaw', by: 'mov_2' }],
  ])('does not apply when %s', (_what, record, begunFrom, change) => {
    expect(changeRecord(record, begunFrom, change)).toBe(record);
  });

  it('raises the version by one or changes nothing, whatever is asked', () => {
    const zone = fc.constantFrom('a', 'b', 'c', 'd');
    const move = fc.constantFrom('mov_1', 'mov_2');
    const change: fc.Arbitrary<InSyncChange> = fc.oneof(
      fc.record({ kind: fc.constant('drop' as const), member: zone, by: move }),
      fc.record({ kind: fc.constant('drop' as const), member: zone }),
      fc.record({ kind: fc.constant('add' as const), member: zone }),
      fc.record({ kind: fc.constant('freeze' as const), by: move }),
      fc.record({ kind: fc.constant('thaw' as const), by: move }),
    );
    fc.assert(
      fc.property(fc.array(change, { maxLength: 20 }), (changes) => {
        let record = RECORD;
        for (const asked of changes) {
          const next = changeRecord(record, record.version, asked);
          expect(next === record ? record.version + 1 : next.version).toBe(record.version + 1);
          expect(next.members).toEqual([...new Set(next.members)].sort());
          expect(next.members).not.toContain('a');
          if (record.frozenBy.length > 0)
            expect(next.members.every((member) => record.members.includes(member))).toBe(true);
          record = next;
        }
      }),
    );
  });
});

describe('the record that copies make', () => {
  const copy = (voter: string, ballot: number, version: number): InSyncCopy => ({
    voter,
    ballot,
    record: { ...RECORD, version },
  });

  it('is that of the highest ballot, among a majority', () => {
    expect(adoptedRecord([copy('a', 3, 7), copy('b', 5, 6)], 3)).toMatchObject({ version: 6 });
    expect(adoptedRecord([copy('a', 3, 7), copy('b', 3, 7), copy('c', 1, 2)], 3)).toMatchObject({ version: 7 });
  });

  it('is known by no minority', () => {
    expect(adoptedRecord([copy('a', 3, 7)], 3)).toBeUndefined();
    expect(adoptedRecord([], 3)).toBeUndefined();
  });

  it('is not guessed when one ballot carries two', () => {
    expect(() => adoptedRecord([copy('a', 3, 7), copy('b', 3, 8)], 3)).toThrow(RangeError);
  });
});

describe('the next step to add a member', () => {
  const FACTS: AddFacts = {
    record: { ...RECORD, members: ['b'] },
    setting: ['b', 'c'],
    comparedFrom: 4,
    haveSendersReloaded: true,
    isLeavingSolo: false,
    hasFlushedMarker: true,
  };

  it.each<[string, Partial<AddFacts>, string]>([
    ['compares first (R2)', { comparedFrom: undefined }, 'heal-and-compare'],
    ['gives up when the record changed since', { comparedFrom: 3 }, 'give-up'],
    ['gives up when the record is frozen', { record: FROZEN, comparedFrom: undefined, setting: [] }, 'done'],
    ['never grows a frozen record', { record: { ...FROZEN, members: ['b'] } }, 'give-up'],
    ['writes the setting before the record (R1)', { setting: ['b'], haveSendersReloaded: false }, 'write-setting'],
    ['sees every walsender reload', { haveSendersReloaded: false, hasFlushedMarker: false }, 'end-old-senders'],
    [
      'leaves solo only after a commit was seen waiting',
      { isLeavingSolo: true, hasFlushedMarker: false },
      'see-a-commit-wait',
    ],
    ['waits for the marker', { hasFlushedMarker: false }, 'await-marker'],
    ['changes the record last', {}, 'change-record'],
    ['is none when it is there', { record: RECORD }, 'done'],
  ])('%s', (_what, change, kind) => {
    expect(nextAddStep('c', { ...FACTS, ...change }).kind).toBe(kind);
  });

  it('names the version that was compared', () => {
    expect(nextAddStep('c', FACTS)).toEqual({
      kind: 'change-record',
      change: { kind: 'add', member: 'c' },
      begunFrom: 4,
    });
  });
});

describe('the next step to drop a member', () => {
  it('changes the record first, then the setting (R1)', () => {
    expect(nextDropStep('c', RECORD, ['b', 'c'])).toMatchObject({ kind: 'change-record', begunFrom: 4 });
    const without = { ...RECORD, members: ['b'] };
    expect(nextDropStep('c', without, ['b', 'c'])).toEqual({ kind: 'write-setting', members: ['b'] });
    expect(nextDropStep('c', without, ['b'])).toEqual({ kind: 'done' });
  });

  it('gives up on a frozen record', () => {
    expect(nextDropStep('c', FROZEN, ['b', 'c'])).toEqual({ kind: 'give-up' });
  });
});

it('a setting covers a record when it waits for everyone in it, and perhaps for more', () => {
  expect(settingCovers(['b', 'c'], RECORD)).toBe(true);
  expect(settingCovers(['b', 'c', 'd'], RECORD)).toBe(true);
  expect(settingCovers(['b'], RECORD)).toBe(false);
});
