import { describe, expect, it } from 'vitest';
import { hasCaughtUp, isLost, type MemberReport, type MemberWatch, NEVER_SEEN, watchMember } from './member-watch.js';

const BOUNDS = { missedMs: 50, awayMs: 1_000, silentMs: 500 };
const WELL: MemberReport = { isStreaming: true, behindBytes: 0, flushedAt: 100 };

/** What a zone does from moment to moment: at which time, what is seen of it, and whether commits wait. */
type Moment = readonly [atMs: number, report: MemberReport | undefined, areCommitsWaiting: boolean];

function lostAt(moments: readonly Moment[]): number | undefined {
  let watch: MemberWatch = NEVER_SEEN;
  for (const [atMs, report, areCommitsWaiting] of moments) {
    watch = watchMember(watch, report, areCommitsWaiting, atMs);
    if (isLost(watch, BOUNDS, atMs)) return atMs;
  }
  return undefined;
}

describe('a member', () => {
  it.each<[string, readonly Moment[], number | undefined]>([
    [
      'that confirms is kept, however long commits wait',
      [0, 400, 800].map((at): Moment => [at, { ...WELL, behindBytes: 9, flushedAt: at }, true]),
      undefined,
    ],
    [
      'that is gone is dropped once commits have waited 50 ms for it',
      [
        [0, undefined, true],
        [40, undefined, true],
        [60, undefined, true],
      ],
      60,
    ],
    [
      'that is gone and missed by nobody is dropped after a second',
      [
        [0, undefined, false],
        [900, undefined, false],
        [1_000, undefined, false],
      ],
      1_000,
    ],
    [
      'that reconnects in between is kept',
      [
        [0, undefined, true],
        [40, WELL, false],
        [80, undefined, true],
      ],
      undefined,
    ],
    [
      'that does not stream yet counts as gone',
      [
        [0, { ...WELL, isStreaming: false }, true],
        [60, { ...WELL, isStreaming: false }, true],
      ],
      60,
    ],
    [
      'that is connected and confirms nothing while commits wait is dropped after 500 ms',
      [0, 200, 400, 600].map((at): Moment => [at, { ...WELL, behindBytes: 9 }, true]),
      // The first look has nothing to compare with.
      undefined,
    ],
    [
      'the same, once that has been seen for so long',
      [0, 200, 400, 600, 800].map((at): Moment => [at, { ...WELL, behindBytes: 9 }, true]),
      800,
    ],
    ['that owes nothing is never silent', [0, 300, 600, 900].map((at): Moment => [at, WELL, true]), undefined],
    [
      'that is behind while nobody waits is kept',
      [0, 300, 600, 900].map((at): Moment => [at, { ...WELL, behindBytes: 9 }, false]),
      undefined,
    ],
  ])('%s', (_what, moments, expected) => {
    expect(lostAt(moments)).toBe(expected);
  });
});

it('a newcomer has caught up when it streams and is at most 1 MiB behind', () => {
  expect(hasCaughtUp(WELL)).toBe(true);
  expect(hasCaughtUp({ ...WELL, behindBytes: 1_048_577 })).toBe(false);
  expect(hasCaughtUp({ ...WELL, isStreaming: false })).toBe(false);
  expect(hasCaughtUp(undefined)).toBe(false);
});
