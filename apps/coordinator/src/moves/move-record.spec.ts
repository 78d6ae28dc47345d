import { type MovePlan, type MoveShard, moveView } from '@borough/contracts';
import { describe, expect, it } from 'vitest';
import { ended, firstVersionOf, newMove, takenUp, withAbort, withProblem, withShard } from './move-record.js';

const AT = new Date('2026-11-23T10:00:00Z');
const LATER = new Date('2026-11-23T10:00:01Z');
const TERM = { number: 3, coordinator: 'c1.ab12' };
const PLAN: MovePlan = {
  shards: [
    { shard: 1, area: 'Centre', from: 'a', to: 'b', epoch: 7 },
    { shard: 2, from: 'a', to: 'b', epoch: 1 },
    { shard: 3, from: 'c', to: 'b', epoch: 2 },
  ],
  steps: ['one'],
  checks: [],
  isBlocked: false,
  expectedPauseMs: 30,
};
const MOVE = newMove(
  {
    moveId: 'mov_01h455vb4pex5vsknk084sn02q',
    target: { kind: 'shards', shards: [1, 2, 3], to: 'b' },
    why: 'kernel update',
    requestedBy: 'ana@laptop',
  },
  PLAN,
  AT,
  TERM,
);

function inStates(...states: MoveShard['state'][]): typeof MOVE {
  return states.reduce((move, state, at) => withShard(move, at + 1, { state }), MOVE);
}

describe('the record of a move', () => {
  it('begins with every shard waiting, as the wire has it', () => {
    expect(moveView.parse(MOVE)).toEqual(MOVE);
    expect(MOVE).toMatchObject({ state: 'running', coordinators: ['c1.ab12'], requestedAt: AT.toISOString() });
    expect(MOVE.shards).toEqual([
      { shard: 1, area: 'Centre', from: 'a', to: 'b', epoch: 7, state: 'waiting' },
      { shard: 2, from: 'a', to: 'b', epoch: 1, state: 'waiting' },
      { shard: 3, from: 'c', to: 'b', epoch: 2, state: 'waiting' },
    ]);
  });

  it('counts each change in its version, and changes nothing else', () => {
    const changed = withShard(MOVE, 2, { state: 'fenced', fencedAt: LATER.toISOString() });
    expect(changed.version).toBe(MOVE.version + 1);
    expect(changed.shards.map(({ state }) => state)).toEqual(['waiting', 'fenced', 'waiting']);
    expect({ ...changed, shards: MOVE.shards, version: MOVE.version }).toEqual(MOVE);
    expect(MOVE.shards[1]?.state).toBe('waiting');
  });

  it('has a greater version under a newer term than under any older one, whatever happened under that', () => {
    let old = MOVE;
    for (let change = 0; change < 10_000; change += 1) old = withShard(old, 1, { state: 'intended' });
    const taken = takenUp(MOVE, { number: 4, coordinator: 'c2.cd34' });
    expect(taken.version).toBeGreaterThan(old.version);
    expect(firstVersionOf({ number: 5, coordinator: 'a' })).toBeGreaterThan(taken.version);
  });

  it('grows by being taken up under the term it has', () => {
    expect(takenUp(withAbort(MOVE, 'ben', new Date(0)), TERM).version).toBe(MOVE.version + 2);
  });

  it('names every coordinator that worked on it, in order; one that took it up twice in a row once', () => {
    const again = takenUp(MOVE, { number: 4, coordinator: 'c1.ab12' });
    const other = takenUp(again, { number: 5, coordinator: 'c2.cd34' });
    const back = takenUp(other, { number: 6, coordinator: 'c1.ab12' });
    expect([again.coordinators, back.coordinators]).toEqual([['c1.ab12'], ['c1.ab12', 'c2.cd34', 'c1.ab12']]);
  });

  it('keeps the first problem, and the first who aborted it', () => {
    const failed = withProblem(withProblem(MOVE, 'zone b is late'), 'zone c is late');
    const aborted = withAbort(withAbort(failed, 'ben', new Date(0)), 'cleo', new Date(0));
    expect(aborted).toMatchObject({ problem: 'zone b is late', abortRequestedBy: 'ben', version: MOVE.version + 2 });
  });
});

describe('a move that ended', () => {
  it.each<[string, MoveShard['state'][], string]>([
    ['all moved', ['moved', 'moved', 'moved'], 'moved'],
    ['some moved, some went back', ['moved', 'reverted', 'kept'], 'partly-moved'],
    ['none moved', ['reverted', 'kept', 'kept'], 'reverted'],
  ])('with %s has that outcome', (_what, states, outcome) => {
    expect(ended(inStates(...states), LATER, []).outcome).toBe(outcome);
  });

  it.each<[MoveShard['state'][], string]>([
    [['moved', 'moved', 'moved'], 'moved'],
    [['moved', 'reverted', 'kept'], 'aborted'],
    [['kept', 'kept', 'kept'], 'aborted'],
  ])('after an abort, with %j, is %s', (states, outcome) => {
    expect(ended(withAbort(inStates(...states), 'ben', new Date(0)), LATER, []).outcome).toBe(outcome);
  });

  it('sums up the pauses of the shards that moved, and of no other', () => {
    const paused = [12.5, 40, 900].reduce((move, pauseMs, at) => withShard(move, at + 1, { pauseMs }), MOVE);
    const move = [1, 2].reduce((record, shard) => withShard(record, shard, { state: 'moved' }), paused);
    expect(ended(withShard(move, 3, { state: 'reverted' }), LATER, []).pauseMs).toEqual({
      p50: 12.5,
      p99: 40,
      max: 40,
    });
    expect(ended(MOVE, LATER, [])).not.toHaveProperty('pauseMs');
  });

  it('takes the nearest rank: of a hundred pauses the ninety-ninth', () => {
    const shards = Array.from({ length: 100 }, (_, at) => ({ shard: at, from: 'a', to: 'b', epoch: 1 }));
    const { moveId, target, why, requestedBy } = MOVE;
    const many = newMove({ moveId, target, why, requestedBy }, { ...PLAN, shards }, AT, TERM);
    const moved = shards.reduce(
      (move, { shard }) => withShard(move, shard, { state: 'moved', pauseMs: 100 - shard }),
      many,
    );
    expect(ended(moved, LATER, []).pauseMs).toEqual({ p50: 50, p99: 99, max: 100 });
  });

  it('names the routers that were late, is on the wire as the contract says, and counts as a change', () => {
    const record = ended(inStates('moved', 'moved', 'moved'), LATER, ['r1', 'r2']);
    expect(moveView.parse(record)).toEqual(record);
    expect(record).toMatchObject({ state: 'ended', endedAt: LATER.toISOString(), lateRouters: ['r1', 'r2'] });
    expect(record.version).toBe(MOVE.version + 4);
    expect(ended(MOVE, LATER, [])).not.toHaveProperty('lateRouters');
  });
});
