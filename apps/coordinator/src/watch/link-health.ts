/**
 * How each link is, from what both of its ends say again and again: pure, so that every case stands in a table of tests.
 * A link goes one way: changes of its publisher are applied at its subscriber.
 *
 * | state       | seen                                                                              | runbook              |
 * | ----------- | --------------------------------------------------------------------------------- | -------------------- |
 * | `sealed`    | a failover left the publisher, which has not rejoined                             | –                    |
 * | `missing`   | no subscription                                                                   | replication-failing  |
 * | `slot-lost` | the publisher has no slot for it, or one whose log is gone                        | slot-lost            |
 * | `failing`   | changes could not be applied within the last minute, and the position stands still | replication-failing |
 * | `stopped`   | disabled, or without a worker for a while                                         | replication-failing  |
 * | `behind`    | connected, and the newest beat is old; or much log is left, and more and more     | replication-behind   |
 * | `streaming` | none of these                                                                     | –                    |
 *
 * Beside the state, two things are told of any link: that the publisher will soon throw away log which is still needed
 * (slot-near-cap), and conflicts that do not settle by themselves (replication-conflicts).
 *
 * Beats are dated by the publisher and compared with the subscriber's clock, so clocks must agree to a second or two; they
 * are what NTP keeps.
 */
import { type LinkStatus } from '@borough/contracts';
import { type IncomingLink, type OutgoingLink } from '../voters/voter.js';

/** Both ends of a link, as they were asked at one time. */
export interface LinkSample {
  /** Monotonic. */
  readonly atMs: number;
  readonly incoming: IncomingLink;
  /** Undefined while the publisher does not answer. */
  readonly outgoing: OutgoingLink | undefined;
  /** So much of its log the publisher keeps for a link, in bytes; null: all of it. */
  readonly keptLogBytes: number | null;
}

/** What is remembered of a link from one sample to the next. */
export interface LinkMemory {
  readonly last: LinkSample;
  /** Since when it has been without a worker. */
  readonly idleSinceMs: number | undefined;
  readonly movedAtMs: number;
  /** When changes were last seen not to apply. */
  readonly erredAtMs: number | undefined;
  readonly lagMark: { readonly atMs: number; readonly lagBytes: number; readonly isGrowing: boolean };
  /** Conflicts up to here are settled: a comparison has found the zones equal since, or they were told of long enough. */
  readonly settled: Readonly<Record<string, number>>;
  readonly conflictedAtMs: number | undefined;
}

export interface LinkReport {
  readonly status: LinkStatus;
  /** In words for people, each with its runbook; empty when all is well. */
  readonly problems: readonly string[];
}

const IDLE_MS = 2_500;
const OLD_BEAT_MS = 5_000;
const STANDSTILL_MS = 2_000;
const ERRORS_COUNT_FOR_MS = 60_000;
const MUCH_LOG_BYTES = 16 * 1024 * 1024;
const LAG_COMPARED_EVERY_MS = 5_000;
const NEAR_CAP_SHARE = 0.25;
const CONFLICTS_TOLD_FOR_MS = 10 * 60_000;

/**
 * Normal in every cluster: a row was written here by healing, or under the owner before this one, and its owner of now changes
 * it. PostgreSQL counts that and applies the change; the apply guard has judged the row already. And a zone's last beat is
 * deleted where it never came, after a stream that began anew: nothing but beats is ever deleted in a published table.
 */
const SETTLED_BY_DESIGN: ReadonlySet<string> = new Set(['update_origin_differs', 'delete_missing']);

export function rememberLink(before: LinkMemory | undefined, sample: LinkSample): LinkMemory {
  const { atMs, incoming, outgoing } = sample;
  const idleSinceMs = incoming.hasWorker ? undefined : (before?.idleSinceMs ?? atMs);
  const lagBytes = outgoing?.lagBytes ?? 0;
  if (before === undefined || isAnotherCount(before.last.incoming, incoming)) {
    return {
      last: sample,
      idleSinceMs,
      movedAtMs: atMs,
      erredAtMs: undefined,
      lagMark: { atMs, lagBytes, isGrowing: false },
      settled: incoming.conflicts,
      conflictedAtMs: undefined,
    };
  }
  const { last, lagMark } = before;
  const hasConflicted = conflictsSince(last.incoming.conflicts, incoming.conflicts).length > 0;
  const conflictedAtMs = hasConflicted ? atMs : before.conflictedAtMs;
  // A zone that nobody counts on is being healed: updates of rows it lacks are dropped then, and it is compared in the end.
  const isSettled =
    outgoing?.isCounted === false || (conflictedAtMs !== undefined && atMs - conflictedAtMs >= CONFLICTS_TOLD_FOR_MS);
  return {
    last: sample,
    idleSinceMs,
    movedAtMs: incoming.position === last.incoming.position ? before.movedAtMs : atMs,
    erredAtMs: incoming.applyErrors > last.incoming.applyErrors ? atMs : before.erredAtMs,
    lagMark:
      atMs - lagMark.atMs >= LAG_COMPARED_EVERY_MS
        ? { atMs, lagBytes, isGrowing: lagBytes > lagMark.lagBytes }
        : lagMark,
    settled: isSettled ? incoming.conflicts : before.settled,
    conflictedAtMs: isSettled ? undefined : conflictedAtMs,
  };
}

/** @param to the subscriber */
export function reportLink(to: string, memory: LinkMemory): LinkReport {
  const { incoming, outgoing } = memory.last;
  const state = stateOf(memory);
  const conflicts = Object.values(incoming.conflicts).reduce((sum, count) => sum + count, 0);
  return {
    status: {
      from: incoming.from,
      state,
      ...(outgoing?.lagBytes === undefined ? {} : { lagBytes: outgoing.lagBytes }),
      ...(incoming.beatAgeMs === undefined ? {} : { beatAgeMs: Math.round(incoming.beatAgeMs) }),
      applyErrors: incoming.applyErrors,
      conflicts,
      ...(outgoing?.logLeftBytes === undefined ? {} : { logLeftBytes: outgoing.logLeftBytes }),
    },
    problems: [...stateProblems(to, state, memory), ...capProblems(to, state, memory), ...conflictProblems(memory)],
  };
}

function stateOf(memory: LinkMemory): LinkStatus['state'] {
  const { idleSinceMs, movedAtMs, erredAtMs, lagMark } = memory;
  const { atMs, incoming, outgoing } = memory.last;
  if (incoming.isSealed) return 'sealed';
  if (!incoming.isSubscribed) return 'missing';
  if (outgoing !== undefined && (!outgoing.hasSlot || outgoing.isLost)) return 'slot-lost';
  if (!incoming.isEnabled) return 'stopped';
  const hasErred = erredAtMs !== undefined && atMs - erredAtMs < ERRORS_COUNT_FOR_MS && movedAtMs <= erredAtMs;
  if (hasErred && atMs - movedAtMs >= STANDSTILL_MS) return 'failing';
  const beatAgeMs = incoming.beatAgeMs ?? 0;
  const isIdle = idleSinceMs !== undefined && atMs - idleSinceMs >= IDLE_MS;
  if (isIdle && (incoming.beatAgeMs === undefined || beatAgeMs >= IDLE_MS)) return 'stopped';
  if (beatAgeMs > OLD_BEAT_MS) return 'behind';
  return (outgoing?.lagBytes ?? 0) > MUCH_LOG_BYTES && lagMark.isGrowing ? 'behind' : 'streaming';
}

function stateProblems(to: string, state: LinkStatus['state'], { last }: LinkMemory): string[] {
  const { incoming, outgoing } = last;
  const { from } = incoming;
  switch (state) {
    case 'streaming':
    case 'sealed':
      return [];
    case 'missing':
      return [`it takes in nothing of zone ${from}: it has no subscription. ${see('replication-failing')}`];
    case 'slot-lost': {
      const why = outgoing?.lostBecause === undefined ? '' : ` (${outgoing.lostBecause})`;
      return [
        `changes of zone ${from} were lost on the way: its slot is gone${why}. Seeded anew by itself. ${see('slot-lost')}`,
      ];
    }
    case 'failing':
      return [`changes of zone ${from} do not apply, and none after them come in. ${see('replication-failing')}`];
    case 'stopped':
      // That its database is away is told by a line of its own.
      if (outgoing === undefined && incoming.isEnabled) return [];
      return [
        `it takes in nothing of zone ${from}: ${incoming.isEnabled ? 'it does not get through to it' : 'the subscription is disabled'}. ${see('replication-failing')}`,
      ];
    case 'behind':
      if (outgoing === undefined) return [];
      return [
        `it is behind with the changes of zone ${from}: ${((incoming.beatAgeMs ?? 0) / 1_000).toFixed(1)} s, ${outgoing.lagBytes ?? 0} bytes. To zone ${to} nothing can be moved until it has caught up. ${see('replication-behind')}`,
      ];
  }
}

function capProblems(to: string, state: LinkStatus['state'], { last }: LinkMemory): string[] {
  const { incoming, outgoing, keptLogBytes } = last;
  const left = outgoing?.logLeftBytes;
  if (state === 'slot-lost' || left === undefined || keptLogBytes === null) return [];
  if (left >= NEAR_CAP_SHARE * keptLogBytes) return [];
  return [
    `zone ${incoming.from} keeps log for it, and gives it up in ${left} bytes: zone ${to} must be seeded anew then. ${see('slot-near-cap')}`,
  ];
}

function conflictProblems({ settled, last }: LinkMemory): string[] {
  const { incoming } = last;
  const found = conflictsSince(settled, incoming.conflicts);
  if (found.length === 0) return [];
  const counted = found.map(([kind, count]) => `${count} ${kind.replaceAll('_', ' ')}`).join(', ');
  return [
    `changes of zone ${incoming.from} met other rows than they should: ${counted}. ${see('replication-conflicts')}`,
  ];
}

/** Those that do not settle by themselves, by kind. */
function conflictsSince(
  before: Readonly<Record<string, number>>,
  now: Readonly<Record<string, number>>,
): [kind: string, count: number][] {
  return Object.entries(now).flatMap(([kind, count]): [string, number][] => {
    const grown = count - (before[kind] ?? 0);
    return grown > 0 && !SETTLED_BY_DESIGN.has(kind) ? [[kind, grown]] : [];
  });
}

/** A subscription made anew, or statistics set back, count from nothing again. */
function isAnotherCount(before: IncomingLink, now: IncomingLink): boolean {
  return (
    now.applyErrors < before.applyErrors ||
    Object.entries(before.conflicts).some(([kind, count]) => (now.conflicts[kind] ?? 0) < count)
  );
}

function see(page: string): string {
  return `Runbook: ${page}`;
}
