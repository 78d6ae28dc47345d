import { newUuid, toId } from '@borough/topology';
import { afterEach, describe, expect, it } from 'vitest';
import { ordersByPlacement } from './city-day.js';
import { startFakeRouter, type FakeAnswer, type FakeRouter } from './fake-router.js';
import { generateCityDays } from './generate-city-day.js';
import { HttpEndpoint } from './http-endpoint.js';
import { orderRequests } from './order-requests.js';
import { openStores, planStores, registerCouriers } from './stores-and-couriers.js';

const NEVER = new AbortController().signal;
const DAYS = generateCityDays(1);

let router: FakeRouter | undefined;
let endpoint: HttpEndpoint | undefined;

afterEach(async () => {
  await endpoint?.close();
  await router?.close();
});

async function against(answer: () => FakeAnswer | 'hang-up') {
  router = await startFakeRouter(answer);
  endpoint = new HttpEndpoint(router.url, 8);
  return { router, endpoint };
}

/** A new store with every call. */
function store(): FakeAnswer {
  const id = toId(
    'store',
    newUuid(3, 1, () => crypto.getRandomValues(new Uint8Array(16))),
  );
  return { status: 201, json: { id } };
}

describe('stores', () => {
  it('are the distinct pick-up points', () => {
    const stores = planStores(DAYS);
    expect(stores.length).toBeLessThanOrEqual(48);
    expect(new Set(stores.map(({ name }) => name)).size).toBe(stores.length);
  });

  it('are opened with the same key and body in every replay', async () => {
    const { router, endpoint } = await against(store);
    const stores = planStores(DAYS).slice(0, 5);
    let opened = 0;
    await openStores(endpoint, stores, 1, NEVER, () => (opened += 1));
    await openStores(endpoint, stores, 1, NEVER, () => (opened += 1));
    expect(opened).toBe(10);
    const sent = router.requests.map(({ body, headers }) => [body, headers['idempotency-key'], headers['traffic-tag']]);
    expect(sent.slice(0, 5)).toEqual(sent.slice(5));
    for (const [, key] of sent) expect(key).toMatch(/^replay-store-[\x21-\x7e]+$/);
  });

  it('are asked for again, with the same key, when a zone or a connection fails', async () => {
    const troubles: (FakeAnswer | 'hang-up')[] = [{ status: 503, json: { code: 'zone-unavailable' } }, 'hang-up'];
    const { router, endpoint } = await against(() => troubles.shift() ?? store());
    const ids = await openStores(endpoint, planStores(DAYS).slice(0, 1), 1, NEVER, () => undefined);
    expect(ids.size).toBe(1);
    expect(router.requests.length).toBe(3);
    expect(new Set(router.requests.map(({ headers }) => headers['idempotency-key'])).size).toBe(1);
  });

  it('that are refused for good end the replay before the first order', async () => {
    const { router, endpoint } = await against(() => ({
      status: 422,
      json: { code: 'validation-failed', detail: 'name is odd' },
    }));
    const stores = planStores(DAYS).slice(0, 1);
    await expect(openStores(endpoint, stores, 1, NEVER, () => undefined)).rejects.toThrow(
      /^opening store alderton .* failed with http 422 validation-failed: name is odd$/,
    );
    expect(router.requests.length).toBe(1);
  });
});

it('couriers are registered once each, under keys of their own', async () => {
  const { router, endpoint } = await against(() => ({ status: 201, json: {} }));
  await registerCouriers(endpoint, DAYS, 8, NEVER, () => undefined);
  expect(router.requests.length).toBe(100);
  expect(new Set(router.requests.map(({ headers }) => headers['idempotency-key'])).size).toBe(100);
});

it('orders name the store of their pick-up, a customer of their drop-off, and themselves', async () => {
  const { endpoint } = await against(store);
  const ids = await openStores(endpoint, planStores(DAYS), 8, NEVER, () => undefined);
  const orders = ordersByPlacement(DAYS);
  const dayStartsAtMs = Date.UTC(2026, 0, 1);
  const requests = orderRequests(orders, ids, 'run1', dayStartsAtMs);
  expect(requests.length).toBe(600);
  expect(new Set(requests.map(({ idempotencyKey }) => idempotencyKey)).size).toBe(600);
  expect(new Set(requests.map(({ items }) => items[0]?.name)).size).toBe(600);
  const [first, order] = [requests[0], orders[0]];
  expect(JSON.parse(first?.json ?? '')).toEqual({
    storeId: first?.storeId,
    customerId: first?.customerId,
    items: first?.items,
    dropOff: order?.dropOff,
    readyAt: new Date(dayStartsAtMs + (order?.readyAtMs ?? 0)).toISOString(),
    expectedDropOffAt: new Date(dayStartsAtMs + (order?.expectedDropOffAtMs ?? 0)).toISOString(),
  });
  const again = orderRequests(orders, ids, 'run2', dayStartsAtMs);
  expect(again.map(({ customerId }) => customerId)).toEqual(requests.map(({ customerId }) => customerId));
  expect(new Set(requests.map(({ customerId }) => customerId)).size).toBeLessThan(600);
});
