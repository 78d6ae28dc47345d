import { type MovePlan } from '@borough/contracts';
import { expect, it } from 'vitest';
import { PLAIN } from '../terminal/paint.js';
import { planLines } from './plan-lines.js';

function plan(shards: number, more: Partial<MovePlan> = {}): MovePlan {
  return {
    shards: Array.from({ length: shards }, (_, shard) => ({
      shard,
      from: 'a',
      to: shard % 2 === 0 ? 'b' : 'c',
      epoch: 3,
      inProcessOrders: 10,
    })),
    steps: ['hold', 'fence', 'serve'],
    checks: [{ check: 'heir-is-ready', isPassed: true, detail: 'fine' }],
    isBlocked: false,
    expectedPauseMs: 18,
    ...more,
  };
}

const DRAIN = { kind: 'drain', zone: 'a' } as const;

it('a plan says what goes where, how long writes wait, and how many orders are in process', () => {
  const text = planLines(DRAIN, plan(3), PLAIN).join('\n');

  expect(text).toContain('drain of zone a · 3 shards: 2 a → b, 1 a → c');
  expect(text).toContain('wait about 18 ms; 30 orders in process');
  expect(text).toContain('3 → 4');
  expect(text).toContain('  2. fence');
  expect(text).not.toContain('Blocked');
});

it('a long plan is cut, and says by how much', () => {
  const lines = planLines(DRAIN, plan(100), PLAIN);

  expect(lines.length).toBeLessThan(40);
  expect(lines.join('\n')).toContain('… and 80 more shards');
});

it('a blocked plan shows which check did not pass and what to do about it', () => {
  const checks = [{ check: 'heir-has-caught-up', isPassed: false, detail: 'b is 12 MB behind; wait' }];
  const text = planLines(DRAIN, plan(1, { checks, isBlocked: true }), PLAIN).join('\n');

  expect(text).toContain('✗ heir-has-caught-up: b is 12 MB behind; wait');
  expect(text).toContain('Blocked');
});

it('orders that were not counted are not taken for none', () => {
  const uncounted = { shard: 9, from: 'a', to: 'b', epoch: 1 };
  const shards = [...plan(1).shards, uncounted];

  expect(planLines(DRAIN, plan(0, { shards }), PLAIN).join('\n')).toContain('at least 10 orders');
});
