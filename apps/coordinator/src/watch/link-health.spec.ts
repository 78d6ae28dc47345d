import { type LinkStatus } from '@borough/contracts';
import { describe, expect, it } from 'vitest';
import { type IncomingLink, type OutgoingLink } from '../voters/voter.js';
import { type LinkMemory, type LinkReport, type LinkSample, rememberLink, reportLink } from './link-health.js';

const MB = 1024 * 1024;
const CAP = 4_096 * MB;

interface Change {
  readonly incoming?: Partial<IncomingLink>;
  /** Undefined: the publisher does not answer. */
  readonly outgoing?: Partial<OutgoingLink> | undefined;
}

/** A sample a second from 0 on, of a link that moves on by itself unless it is said otherwise. */
function seen(...changes: readonly Change[]): LinkReport {
  let memory: LinkMemory | undefined;
  for (const [second, change] of changes.entries()) memory = rememberLink(memory, sample(second * 1_000, change));
  if (memory === undefined) throw new Error('at least one sample');
  return reportLink('b', memory);
}

function sample(atMs: number, change: Change): LinkSample {
  const isSilent = 'outgoing' in change && change.outgoing === undefined;
  return {
    atMs,
    incoming: {
      from: 'a',
      isSubscribed: true,
      isEnabled: true,
      hasWorker: true,
      heardMsAgo: 20,
      position: atMs,
      beatAgeMs: 300,
      applyErrors: 0,
      conflicts: { insert_exists: 0, update_missing: 0, update_origin_differs: 0 },
      isSealed: false,
      ...change.incoming,
    },
    outgoing: isSilent
      ? undefined
      : {
          to: 'b',
          hasSlot: true,
          isActive: true,
          isCounted: true,
          isLost: false,
          lagBytes: 120,
          logLeftBytes: CAP,
          ...change.outgoing,
        },
    keptLogBytes: isSilent ? null : CAP,
  };
}

const times = (count: number, change: (second: number) => Change): Change[] =>
  Array.from({ length: count }, (_, second) => change(second));

const IDLE: Change = { incoming: { hasWorker: false, beatAgeMs: 4_000 } };
const STUCK = (applyErrors: number): Change => ({ incoming: { applyErrors, position: 7, hasWorker: false } });

describe('a link is', () => {
  it.each<[LinkStatus['state'], string, Change[], RegExp | undefined]>([
    ['streaming', 'when all is well', [{}], undefined],
    ['streaming', 'when its worker starts again just now', [{}, { incoming: { hasWorker: false } }], undefined],
    [
      'streaming',
      'without a worker at three looks, while beats come in all the same',
      times(4, () => ({ incoming: { hasWorker: false } })),
      undefined,
    ],
    ['sealed', 'when it is sealed off', [{ incoming: { isSealed: true, isEnabled: false } }], undefined],
    [
      'sealed',
      'also when its slot is gone',
      [{ incoming: { isSealed: true }, outgoing: { hasSlot: false } }],
      undefined,
    ],
    [
      'missing',
      'without a subscription',
      [{ incoming: { isSubscribed: false } }],
      /no subscription.*replication-failing/,
    ],
    ['slot-lost', 'without a slot', [{ outgoing: { hasSlot: false } }], /slot is gone.*slot-lost/],
    [
      'slot-lost',
      'with a slot that was invalidated',
      [{ outgoing: { isLost: true, lostBecause: 'wal_removed' } }],
      /wal_removed.*slot-lost/,
    ],
    ['stopped', 'when it is disabled', [{ incoming: { isEnabled: false } }], /disabled.*replication-failing/],
    ['stopped', 'when nothing comes', times(4, () => IDLE), /does not get through.*replication-failing/],
    [
      'stopped',
      'when the publisher is away, told elsewhere',
      times(4, () => ({ ...IDLE, outgoing: undefined })),
      undefined,
    ],
    [
      'failing',
      'when errors grow and the position stands still',
      times(5, (second) => STUCK(second)),
      /do not apply.*replication-failing/,
    ],
    [
      'streaming',
      'when errors grew and it went on',
      [{}, { incoming: { applyErrors: 3, position: 1 } }, {}, {}],
      undefined,
    ],
    [
      'streaming',
      'when the last error is a minute old',
      [
        ...times(2, (second) => ({ incoming: { applyErrors: second, position: 7 } })),
        ...times(61, () => ({ incoming: { applyErrors: 1, position: 7 } })),
      ],
      undefined,
    ],
    [
      'behind',
      'when the newest beat is old',
      [{ incoming: { beatAgeMs: 6_000 } }],
      /behind.*6\.0 s.*replication-behind/,
    ],
    [
      'streaming',
      'with much log left that gets less',
      times(7, (second) => ({ outgoing: { lagBytes: (90 - second) * MB } })),
      undefined,
    ],
    [
      'behind',
      'with more and more log left',
      times(7, (second) => ({ outgoing: { lagBytes: (90 + second) * MB } })),
      /behind/,
    ],
    [
      'streaming',
      'with a little more log left',
      times(7, (second) => ({ outgoing: { lagBytes: second * MB } })),
      undefined,
    ],
    [
      'streaming',
      'near the end of the log that is kept, and red all the same',
      [{ outgoing: { logLeftBytes: CAP / 5 } }],
      /gives it up in.*slot-near-cap/,
    ],
  ])('%s %s', (state, _when, changes, problem) => {
    const { status, problems } = seen(...changes);

    expect(status.state).toBe(state);
    if (problem === undefined) expect(problems).toEqual([]);
    else expect(problems).toEqual([expect.stringMatching(problem)]);
  });

  it('told with its figures, as far as both ends say them', () => {
    expect(seen({}).status).toEqual({
      from: 'a',
      state: 'streaming',
      lagBytes: 120,
      beatAgeMs: 300,
      applyErrors: 0,
      conflicts: 0,
      logLeftBytes: CAP,
    });
    expect(seen({ outgoing: undefined }).status).not.toHaveProperty('lagBytes');
  });
});

describe('conflicts', () => {
  const counted = (conflicts: Record<string, number>, isCounted = true): Change => ({
    incoming: { conflicts },
    outgoing: { isCounted },
  });

  it('are told of when they grow, by kind', () => {
    expect(
      seen(counted({ update_missing: 4 }), counted({ update_missing: 6 }), counted({ update_missing: 6 })).problems,
    ).toEqual([expect.stringMatching(/2 update missing.*replication-conflicts/)]);
  });

  it.each<[string, Change[]]>([
    ['were there before', [counted({ update_missing: 4 }), counted({ update_missing: 4 })]],
    [
      'are of a row that changed its owner',
      [counted({ update_origin_differs: 0 }), counted({ update_origin_differs: 9 })],
    ],
    [
      'came while the zone was healed and counted on by nobody',
      [counted({ update_missing: 0 }, false), counted({ update_missing: 9 }, false), counted({ update_missing: 9 })],
    ],
    ['are counted from nothing again', [counted({ update_missing: 9 }), counted({ update_missing: 0 })]],
    ['are ten minutes old', [counted({ update_missing: 0 }), ...times(602, () => counted({ update_missing: 1 }))]],
  ])('are no news when they %s', (_which, changes) => {
    expect(seen(...changes).problems).toEqual([]);
  });
});
