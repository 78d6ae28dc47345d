/** Who makes commits wait: pure, so that every case can be tested without a server (SPEC.md section 8). */

/** What the zone's PostgreSQL says about one other zone. */
export interface MemberReport {
  /** Its walsender is connected and streams. */
  readonly isStreaming: boolean;
  /** Bytes of our log it has not confirmed to be on disk. */
  readonly behindBytes: number;
  /** Position it has confirmed, as a number that only grows. */
  readonly flushedAt: number;
}

/** What is remembered about one zone between two looks. */
export interface MemberWatch {
  readonly flushedAt: number;
  /** Since when no walsender of it is connected; undefined while one is. */
  readonly awaySinceMs: number | undefined;
  /** Since when it has been away while commits wait. */
  readonly missedSinceMs: number | undefined;
  /** Since when it is connected and confirms nothing while commits wait. */
  readonly silentSinceMs: number | undefined;
}

export const NEVER_SEEN: MemberWatch = {
  flushedAt: -1,
  awaySinceMs: undefined,
  missedSinceMs: undefined,
  silentSinceMs: undefined,
};

export interface MemberBounds {
  /** A member that is away is dropped when commits have waited for so long, in ms. */
  readonly missedMs: number;
  /** One that is away is dropped after this in any case, in ms. */
  readonly awayMs: number;
  /** One that is connected and confirms nothing is dropped when commits have waited for so long, in ms. */
  readonly silentMs: number;
}

/**
 * @param report undefined when no walsender of the zone is connected
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
  const isSilent = !isAway && areCommitsWaiting && report.behindBytes > 0 && flushedAt <= watch.flushedAt;
  return {
    flushedAt,
    awaySinceMs: isAway ? (watch.awaySinceMs ?? nowMs) : undefined,
    missedSinceMs: isAway && areCommitsWaiting ? (watch.missedSinceMs ?? nowMs) : undefined,
    silentSinceMs: isSilent ? (watch.silentSinceMs ?? nowMs) : undefined,
  };
}

/** Whether a member is to be dropped. */
export function isLost(watch: MemberWatch, bounds: MemberBounds, nowMs: number): boolean {
  const { missedSinceMs, awaySinceMs, silentSinceMs } = watch;
  return (
    isOlder(missedSinceMs, bounds.missedMs, nowMs) ||
    isOlder(awaySinceMs, bounds.awayMs, nowMs) ||
    isOlder(silentSinceMs, bounds.silentMs, nowMs)
  );
}

function isOlder(sinceMs: number | undefined, boundMs: number, nowMs: number): boolean {
  return sinceMs !== undefined && nowMs - sinceMs >= boundMs;
}

/** A newcomer further behind than this is left to catch up first, in bytes. */
const CAUGHT_UP_BYTES = 1_048_576;

export function hasCaughtUp(report: MemberReport | undefined): boolean {
  return report?.isStreaming === true && report.behindBytes <= CAUGHT_UP_BYTES;
}
