import { setImmediate as turn } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { inParallel } from './in-parallel.js';

const NEVER = new AbortController().signal;

it('does every item once, at most so many at a time', async () => {
  const done: number[] = [];
  let atOnce = 0;
  let mostAtOnce = 0;
  await inParallel([1, 2, 3, 4, 5, 6, 7], 3, NEVER, async (item) => {
    mostAtOnce = Math.max(mostAtOnce, (atOnce += 1));
    await turn();
    atOnce -= 1;
    done.push(item);
  });
  expect(done.sort()).toEqual([1, 2, 3, 4, 5, 6, 7]);
  expect(mostAtOnce).toBe(3);
});

it('begins nothing after a failure, and throws it when what was begun has ended', async () => {
  const ended: number[] = [];
  const work = async (item: number) => {
    await turn();
    if (item === 1) throw new Error('one');
    await turn();
    ended.push(item);
  };
  await expect(inParallel([1, 2, 3, 4], 2, NEVER, work)).rejects.toThrow('one');
  expect(ended).toEqual([2]);
});

it('begins nothing after an abort', async () => {
  const controller = new AbortController();
  const begun: number[] = [];
  await inParallel([1, 2, 3], 1, controller.signal, async (item) => {
    begun.push(item);
    controller.abort();
    await turn();
  });
  expect(begun).toEqual([1]);
});

it('does nothing for no items', async () => {
  await inParallel([], 8, NEVER, () => Promise.reject(new Error('called')));
});
