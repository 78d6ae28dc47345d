import { describe, expect, it } from 'vitest';
import { mayThawOwner, nextRejoinStep, type RejoinFacts } from './rejoin.js';

const DONE: RejoinFacts = {
  zone: 'a',
  knowsItsLoss: true,
  oldBackends: 0,
  isHealed: true,
  others: ['b', 'c'].map((zone) => ({ zone, knowsTheLoss: true, hasPassedTail: true, isSealed: false })),
  record: { zone: 'a', members: ['b', 'c'], version: 3, frozenBy: [] },
  moveId: 'mov_1',
};

/** With zone c as it stands. */
const withC = (change: Partial<RejoinFacts['others'][number]>): Partial<RejoinFacts> => ({
  others: DONE.others.map((other) => (other.zone === 'c' ? { ...other, ...change } : other)),
});

describe('the next step of a rejoin', () => {
  it.each<[string, Partial<RejoinFacts>, ReturnType<typeof nextRejoinStep>]>([
    ['tells the zone what it lost', { knowsItsLoss: false }, { kind: 'take-epochs-and-end-old-backends' }],
    [
      'ends its old backends before any position moves (T12)',
      { oldBackends: 1, isHealed: false, ...withC({ isSealed: true, hasPassedTail: false }) },
      { kind: 'take-epochs-and-end-old-backends' },
    ],
    [
      'heals it before anybody takes in its changes again',
      { isHealed: false, ...withC({ isSealed: true }) },
      { kind: 'heal-and-keep-receipts' },
    ],
    ['brings up a zone that would still take a late seal', withC({ knowsTheLoss: false }), { kind: 'tell', zone: 'c' }],
    ['takes a zone past the tail', withC({ hasPassedTail: false }), { kind: 'pass-tail-and-unseal', zone: 'c' }],
    ['unseals it in the same step (T31)', withC({ isSealed: true }), { kind: 'pass-tail-and-unseal', zone: 'c' }],
    ['thaws its record last', { record: { ...DONE.record, frozenBy: ['mov_1'] } }, { kind: 'thaw' }],
    ['leaves alone what another move froze', { record: { ...DONE.record, frozenBy: ['mov_2'] } }, { kind: 'done' }],
    ['is none when all is done', {}, { kind: 'done' }],
  ])('%s', (_what, change, step) => {
    expect(nextRejoinStep({ ...DONE, ...change })).toEqual(step);
  });

  it('is never the thaw while any zone has it sealed off', () => {
    const frozen = { record: { ...DONE.record, frozenBy: ['mov_1'] } };
    for (const isSealed of [true, false]) {
      for (const hasPassedTail of [true, false]) {
        const { kind } = nextRejoinStep({ ...DONE, ...frozen, ...withC({ isSealed, hasPassedTail }) });
        expect(kind === 'thaw').toBe(!isSealed && hasPassedTail);
      }
    }
  });
});

it('the record of an old owner is thawed once it knows its loss and none of its writers waits (T25)', () => {
  expect(mayThawOwner(DONE)).toBe(true);
  expect(mayThawOwner({ ...DONE, knowsItsLoss: false })).toBe(false);
  expect(mayThawOwner({ ...DONE, oldBackends: 1 })).toBe(false);
});
