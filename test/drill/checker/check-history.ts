/**
 * Does a history keep the promises? Each check is named after what it looks for; none of them knows how the system works,
 * and this folder imports nothing of it.
 */
import { type Breach } from './breach.js';
import { type Evidence, evidenceOf, versionKey } from './evidence.js';
import { grouped } from './grouped.js';
import { type History } from './history.js';
import { locksAndEpochs } from './locks-and-epochs.js';
import { lostWrites } from './lost-writes.js';
import { duplicatedWrites } from './one-effect.js';
import { staleReads } from './stale-reads.js';
import { zonesThatDiffer } from './zones-differ.js';

/** Every breach found; none is right. */
export function checkHistory(history: History): Breach[] {
  const evidence = evidenceOf(history);
  const checks = [
    failedRequests,
    lostWrites,
    duplicatedWrites,
    locksAndEpochs,
    zonesThatDiffer,
    staleReads,
    missingEvidence,
  ];
  return checks.flatMap((check) => [...check(evidence)]);
}

function* failedRequests({ history }: Evidence): Generator<Breach> {
  for (const { kind, client, isOk, failure, shard, key, orderId } of history.requests) {
    // A zone that was asked itself may refuse: another owns the shard by now, or it cannot tell.
    if (isOk || client === 'direct') continue;
    const what = `${kind} of shard ${shard} by ${client} (${key ?? orderId ?? '-'})`;
    yield { kind: 'failed-request', detail: `${what}: ${failure ?? 'no reason recorded'}` };
  }
}

/** A check of nothing proves nothing. */
function* missingEvidence({ history, effects, reads, events }: Evidence): Generator<Breach> {
  const missing: string[] = [];
  if (!effects.some(({ kind }) => kind === 'place')) missing.push('no order was placed');
  if (!effects.some(({ kind }) => kind === 'change')) missing.push('no order was changed');
  if (reads.length === 0) missing.push('no order was read');
  if (history.zones.length < 2) missing.push('the rows of two zones or more are needed');
  if (history.locks.length === 0) missing.push('no shard was ever locked');
  const epochs = grouped(effects, ({ shard }) => shard);
  const hasTwoEpochs = [...epochs.values()].some(
    (writes) =>
      new Set(writes.map(({ answer }) => events.get(versionKey(answer.orderId, answer.version))?.epoch)).size > 1,
  );
  if (!hasTwoEpochs) missing.push('no shard was written by two owners in turn');
  for (const detail of missing) yield { kind: 'empty-history', detail };
}
