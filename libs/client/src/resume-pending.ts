import {
  courierView,
  orderView,
  storeView,
  type CourierView,
  type OrderView,
  type StoreView,
} from '@borough/contracts';
import { type CallOptions, type Calls } from './transport/calls.js';
import { type CallBounds } from './transport/send-call.js';
import { type Clock } from './transport/clock.js';
import { DeliveryProblem } from './transport/delivery-problem.js';
import { type PendingCalls, type StoredCall, type WriteOperation } from './transport/pending-calls.js';

/** A change whose outcome the app was never told, or that is under way. */
export interface PendingCall {
  readonly operation: WriteOperation;
  readonly idempotencyKey: string;
  /** What was asked for, as JSON text. */
  readonly body: string;
  /** RFC 3339. */
  readonly createdAt: string;
  /** This client is sending it just now. */
  readonly isUnderWay: boolean;
}

/** What became of a pending call. */
export type ResumedCall = { readonly call: PendingCall } & (
  | ({ readonly kind: 'done' } & DoneCall)
  /** It will not happen; `problem` says why. */
  | { readonly kind: 'refused'; readonly problem: DeliveryProblem }
  /** Still not known; it stays pending. */
  | { readonly kind: 'unknown'; readonly problem: DeliveryProblem }
  /** Too old to be sent again: nobody wants the pizza of yesterday. No more pending; look the result up. */
  | { readonly kind: 'expired' }
);

type DoneCall =
  | { readonly operation: 'orders.place' | 'orders.accept' | 'orders.cancel'; readonly answer: OrderView }
  | { readonly operation: 'stores.open'; readonly answer: StoreView }
  | { readonly operation: 'couriers.register'; readonly answer: CourierView };

/** What the caller of an app may see of a stored call. */
export function pendingCallOf(call: StoredCall, pending: PendingCalls): PendingCall {
  const { operation, idempotencyKey, body, createdAtMs } = call;
  const createdAt = new Date(createdAtMs).toISOString();
  return { operation, idempotencyKey, body, createdAt, isUnderWay: pending.isUnderWay(idempotencyKey) };
}

/**
 * Sends every pending call again, each with its own key, the oldest first and one after the other, since one may build
 * on another. Ends early when no router can be reached: the rest is then unknown too.
 *
 * @param maxAgeMs older ones are not sent
 */
export async function resumePending(
  { calls, pending, clock }: { readonly calls: Calls; readonly pending: PendingCalls; readonly clock: Clock },
  maxAgeMs: number,
  options: CallOptions,
): Promise<readonly ResumedCall[]> {
  const resumed: ResumedCall[] = [];
  let unreachable: DeliveryProblem | undefined;
  for (const stored of await pending.list()) {
    if (pending.isUnderWay(stored.idempotencyKey)) continue;
    const call = pendingCallOf(stored, pending);
    if (clock.nowMs() - stored.createdAtMs > maxAgeMs) {
      await pending.end(stored.idempotencyKey, true);
      resumed.push({ call, kind: 'expired' });
      continue;
    }
    if (unreachable !== undefined) {
      resumed.push({ call, kind: 'unknown', problem: unreachable });
      continue;
    }
    try {
      resumed.push({ call, kind: 'done', ...(await sendAgain(calls, stored, { ...options, mayHaveHappened: true })) });
    } catch (error) {
      if (!(error instanceof DeliveryProblem)) throw error;
      resumed.push({ call, kind: error.isOutcomeUnknown ? 'unknown' : 'refused', problem: error });
      if (ENDS_ALL.has(error.code)) unreachable = error;
    }
  }
  return resumed;
}

const ENDS_ALL: ReadonlySet<string> = new Set(['deadline-exceeded', 'aborted', 'client-closed']);

async function sendAgain(calls: Calls, stored: StoredCall, options: CallBounds): Promise<DoneCall> {
  const { operation } = stored;
  switch (operation) {
    case 'orders.place':
    case 'orders.accept':
    case 'orders.cancel':
      return { operation, answer: await calls.send(stored, orderView, options) };
    case 'stores.open':
      return { operation, answer: await calls.send(stored, storeView, options) };
    case 'couriers.register':
      return { operation, answer: await calls.send(stored, courierView, options) };
  }
}
