import { expect, test } from 'vitest';
import { pauseAfterDeaths } from './service.js';

test('a process that lived is started again at once, one that keeps dying more and more slowly, at most every 5 s', () => {
  expect([0, 1, 2, 3, 4, 5, 6, 7, 40].map(pauseAfterDeaths)).toEqual([0, 100, 200, 400, 800, 1600, 3200, 5000, 5000]);
});
