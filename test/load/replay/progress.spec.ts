import { PassThrough } from 'node:stream';
import { expect, it } from 'vitest';
import { progressLine, rateMeter, withProgress } from './progress.js';

it('a line says how far it is, how fast, and what went wrong', () => {
  expect(progressLine('orders', 200, { done: 50, errors: 10 }, 81.6)).toBe('orders 50/200 (30 %), 82/s, 10 errors');
  expect(progressLine('couriers', 0, { done: 0, errors: 0 }, 0)).toBe('couriers 0/0 (100 %), 0/s, 0 errors');
});

it('the rate is that since the last look', () => {
  let done = 0;
  const rate = rateMeter(() => ({ done, errors: 0 }), 1000);
  done = 10;
  expect(rate(2000)).toBe(10);
  done = 15;
  expect(rate(2500)).toBe(10);
  expect(rate(2500)).toBe(0);
});

it('off a terminal the end is a plain line, also when the work fails', async () => {
  const screen = new PassThrough();
  const work = () => Promise.reject(new Error('no'));
  await expect(withProgress('stores', 4, () => ({ done: 3, errors: 0 }), work, screen)).rejects.toThrow('no');
  expect(String(screen.read())).toBe('stores 3/4, 0 errors\n');
});
