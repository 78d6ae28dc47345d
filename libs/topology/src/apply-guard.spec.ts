import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  compareStamps,
  judgeHealing,
  judgeIncoming,
  type HealedRow,
  type IncomingRow,
  type RowStamp,
} from './apply-guard.js';

const at = (epoch: number, version: number): RowStamp => ({ epoch, version });
const stamp = fc.record({ epoch: fc.integer({ min: 1, max: 5 }), version: fc.integer({ min: 1, max: 5 }) });

it('rows are ordered by epoch, then by version', () => {
  expect(compareStamps(at(1, 9), at(2, 1))).toBeLessThan(0);
  expect(compareStamps(at(2, 2), at(2, 1))).toBeGreaterThan(0);
  expect(compareStamps(at(2, 1), at(2, 1))).toBe(0);
});

describe('a row that comes in', () => {
  const ROW: IncomingRow = {
    incoming: at(2, 3),
    local: at(2, 2),
    isCollision: false,
    knownEpoch: 2,
    isBeyondCut: false,
  };

  it.each<[string, Partial<IncomingRow>, ReturnType<typeof judgeIncoming>]>([
    ['is taken in when it is newer', {}, 'apply'],
    ['is taken in where nothing stands', { local: undefined }, 'apply'],
    ['is skipped when it is here already', { local: at(2, 3) }, 'skip'],
    ['is skipped when a newer one is here (T7)', { local: at(3, 1) }, 'skip'],
    ['of an older epoch, from before the cut, is taken in by age (T28)', { knownEpoch: 3, local: at(1, 9) }, 'apply'],
    [
      'of an older epoch, from beyond the cut, stops the stream and is never skipped (T1)',
      { knownEpoch: 3, isBeyondCut: true, local: at(3, 1) },
      'raise',
    ],
    ['beyond the cut of an epoch that is not over is taken in', { isBeyondCut: true }, 'apply'],
    [
      'that another write took the key of moves that one to the receipts (T13)',
      { isCollision: true, local: at(1, 1) },
      'keep-as-receipt-and-apply',
    ],
    ['gives way to a newer write of its key', { isCollision: true, local: at(3, 1) }, 'skip'],
  ])('%s', (_what, change, verdict) => {
    expect(judgeIncoming({ ...ROW, ...change })).toBe(verdict);
  });

  it('never replaces what is not older', () => {
    fc.assert(
      fc.property(
        stamp,
        stamp,
        fc.boolean(),
        fc.boolean(),
        fc.integer({ min: 1, max: 5 }),
        (incoming, local, isCollision, isBeyondCut, knownEpoch) => {
          const verdict = judgeIncoming({ incoming, local, isCollision, isBeyondCut, knownEpoch });
          if (verdict === 'apply' || verdict === 'keep-as-receipt-and-apply')
            expect(compareStamps(incoming, local)).toBeGreaterThan(0);
        },
      ),
    );
  });
});

describe('a row of a zone that is healed', () => {
  it.each<[string, HealedRow, ReturnType<typeof judgeHealing>]>([
    ['stays when it is the owner’s', { owners: at(2, 1), local: at(2, 1), ownerEpoch: 3 }, 'keep'],
    ['that is missing is taken', { owners: at(2, 1), local: undefined, ownerEpoch: 3 }, 'take'],
    ['that is older is replaced', { owners: at(2, 2), local: at(2, 1), ownerEpoch: 3 }, 'take'],
    [
      'of the owner’s epoch that is newer has come by its stream',
      { owners: at(3, 1), local: at(3, 2), ownerEpoch: 3 },
      'keep',
    ],
    [
      'of the owner’s epoch that the snapshot lacks, too',
      { owners: undefined, local: at(3, 1), ownerEpoch: 3 },
      'keep',
    ],
    ['that only this zone has is its tail', { owners: undefined, local: at(2, 1), ownerEpoch: 3 }, 'receipt'],
    [
      'of an older epoch is a tail whatever its version',
      { owners: at(2, 1), local: at(2, 9), ownerEpoch: 3 },
      'receipt-and-take',
    ],
    [
      'of an older epoch whose version the owner has passed in a later one is a tail',
      { owners: at(2, 4), local: at(1, 9), ownerEpoch: 3 },
      'receipt-and-take',
    ],
    ['that nobody has is nothing', { owners: undefined, local: undefined, ownerEpoch: 3 }, 'keep'],
  ])('%s', (_what, row, verdict) => {
    expect(judgeHealing(row)).toBe(verdict);
  });

  it('of an older epoch is the owner’s afterwards, or gone', () => {
    fc.assert(
      fc.property(fc.option(stamp, { nil: undefined }), stamp, (owners, local) => {
        const ownerEpoch = 6;
        const verdict = judgeHealing({ owners, local, ownerEpoch });
        if (verdict === 'keep') expect(owners).toEqual(local);
        else expect(verdict).toMatch(owners === undefined ? /^receipt$/ : /take$/);
      }),
    );
  });
});
