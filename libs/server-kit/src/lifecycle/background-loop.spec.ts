import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { BackgroundLoop, type BackgroundLoopOptions } from './background-loop.js';

/** The clock of these tests: every pause is written down, and lasts until `passPause()` or its signal ends it. */
const clock = vi.hoisted(() => ({ pausesMs: [] as number[], endPause: undefined as (() => void) | undefined }));

vi.mock('node:timers/promises', () => ({
  setTimeout: (ms: number, _value: undefined, { signal }: { signal: AbortSignal }) =>
    new Promise<void>((resolve, reject) => {
      clock.pausesMs.push(ms);
      const abort = (): void => {
        reject(new Error('aborted'));
      };
      if (signal.aborted) abort();
      signal.addEventListener('abort', abort);
      clock.endPause = resolve;
    }),
}));

async function pauseNumber(count: number): Promise<void> {
  await vi.waitFor(
    () => {
      expect(clock.pausesMs).toHaveLength(count);
    },
    { interval: 1 },
  );
}

async function passPause(): Promise<void> {
  const count = clock.pausesMs.length;
  clock.endPause?.();
  await pauseNumber(count + 1);
}

const lines: { level: number; msg: string; failures?: number }[] = [];
const logger = pino(
  { level: 'info' },
  { write: (line: string) => void lines.push(JSON.parse(line) as (typeof lines)[0]) },
);
const started: BackgroundLoop[] = [];

function startLoop(options: Partial<BackgroundLoopOptions> & Pick<BackgroundLoopOptions, 'round'>): BackgroundLoop {
  const loop = new BackgroundLoop({ name: 'voters', intervalMs: 100, maxPauseMs: 450, logger, ...options });
  started.push(loop);
  loop.start();
  return loop;
}

const failingRound = (): Promise<void> => Promise.reject(new Error('zone b is away'));

beforeEach(() => {
  clock.pausesMs = [];
  lines.length = 0;
});

afterEach(async () => {
  await Promise.all(started.splice(0).map((loop) => loop.stop()));
});

describe('the pause between two rounds', () => {
  it('is the interval while rounds succeed', async () => {
    const round = vi.fn(() => Promise.resolve());
    startLoop({ round });
    await pauseNumber(1);
    await passPause();
    await passPause();

    expect(clock.pausesMs).toEqual([100, 100, 100]);
    expect(round).toHaveBeenCalledTimes(3);
  });

  it('doubles with each failure in a row up to its bound, and is short again after a success', async () => {
    let isAway = true;
    startLoop({ round: () => (isAway ? failingRound() : Promise.resolve()) });
    await pauseNumber(1);
    await passPause();
    await passPause();
    await passPause();
    isAway = false;
    await passPause();
    isAway = true;
    await passPause();

    expect(clock.pausesMs).toEqual([200, 400, 450, 450, 100, 200]);
  });

  it('stays bounded after so many failures that doubling would overflow', async () => {
    startLoop({ round: failingRound });
    await pauseNumber(1);
    for (let failures = 1; failures < 1_100; failures += 1) {
      clock.endPause?.();
      while (clock.pausesMs.length === failures) await Promise.resolve();
    }

    expect(Math.max(...clock.pausesMs)).toBe(450);
  });

  it('is never below the interval, even when the bound is', async () => {
    startLoop({ round: failingRound, intervalMs: 1_000, maxPauseMs: 10 });
    await pauseNumber(1);

    expect(clock.pausesMs).toEqual([1_000]);
  });

  it('is spread by chance within its share, so that many processes do not ask at once', async () => {
    startLoop({ round: () => Promise.resolve(), jitter: 0.5 });
    await pauseNumber(1);
    for (let round = 0; round < 20; round += 1) await passPause();

    expect(Math.min(...clock.pausesMs)).toBeGreaterThanOrEqual(100);
    expect(Math.max(...clock.pausesMs)).toBeLessThanOrEqual(150);
    expect(new Set(clock.pausesMs).size).toBeGreaterThan(1);
  });

  it('follows an interval that changes while the loop runs', async () => {
    let intervalMs = 100;
    startLoop({ round: () => Promise.resolve(), intervalMs: () => intervalMs });
    await pauseNumber(1);
    intervalMs = 5_000;
    await passPause();

    expect(clock.pausesMs).toEqual([100, 5_000]);
  });
});

describe('a failure that lasts', () => {
  it('is said once when it begins and once when it ends, with how often it failed', async () => {
    let isAway = true;
    startLoop({ round: () => (isAway ? failingRound() : Promise.resolve()) });
    await pauseNumber(1);
    await passPause();
    await passPause();
    isAway = false;
    await passPause();
    await passPause();

    expect(lines.map(({ level, msg }) => [level, msg])).toEqual([
      [40, 'voters: failed, will be tried again'],
      [30, 'voters: works again'],
    ]);
    expect(lines[1]?.failures).toBe(3);
  });

  it('is news and no warning while the process is still starting', async () => {
    startLoop({ round: failingRound, isStarting: () => true });
    await pauseNumber(1);

    expect(lines.map(({ level, msg }) => [level, msg])).toEqual([[30, 'voters: not there yet']]);
  });

  it('is a failure too when the round throws before it awaits anything', async () => {
    const round = vi.fn((): Promise<void> => {
      throw new Error('at once');
    });
    startLoop({ round });
    await pauseNumber(1);
    await passPause();

    expect(round).toHaveBeenCalledTimes(2);
  });
});

describe('waking', () => {
  it('ends the pause that is on', async () => {
    const round = vi.fn(() => Promise.resolve());
    const loop = startLoop({ round });
    await pauseNumber(1);
    loop.wake();
    await pauseNumber(2);

    expect(round).toHaveBeenCalledTimes(2);
  });

  it('during a round is followed by another round at once: what it was woken for may have come too late for this one', async () => {
    let endRound = (): void => undefined;
    const round = vi.fn(() => new Promise<void>((resolve) => (endRound = resolve)));
    const loop = startLoop({ round });
    loop.wake();
    endRound();
    await vi.waitFor(() => {
      expect(round).toHaveBeenCalledTimes(2);
    });
    endRound();
  });

  it('a loop that never started does nothing', () => {
    const round = vi.fn(() => Promise.resolve());
    new BackgroundLoop({ name: 'voters', intervalMs: 100, maxPauseMs: 450, logger, round }).wake();

    expect(round).not.toHaveBeenCalled();
  });
});

describe('stopping', () => {
  it('ends a pause and runs no round after it', async () => {
    const round = vi.fn(() => Promise.resolve());
    const loop = startLoop({ round });
    await pauseNumber(1);
    await loop.stop();
    loop.wake();

    expect(round).toHaveBeenCalledTimes(1);
  });

  it('waits for the round under way, and tells it through its signal', async () => {
    let hasEnded = false;
    const loop = startLoop({
      round: (signal) =>
        new Promise((resolve) => {
          signal.addEventListener('abort', () => {
            hasEnded = true;
            resolve();
          });
        }),
    });
    await loop.stop();

    expect(hasEnded).toBe(true);
    expect(lines).toEqual([]);
  });

  it('says nothing of a round that fails because of it', async () => {
    const loop = startLoop({
      round: (signal) =>
        new Promise((_resolve, reject) => {
          signal.addEventListener('abort', () => {
            reject(new Error('ended'));
          });
        }),
    });
    await loop.stop();

    expect(lines).toEqual([]);
  });

  it('is safe twice, and before any start', async () => {
    const loop = startLoop({ round: () => Promise.resolve() });
    await Promise.all([loop.stop(), loop.stop()]);
    await new BackgroundLoop({ name: 'x', intervalMs: 1, maxPauseMs: 1, logger, round: failingRound }).stop();

    expect(lines).toEqual([]);
  });
});

it('starting twice is one loop', async () => {
  const round = vi.fn(() => Promise.resolve());
  startLoop({ round }).start();
  await pauseNumber(1);

  expect(round).toHaveBeenCalledTimes(1);
});
