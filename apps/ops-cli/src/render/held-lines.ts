/** Held orders for people. */
import { type HeldOrdersView } from '@borough/contracts';
import { type Paint } from '../terminal/paint.js';
import { tableLines } from './table.js';
import { count, instant } from './words.js';

/** Every order on a line of its own, and how each kind is released. */
export function heldLines({ total, orders, unanswered }: HeldOrdersView, paint: Paint): string[] {
  const rows = orders.map(({ orderId, shard, zone, status, reason, since, placedAt }) => [
    orderId,
    shard,
    zone,
    status,
    reason,
    instant(since),
    instant(placedAt),
  ]);
  const reasons = new Set(orders.map(({ reason }) => reason));
  return [
    ...tableLines(['ORDER', 'SHARD', 'ZONE', 'STATUS', 'HELD BY', 'SINCE', 'PLACED'], rows),
    ...(total === 0
      ? [paint.green(`✓ No order is held${unanswered.length === 0 ? '' : ' by a zone that answered'}`)]
      : [
          `${count(total, 'order')} held${total > orders.length ? `, the first ${orders.length} shown (--limit)` : ''}`,
        ]),
    ...(reasons.has('declared-loss')
      ? ['declared-loss: look at each, then:  borough orders release <order> --why …']
      : []),
    ...(reasons.has('failover') ? ['failover: its move releases them by itself:  borough move list'] : []),
    ...unanswered.map((zone) => paint.red(`✗ zone ${zone} did not answer: what it holds is missing here`)),
  ];
}
