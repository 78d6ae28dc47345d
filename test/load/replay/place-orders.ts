/** Sends the orders at their pace. Errors are counted and not retried, so that the report shows what callers would see. */
import { setMaxListeners } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { IDEMPOTENCY_KEY_HEADER, TRAFFIC_TAG_HEADER } from '@borough/contracts';
import { type HttpEndpoint } from './http-endpoint.js';
import { inParallel } from './in-parallel.js';
import { type OrderRequest } from './order-requests.js';
import { dueAtMs, type Pace } from './pacing.js';
import { type PlacementRecord } from './placement-record.js';

/**
 * In a closed loop each request in flight stands for a caller, and a caller who was refused takes a breath: otherwise the
 * quick refusals of a zone that restarts would use up the day, and the processor time it needs to come back.
 */
const PAUSE_AFTER_ERROR_MS = 250;

/** A timer may fire a little early; less than this is not worth another one. */
const TIMER_GRAIN_MS = 1;

/**
 * Ends when every order has its answer; after `signal` aborts, when those sent have.
 *
 * @param requests by `placedAtMs`
 * @param inFlightMax how many wait for their hour or their answer at once. In an open loop an order beyond that starts
 *   late, and its latency says so.
 */
export async function placeOrders(
  router: HttpEndpoint,
  requests: readonly OrderRequest[],
  pace: Pace,
  inFlightMax: number,
  signal: AbortSignal,
  record: PlacementRecord,
): Promise<void> {
  setMaxListeners(0, signal);
  const startedAtMs = performance.now();
  const firstPlacedAtMs = requests[0]?.placedAtMs ?? 0;
  await inParallel(requests, inFlightMax, signal, async (request) => {
    const due = dueAtMs(pace, startedAtMs, firstPlacedAtMs, request.placedAtMs, performance.now());
    if (!(await isReached(due, signal))) return;
    const headers = {
      [TRAFFIC_TAG_HEADER]: request.storeId,
      [IDEMPOTENCY_KEY_HEADER]: request.idempotencyKey,
    };
    const answer = await router.post('/v1/orders', headers, request.json);
    record.take(request, answer, performance.now() - due);
    if (answer.kind !== 'ok' && pace.kind === 'max') await isReached(performance.now() + PAUSE_AFTER_ERROR_MS, signal);
  });
}

/** Waits for an instant on the clock of `performance.now()`. @returns false when `signal` aborted first */
async function isReached(instantMs: number, signal: AbortSignal): Promise<boolean> {
  const waitMs = instantMs - performance.now();
  if (waitMs < TIMER_GRAIN_MS) return true;
  try {
    await sleep(Math.ceil(waitMs), undefined, { signal });
    return true;
  } catch {
    return false;
  }
}
