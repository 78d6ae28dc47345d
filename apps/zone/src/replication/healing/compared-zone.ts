import { type PostgresSession } from '@borough/server-kit';
import { linkName } from '../links.js';

/**
 * One side of a comparison or a healing. Reading needs a role that may read the sharded tables (borough_replication,
 * borough_audit or borough_owner), writing that of the owner.
 */
export interface ComparedZone {
  readonly zoneId: string;
  readonly session: Pick<PostgresSession, 'query'>;
}

/** Bounds a wait: a stream that is that far behind is stuck, in ms. */
export const LAG_MAX_MS = 10_000;
/** A link that was away so long is not waited for, in ms. */
const LINK_GONE_MS = 1_500;
const LOOK_EVERY_MS = 20;

/**
 * Waits until each of two zones has taken in what the other had written by now.
 *
 * A zone that streams nothing to the other (sealed off, never connected) is not waited for: what differs stays so.
 *
 * @returns false when one of them has not within `maxMs`: nothing is known then
 * @throws the signal's reason when it is aborted
 */
export async function awaitLag(
  left: ComparedZone,
  right: ComparedZone,
  maxMs = LAG_MAX_MS,
  signal?: AbortSignal,
): Promise<boolean> {
  const settled = await Promise.all([
    awaitArrival(left, right, maxMs, signal),
    awaitArrival(right, left, maxMs, signal),
  ]);
  return settled.every(Boolean);
}

/**
 * As `awaitLag`, one way: for shards that `from` owns.
 *
 * @param isStreamDue whether a stream that is gone makes the answer false: what differs may only be late
 */
export async function awaitArrival(
  from: ComparedZone,
  at: ComparedZone,
  maxMs = LAG_MAX_MS,
  signal?: AbortSignal,
  isStreamDue = false,
): Promise<boolean> {
  const link = linkName(at.zoneId, from.zoneId);
  const [now] = await from.session.query<{ position: string }>('SELECT pg_current_wal_flush_lsn()::text AS position');
  const beganAt = performance.now();
  let streamedAt = beganAt;
  for (;;) {
    signal?.throwIfAborted();
    const [slot] = await from.session.query<{ active: boolean; has_arrived: boolean }>(
      `SELECT s.active, s.confirmed_flush_lsn >= $2::pg_lsn AS has_arrived
         FROM pg_replication_slots s WHERE s.slot_name = $1`,
      [link, now?.position],
    );
    const nowMs = performance.now();
    if (slot === undefined) return !isStreamDue;
    if (slot.has_arrived) return true;
    if (slot.active) streamedAt = nowMs;
    else if (nowMs - streamedAt >= LINK_GONE_MS) return !isStreamDue;
    if (nowMs - beganAt >= maxMs) return false;
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
  }
}
