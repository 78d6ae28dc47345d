import { PROBLEMS, type RetryRule } from '@borough/contracts';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type TryOutcome } from './one-try.js';
import { jitter, nextStep, type CallSoFar } from './retry.js';

const FIRST: CallSoFar = { pauses: 0, refreshes: 0, isAnotherLeft: false };
const half = () => 0.5;

function refused(retry: RetryRule, status = 503, retryAfterMs = 0, code = 'from-the-future'): TryOutcome {
  const problem = { type: `urn:borough:problem:${code}`, title: 't', status, code, retry };
  return { kind: 'refused', problem, retryAfterMs, isOfZone: true, mayHaveHappened: false };
}

describe('the rule of the problem decides what comes next', () => {
  const EXPECTED: Record<RetryRule, ReturnType<typeof nextStep>> = {
    never: { kind: 'over' },
    'same-request-later': { kind: 'again', pauseMs: 50, mustRefresh: false },
    'refresh-routing-then-retry': { kind: 'again', pauseMs: 0, mustRefresh: true },
  };

  it.each(Object.entries(EXPECTED))('%s, whatever status and code', (retry, expected) => {
    for (const status of [400, 404, 409, 421, 429, 500, 503, 599]) {
      expect(nextStep(refused(retry as RetryRule, status), FIRST, half)).toEqual(expected);
    }
  });

  it.each(Object.entries(PROBLEMS))('and so does that of %s', (code, { status, retry }) => {
    expect(nextStep(refused(retry, status, 0, code), FIRST, half)).toEqual(EXPECTED[retry]);
  });

  it('an answer ends the call', () => {
    expect(nextStep({ kind: 'answered', status: 200, body: {} }, FIRST, half)).toEqual({ kind: 'over' });
  });
});

describe('pauses', () => {
  it('Retry-After is the least, and chance comes on top so that clients do not come back together', () => {
    expect(nextStep(refused('same-request-later', 503, 3_000), FIRST, () => 0)).toMatchObject({ pauseMs: 3_000 });
    expect(nextStep(refused('same-request-later', 503, 3_000), FIRST, half)).toMatchObject({ pauseMs: 3_050 });
    expect(nextStep(refused('refresh-routing-then-retry', 421, 3_000), FIRST, half)).toMatchObject({ pauseMs: 3_000 });
  });

  it('a lost router costs none while there is another one', () => {
    const lost: TryOutcome = { kind: 'unreachable', error: new Error('reset'), mayHaveHappened: true };
    expect(nextStep(lost, { ...FIRST, isAnotherLeft: true }, half)).toMatchObject({ pauseMs: 0 });
    expect(nextStep(lost, FIRST, half)).toMatchObject({ pauseMs: 50 });
  });

  it('a table that was refreshed and is wrong again is given time, and after three times is not fetched any more', () => {
    const again = (refreshes: number) =>
      nextStep(refused('refresh-routing-then-retry', 421), { ...FIRST, refreshes }, half);
    expect([0, 1, 2, 3].map(again)).toEqual([
      { kind: 'again', pauseMs: 0, mustRefresh: true },
      { kind: 'again', pauseMs: 50, mustRefresh: true },
      { kind: 'again', pauseMs: 50, mustRefresh: true },
      { kind: 'again', pauseMs: 50, mustRefresh: false },
    ]);
  });

  it('double up to a bound, and lie anywhere below it', () => {
    fc.assert(
      fc.property(fc.nat(100), fc.double({ min: 0, max: 1, noNaN: true }), (pauses, chance) => {
        const bound = Math.min(2_000, 100 * 2 ** pauses);
        expect(jitter(pauses, () => chance)).toBe(chance * bound);
      }),
    );
  });
});
