import { expect, it } from 'vitest';
import { dueAtMs } from './pacing.js';

const HOUR_MS = 3_600_000;

it('as fast as it goes: an order is due when it is sent', () => {
  expect(dueAtMs({ kind: 'max' }, 1000, 0, 5 * HOUR_MS, 4321)).toBe(4321);
});

it.each([
  { speed: 1, due: 1000 + 2 * HOUR_MS },
  { speed: 60, due: 1000 + 120_000 },
  { speed: 0.5, due: 1000 + 4 * HOUR_MS },
])('$speed times as fast: the day begins with its first order, and its hours are divided', ({ speed, due }) => {
  expect(dueAtMs({ kind: 'scaled', speed }, 1000, 8 * HOUR_MS, 8 * HOUR_MS, 99_999)).toBe(1000);
  expect(dueAtMs({ kind: 'scaled', speed }, 1000, 8 * HOUR_MS, 10 * HOUR_MS, 99_999)).toBe(due);
});
