/**
 * What comes after a try. Decided by the problem document's `retry` alone, whether its code is known or not; never by
 * status or text.
 *
 *     never                        over
 *     same-request-later           pause (at least Retry-After), again
 *     refresh-routing-then-retry   refresh the table, again; from the second time on with a pause
 *     no answer of ours            the next router at once; once all were asked, pause, again
 *
 * Everything the SDK sends may be sent again: reads change nothing, and writes carry an idempotency key.
 *
 * Not p-retry: its pauses take their chance from `Math.random`, are not full jitter, cannot be bounded from below by the
 * try that failed, and go by the kind of an exception, where here a try ends in a value.
 */
import { type TryOutcome } from './one-try.js';

const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 2_000;
/** A table that is fresh and wrong again is not mended by fetching it once more. */
const MAX_REFRESHES = 3;

/** What has happened in this call so far. */
export interface CallSoFar {
  /** Pauses taken because of failures, from 0. */
  readonly pauses: number;
  /** Tries that ended in `refresh-routing-then-retry` before this one. */
  readonly refreshes: number;
  /** There is a router that has not failed this call since its last pause. */
  readonly isAnotherLeft: boolean;
}

export type NextStep =
  { readonly kind: 'over' } | { readonly kind: 'again'; readonly pauseMs: number; readonly mustRefresh: boolean };

/** @param random from 0 to 1 */
export function nextStep(outcome: TryOutcome, soFar: CallSoFar, random: () => number): NextStep {
  switch (outcome.kind) {
    case 'answered':
      return { kind: 'over' };
    case 'unreachable':
      return { kind: 'again', pauseMs: soFar.isAnotherLeft ? 0 : jitter(soFar.pauses, random), mustRefresh: false };
    case 'refused':
      switch (outcome.problem.retry) {
        case 'never':
          return { kind: 'over' };
        case 'same-request-later': {
          const pauseMs = outcome.retryAfterMs + jitter(soFar.pauses, random);
          return { kind: 'again', pauseMs, mustRefresh: false };
        }
        case 'refresh-routing-then-retry': {
          const pauseMs = soFar.refreshes === 0 ? 0 : jitter(soFar.pauses, random);
          return {
            kind: 'again',
            pauseMs: outcome.retryAfterMs + pauseMs,
            mustRefresh: soFar.refreshes < MAX_REFRESHES,
          };
        }
      }
  }
}

/**
 * Full jitter: any pause from 0 to a bound that doubles, so that clients that failed together come back apart.
 *
 * @param pauses taken before this one
 */
export function jitter(
  pauses: number,
  random: () => number,
  firstMs = FIRST_PAUSE_MS,
  longestMs = LONGEST_PAUSE_MS,
): number {
  return random() * Math.min(longestMs, firstMs * 2 ** Math.min(pauses, 16));
}
