import { type OrderHold, orderHold, ORDER_STATUSES } from '@borough/contracts';
import { Problem } from '@borough/server-kit';
import { shardOfUuid, toId } from '@borough/topology';
import { freshUuid } from '../http/new-uuid.js';
import { type OrderChange } from '../writes/order-change.js';
import { type OrderEventKind } from './order-event.entity.js';
import { allowedTransitions, type OrderTransition, stepsOf } from './order-status.js';

const EVENT_KINDS: Readonly<Record<OrderTransition, OrderEventKind>> = {
  accept: 'order-accepted',
  cancel: 'order-cancelled',
};

/** A transition of an order, ready to be tried on the row as it will be found. */
export function orderChange(
  uuid: string,
  transition: OrderTransition,
  actor: string,
  reason: string | undefined,
): OrderChange {
  return {
    orderId: uuid,
    steps: stepsOf(transition),
    event: {
      id: freshUuid(shardOfUuid(uuid)),
      kind: EVENT_KINDS[transition],
      actor,
      reason: reason ?? null,
      occurredAt: new Date(),
    },
    refusal: (held) => (held === undefined ? orderNotFound(uuid) : illegalTransition(transition, held)),
    heldBy: (hold) => orderHeld(uuid, hold),
  };
}

/** Seconds until another try is worth it: a failover's hold ends by itself, a declared loss is looked at by people. */
const HELD_FOR_SECONDS: Readonly<Record<OrderHold['reason'], number>> = { failover: 1, 'declared-loss': 60 };

/** @param hold `{reason, since}` as JSON text, as `change_orders` answers it */
function orderHeld(uuid: string, hold: string): Problem {
  const { reason, since } = orderHold.parse(JSON.parse(hold));
  return new Problem('order-held', {
    detail: `Order ${toId('order', uuid)} was in process when its shard changed hands.`,
    members: { reason, since },
    retryAfterSeconds: HELD_FOR_SECONDS[reason],
  });
}

export function orderNotFound(uuid: string): Problem {
  return new Problem('order-not-found', { detail: `There is no order ${toId('order', uuid)}.` });
}

/** `orderStatus`, since `status` is the HTTP status in every problem document (RFC 9457). */
function illegalTransition(transition: OrderTransition, held: string): Problem {
  // A newer release may have written a status that this one does not know.
  const status = ORDER_STATUSES.find((known) => known === held);
  return new Problem('illegal-transition', {
    detail: `An order that is ${held} takes no ${transition}.`,
    members: { orderStatus: held, allowedTransitions: status === undefined ? [] : allowedTransitions(status) },
  });
}
