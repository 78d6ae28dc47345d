/** How long clients went without: read off what they were answered, and when. */
import { grouped } from '../checker/grouped.js';
import { type RequestRecord } from '../checker/history.js';

type Timed = Pick<RequestRecord, 'shard' | 'scheduledAt' | 'answeredAt' | 'isOk'>;

/**
 * The longest time in which somebody waited for a shard and nobody of it was answered well, in ms; of the shard that
 * fared worst.
 *
 * ```
 *   answered ─┐      due (waits) ─┐                    ┌─ answered
 *   ──────────┴───────────────────┴────────────────────┴──────────
 *                                 └────── the outage ──┘
 * ```
 *
 * A time in which nothing was due is no outage; nor is one slow request while others of its shard are answered. A
 * request that failed waits until the next good answer of its shard, or until `until`.
 *
 * @param since outages that ended before this moment do not count, in ms since 1970
 */
export function longestOutageMs(requests: readonly Timed[], since: number, until: number): number {
  let longest = 0;
  for (const ofShard of grouped(requests, ({ shard }) => shard).values()) {
    for (const { from, to } of outagesOf(ofShard, until)) {
      if (to >= since) longest = Math.max(longest, to - from);
    }
  }
  return longest;
}

function* outagesOf(requests: readonly Timed[], until: number): Generator<{ from: number; to: number }> {
  const answers = requests.filter(({ isOk }) => isOk).map(({ answeredAt }) => answeredAt);
  answers.sort((a, b) => a - b);
  const due = [...requests].sort((a, b) => a.scheduledAt - b.scheduledAt);
  let before = -Infinity;
  for (const to of [...answers, until]) {
    const waiting = due.find(
      ({ scheduledAt, answeredAt, isOk }) => scheduledAt < to && (isOk ? answeredAt >= to : answeredAt > before),
    );
    if (waiting !== undefined) yield { from: Math.max(before, waiting.scheduledAt), to };
    before = to;
  }
}
