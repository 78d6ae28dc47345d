import { type OrderStatus } from '@borough/contracts';

/**
 * The steps of an order, as one total table: a new status or a new transition does not compile until its line is here.
 *
 * ```
 * placed ──accept──► accepted      (assigned, picked-up and delivered come with couriers)
 *    └────cancel────────┴──► cancelled
 * ```
 *
 * Pure: the database is handed the steps of a transition and takes the one that fits the locked row.
 */

/** What can be asked of an order; each is the last segment of its route. */
export const ORDER_TRANSITIONS = ['accept', 'cancel'] as const;
export type OrderTransition = (typeof ORDER_TRANSITIONS)[number];

const NEXT: Readonly<Record<OrderStatus, Readonly<Record<OrderTransition, OrderStatus | 'illegal'>>>> = {
  placed: { accept: 'accepted', cancel: 'cancelled' },
  accepted: { accept: 'illegal', cancel: 'cancelled' },
  assigned: { accept: 'illegal', cancel: 'illegal' },
  'picked-up': { accept: 'illegal', cancel: 'illegal' },
  delivered: { accept: 'illegal', cancel: 'illegal' },
  cancelled: { accept: 'illegal', cancel: 'illegal' },
};

const STATUSES = Object.keys(NEXT) as OrderStatus[];

/** Status before → status after, of one transition; a status that is missing takes no such step. */
export type OrderSteps = Readonly<Partial<Record<OrderStatus, OrderStatus>>>;

/** Every step that this transition is. */
export function stepsOf(transition: OrderTransition): OrderSteps {
  const steps: Partial<Record<OrderStatus, OrderStatus>> = {};
  for (const status of STATUSES) {
    const next = NEXT[status][transition];
    if (next !== 'illegal') steps[status] = next;
  }
  return steps;
}

/** What may be asked of an order in this status; empty when it has ended, or when only a courier can take it on. */
export function allowedTransitions(status: OrderStatus): OrderTransition[] {
  return ORDER_TRANSITIONS.filter((transition) => NEXT[status][transition] !== 'illegal');
}
