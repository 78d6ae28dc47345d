import fc from 'fast-check';
import { expect, it } from 'vitest';
import { ReleasePace } from './release-pace.js';

function takeAll(pace: ReleasePace, nowMs: number): number {
  let taken = 0;
  while (pace.take(nowMs)) taken += 1;
  return taken;
}

it('a handful goes at once, and after that as many as the rate says', () => {
  const pace = new ReleasePace(1_000, 0);

  expect(takeAll(pace, 0)).toBe(20);
  expect(takeAll(pace, 5)).toBe(5);
  expect(takeAll(pace, 5)).toBe(0);
});

it('an hour of peace earns no more than the handful', () => {
  const pace = new ReleasePace(1_000, 0);

  expect(takeAll(pace, 3_600_000)).toBe(20);
});

it('a rate of one per second lets one go', () => {
  const pace = new ReleasePace(1, 0);

  expect([takeAll(pace, 0), takeAll(pace, 999), takeAll(pace, 1_000)]).toEqual([1, 0, 1]);
});

it('who joins a queue lets one more go, and the credit is not lost', () => {
  const pace = new ReleasePace(1_000, 0);
  for (let at = 0; at < 50; at += 1) pace.credit();

  expect(takeAll(pace, 0)).toBe(70);
});

it('whatever the times, no more go than the rate, the handful and the credits allow', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 10_000 }),
      fc.array(fc.nat(100)),
      fc.nat(20),
      (perSecond, pauses, credits) => {
        const pace = new ReleasePace(perSecond, 0);
        let nowMs = 0;
        let taken = 0;
        for (let at = 0; at < credits; at += 1) pace.credit();
        for (const pauseMs of pauses) {
          nowMs += pauseMs;
          taken += takeAll(pace, nowMs);
        }
        expect(taken).toBeLessThanOrEqual((perSecond * nowMs) / 1_000 + Math.max(1, perSecond / 50) + credits + 1e-6);
      },
    ),
  );
});
