import { setTimeout as sleep } from 'node:timers/promises';
import { newUuid, toId } from '@borough/topology';
import { afterEach, describe, expect, it } from 'vitest';
import { startFakeRouter, type FakeRouter } from './fake-router.js';
import { HttpEndpoint } from './http-endpoint.js';
import { type OrderRequest } from './order-requests.js';
import { placeOrders } from './place-orders.js';
import { expectedOrders, PlacementRecord } from './placement-record.js';

const SHARD = 17;
const ids = (() => {
  let last = 0;
  return () =>
    newUuid(SHARD, 1_700_000_000_000, () => Uint8Array.from({ length: 16 }, () => (last = (last * 31 + 7) % 251)));
})();
const STORE = toId('store', ids());
const CUSTOMER = toId('customer', ids());
const MAX = { kind: 'max' } as const;

let router: FakeRouter | undefined;
let endpoint: HttpEndpoint | undefined;

afterEach(async () => {
  await endpoint?.close();
  await router?.close();
});

/** Orders whose hours are `everyMs` apart. */
function requestsOf(count: number, everyMs = 0): OrderRequest[] {
  return Array.from({ length: count }, (_, index) => ({
    placedAtMs: 3_600_000 + index * everyMs,
    idempotencyKey: `run-x-${index}`,
    storeId: STORE,
    customerId: CUSTOMER,
    items: [{ name: `replay run x ${index}`, quantity: 1 }],
    json: JSON.stringify({ order: index }),
  }));
}

function created() {
  return { status: 201, json: { id: toId('order', ids()) }, headers: { 'borough-zone': 'b' } };
}

async function against(answer: Parameters<typeof startFakeRouter>[0]) {
  router = await startFakeRouter(answer);
  endpoint = new HttpEndpoint(router.url, 64);
  return { router, endpoint };
}

describe('placing orders', () => {
  it('sends each order once with its store as the tag and its own key, and remembers what was acknowledged', async () => {
    const { router, endpoint } = await against(created);
    const record = new PlacementRecord();
    const requests = requestsOf(20);
    await placeOrders(endpoint, requests, MAX, 4, new AbortController().signal, record);

    expect(router.requests.length).toBe(20);
    expect(new Set(router.requests.map(({ headers }) => headers['idempotency-key'])).size).toBe(20);
    expect(router.requests[0]).toMatchObject({
      method: 'POST',
      path: '/v1/orders',
      headers: { 'traffic-tag': STORE, 'content-type': 'application/json' },
    });
    expect(router.mostAtOnce()).toBeLessThanOrEqual(4);
    expect(record.errors).toBe(0);
    expect(record.acknowledged.length).toBe(20);
    expect(record.acknowledged[0]).toMatchObject({ shard: SHARD, zoneId: 'b' });
    expect(
      expectedOrders(record.acknowledged)
        .map((order) => order.items[0]?.name)
        .sort(),
    ).toEqual(requests.map((request) => request.items[0]?.name).sort());
    expect(record.latencyMs().p99).toBeGreaterThan(0);
  });

  it('counts errors by code and does not retry them', async () => {
    let number = 0;
    const { router, endpoint } = await against(() => {
      number += 1;
      if (number === 1) return { status: 503, json: { code: 'zone-unavailable', detail: 'later' } };
      if (number === 2) return { status: 421, json: { type: 'urn:borough:problem:wrong-zone' } };
      if (number === 3) return { status: 502, json: 'bad gateway' };
      if (number === 4) return 'hang-up';
      if (number === 5) return { status: 201, json: { id: STORE } };
      return created();
    });
    const record = new PlacementRecord();
    await placeOrders(endpoint, requestsOf(6), MAX, 1, new AbortController().signal, record);

    expect(router.requests.length).toBe(6);
    expect(Object.fromEntries(record.errorsByCode)).toEqual({
      'http 503 zone-unavailable': 1,
      'http 421 wrong-zone': 1,
      'http 502': 1,
      UND_ERR_SOCKET: 1,
      'http 201 without an order id': 1,
    });
    expect(record.errors).toBe(5);
    expect(record.acknowledged.length).toBe(1);
  });

  it('as fast as it goes still pauses after an error, so that an outage does not use up the day', async () => {
    const { router, endpoint } = await against(() => ({ status: 503, json: { code: 'zone-unavailable' } }));
    const interruption = new AbortController();
    setTimeout(() => {
      interruption.abort();
    }, 600);
    await placeOrders(endpoint, requestsOf(10_000), MAX, 2, interruption.signal, new PlacementRecord());
    expect(router.requests.length).toBeGreaterThanOrEqual(2);
    expect(router.requests.length).toBeLessThanOrEqual(6);
  });

  it('counts a router that is not there as such', async () => {
    const { router, endpoint } = await against(created);
    await router.close();
    const record = new PlacementRecord();
    await placeOrders(endpoint, requestsOf(3), MAX, 2, new AbortController().signal, record);
    expect(Object.fromEntries(record.errorsByCode)).toEqual({ ECONNREFUSED: 3 });
  });

  it('in an open loop does not wait for answers, and counts latency from the instant an order was due', async () => {
    const { endpoint } = await against(async () => {
      await sleep(200);
      return created();
    });
    const record = new PlacementRecord();
    const startedAtMs = performance.now();
    // Ten orders an hour apart, 360,000 times as fast: one every 10 ms, and only two may be out at once.
    const pace = { kind: 'scaled', speed: 360_000 } as const;
    await placeOrders(endpoint, requestsOf(10, 3_600_000), pace, 2, new AbortController().signal, record);
    expect(performance.now() - startedAtMs).toBeGreaterThanOrEqual(5 * 200);
    // The last one was due after 90 ms and went after 800 ms.
    expect(record.latencyMs().max).toBeGreaterThan(850);
  });

  it('keeps to the hours of the day', async () => {
    const arrivals: number[] = [];
    const { endpoint } = await against(() => {
      arrivals.push(performance.now());
      return created();
    });
    const pace = { kind: 'scaled', speed: 36_000 } as const;
    const startedAtMs = performance.now();
    await placeOrders(
      endpoint,
      requestsOf(5, 3_600_000),
      pace,
      64,
      new AbortController().signal,
      new PlacementRecord(),
    );
    expect(arrivals.length).toBe(5);
    arrivals.forEach((arrival, index) => {
      expect(arrival - startedAtMs).toBeGreaterThanOrEqual(index * 100 - 2);
    });
  });

  it('sends no more once it is interrupted, and still takes the answers of what was sent', async () => {
    const interruption = new AbortController();
    let number = 0;
    const { router, endpoint } = await against(async () => {
      number += 1;
      if (number === 3) interruption.abort();
      await sleep(20);
      return created();
    });
    const record = new PlacementRecord();
    await placeOrders(endpoint, requestsOf(50), MAX, 3, interruption.signal, record);
    expect(router.requests.length).toBeLessThanOrEqual(6);
    expect(record.acknowledged.length).toBe(router.requests.length);
  });

  it('ends at once when it is interrupted while waiting for an hour', async () => {
    const { router, endpoint } = await against(created);
    const interruption = new AbortController();
    const pace = { kind: 'scaled', speed: 1 } as const;
    const ended = placeOrders(endpoint, requestsOf(3, 3_600_000), pace, 8, interruption.signal, new PlacementRecord());
    while (router.requests.length === 0) await sleep(5);
    interruption.abort();
    await ended;
    expect(router.requests.length).toBe(1);
  });
});
