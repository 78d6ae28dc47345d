/** A read shows what was acknowledged before it was sent, or what came after; or it says that it may be old. */
import { type Breach } from './breach.js';
import { type Acknowledged, type Evidence } from './evidence.js';
import { grouped } from './grouped.js';

export function* staleReads({ writes, reads }: Evidence): Generator<Breach> {
  const byOrder = grouped(writes, ({ answer }) => answer.orderId);
  for (const read of reads) {
    if (read.staleMs !== undefined) continue;
    const fault = faultOf(read, byOrder.get(read.orderId ?? '') ?? []);
    if (fault !== undefined) yield { kind: 'stale-read', detail: `order ${read.orderId ?? '-'} ${fault}` };
  }
}

/** @param writes acknowledged ones of the order that was asked for */
function faultOf({ orderId, answer, sentAt }: Acknowledged, writes: readonly Acknowledged[]): string | undefined {
  if (answer.orderId !== orderId) return `was asked for, and order ${answer.orderId} shown`;
  for (const { answer: known, answeredAt } of writes) {
    if (answeredAt < sentAt && known.version > answer.version) {
      return `was read at version ${answer.version} after ${known.version} was acknowledged`;
    }
    if (known.content !== answer.content) return `was read as "${answer.content}", "${known.content}" was acknowledged`;
    if (known.version === answer.version && known.status !== answer.status) {
      return `was read as ${answer.status} at version ${answer.version}, ${known.status} was acknowledged`;
    }
  }
  return undefined;
}
