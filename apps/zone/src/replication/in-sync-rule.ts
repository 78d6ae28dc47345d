/**
 * The interim rule of who is waited for (SPEC.md, in-sync set): pure, so that it can be tested without a server.
 *
 * Until the in-sync record exists (failover issue), a zone decides alone: it drops a member that has made commits wait,
 * or has been away, for `silenceMs`, and takes it back when it streams and has caught up. P1 then holds only as long as
 * the zones that are left live; that is why each drop is said loudly.
 */

/** What the zone's PostgreSQL says about one other zone, keyed by link name. */
export interface MemberReport {
  /** Its walsender is connected and streams. */
  readonly isStreaming: boolean;
  /** Bytes of our log it has not confirmed to be on disk. */
  readonly behindBytes: number;
  /** Position it has confirmed, as a number that only grows. */
  readonly flushedAt: number;
}

/** What the guard remembers about one member between two looks. */
export interface MemberWatch {
  readonly flushedAt: number;
  /** Since when it has been away, or has confirmed nothing while commits wait; undefined while all is well. */
  readonly silentSinceMs: number | undefined;
}

export const NEVER_SEEN: MemberWatch = { flushedAt: -1, silentSinceMs: undefined };

/** Below this, a member that comes back has caught up: at most this much is waited for when it is counted again. */
const CAUGHT_UP_BYTES = 1_048_576;

/**
 * @param report undefined when no walsender of the member is connected
 * @param areCommitsWaiting whether any commit waits for members right now
 * @param nowMs a clock that only goes forward
 */
export function watchMember(
  watch: MemberWatch,
  report: MemberReport | undefined,
  areCommitsWaiting: boolean,
  nowMs: number,
): MemberWatch {
  const flushedAt = report?.flushedAt ?? watch.flushedAt;
  const isAway = report?.isStreaming !== true;
  const isHoldingUp =
    areCommitsWaiting && report !== undefined && report.behindBytes > 0 && flushedAt <= watch.flushedAt;
  return { flushedAt, silentSinceMs: isAway || isHoldingUp ? (watch.silentSinceMs ?? nowMs) : undefined };
}

export type MemberVerdict = 'keep' | 'drop' | 'take-back' | 'leave-out';

/** What to do about one member. A member that was never in is taken in by the same rule as one that comes back. */
export function judgeMember(
  isMember: boolean,
  watch: MemberWatch,
  report: MemberReport | undefined,
  isCovered: boolean,
  nowMs: number,
  silenceMs: number,
): MemberVerdict {
  if (isMember) {
    return watch.silentSinceMs !== undefined && nowMs - watch.silentSinceMs >= silenceMs ? 'drop' : 'keep';
  }
  const hasCaughtUp = report?.isStreaming === true && report.behindBytes <= CAUGHT_UP_BYTES;
  return hasCaughtUp && isCovered ? 'take-back' : 'leave-out';
}
