import { ORDER_STATUSES, type OrderStatus } from '@borough/contracts';
import { describe, expect, it } from 'vitest';
import { allowedTransitions, ORDER_TRANSITIONS, type OrderTransition, stepsOf } from './order-status.js';

const EXPECTED: Record<OrderStatus, Record<OrderTransition, OrderStatus | 'illegal'>> = {
  placed: { accept: 'accepted', cancel: 'cancelled' },
  accepted: { accept: 'illegal', cancel: 'cancelled' },
  assigned: { accept: 'illegal', cancel: 'illegal' },
  'picked-up': { accept: 'illegal', cancel: 'illegal' },
  delivered: { accept: 'illegal', cancel: 'illegal' },
  cancelled: { accept: 'illegal', cancel: 'illegal' },
};

const pairs = ORDER_STATUSES.flatMap((status) => ORDER_TRANSITIONS.map((transition) => [status, transition] as const));

describe('an order', () => {
  it.each(pairs)('that is %s, when asked to %s, does what the table says', (status, transition) => {
    const expected = EXPECTED[status][transition];
    expect(stepsOf(transition)[status] ?? 'illegal').toBe(expected);
    expect(allowedTransitions(status).includes(transition)).toBe(expected !== 'illegal');
  });

  it('that was called off takes no step any more', () => {
    expect(allowedTransitions('cancelled')).toEqual([]);
  });

  it('never steps to the status it has: a repeated request is told apart by its key, not by the status', () => {
    for (const transition of ORDER_TRANSITIONS) {
      for (const [before, after] of Object.entries(stepsOf(transition))) expect(after).not.toBe(before);
    }
  });
});
