import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { longestOutageMs } from './outage.js';

interface Asked {
  readonly shard: number;
  readonly scheduledAt: number;
  readonly answeredAt: number;
  readonly isOk: boolean;
}

function asked(scheduledAt: number, answeredAt: number, more: Partial<Asked> = {}): Asked {
  return { shard: 1, scheduledAt, answeredAt, isOk: true, ...more };
}

/** Every 10 ms one, answered in 2 ms. */
const STEADY = Array.from({ length: 100 }, (_, at) => asked(10 * at, 10 * at + 2));

/** STEADY, but nothing due from 300 to 700 is answered before 700. */
const AWAY = STEADY.map((request) =>
  request.scheduledAt >= 300 && request.scheduledAt < 700 ? { ...request, answeredAt: 700 } : request,
);

describe('the longest outage', () => {
  it('is as long as an answer takes when nothing is wrong', () => {
    expect(longestOutageMs(STEADY, 0, 1_000)).toBe(2);
  });

  it('is from the first request that waits to the first that is answered', () => {
    expect(longestOutageMs(AWAY, 0, 1_000)).toBe(400);
  });

  it('is none while nothing is due', () => {
    expect(longestOutageMs([asked(0, 2), asked(900, 902)], 0, 1_000)).toBe(2);
  });

  it('is none while one request waits and others of its shard are answered', () => {
    expect(longestOutageMs([...STEADY, asked(100, 900)], 0, 1_000)).toBeLessThanOrEqual(10);
  });

  it('is that of the shard that fares worst: the answers of another shard end nothing', () => {
    const other = STEADY.map((request) => ({ ...request, shard: 2 }));
    expect(longestOutageMs([...AWAY, ...other], 0, 1_000)).toBe(400);
  });

  it('goes on after a request failed, until one is answered well', () => {
    const failed = AWAY.map((request) => (request.answeredAt === 700 ? { ...request, isOk: false } : request));
    expect(longestOutageMs(failed, 0, 1_000)).toBe(402);
  });

  it('lasts to the end when nobody is answered any more', () => {
    expect(longestOutageMs([asked(0, 2), asked(100, 150, { isOk: false })], 0, 1_000)).toBe(900);
  });

  it('does not count when it was over before', () => {
    expect(longestOutageMs(AWAY, 701, 1_000)).toBe(2);
  });
});

it('an outage is never longer than the longest wait, when all requests are answered', () => {
  const someRequests = fc.array(
    fc.record({
      shard: fc.integer({ min: 1, max: 3 }),
      scheduledAt: fc.integer({ min: 0, max: 1_000 }),
      took: fc.integer({ min: 0, max: 300 }),
    }),
    { minLength: 1, maxLength: 60 },
  );
  fc.assert(
    fc.property(someRequests, (requests) => {
      const all = requests.map(({ shard, scheduledAt, took }) => asked(scheduledAt, scheduledAt + took, { shard }));
      const longestWait = Math.max(...requests.map(({ took }) => took));
      // A single shard with a single request is away as long as that takes.
      expect(longestOutageMs(all, 0, 2_000)).toBeLessThanOrEqual(longestWait);
      expect(longestOutageMs(all.slice(0, 1), 0, 2_000)).toBe(requests[0]?.took);
    }),
  );
});
