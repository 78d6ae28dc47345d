import { type NestFastifyApplication } from '@nestjs/platform-fastify';
import { newUuid, parseId, toId } from '@borough/topology';
import { cellToLatLng, latLngToCell } from 'h3-js';
import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { createZoneDatabase, redisUrl, type ZoneDatabase } from '../../../test/support/databases.js';
import { readZoneConfig } from './platform/zone.config.js';
import { startZone } from './zone.js';

const OURS = 5;
const THEIRS = 6;
const CELL = latLngToCell(53.1, 8.8, 5);
const THEIR_CELL = latLngToCell(48.1, 11.5, 5);
const CUSTOMER = 'cus_01h455vb4pex5vsknk084sn02q';

let database: ZoneDatabase;
let app: NestFastifyApplication;
let url: string;
let storeId: string;
let keys = 0;

beforeAll(async () => {
  database = await createZoneDatabase();
  await database.own(OURS, { owner: 'a', epoch: 3 });
  await database.own(THEIRS, { owner: 'b', epoch: 4 });
  await putArea(OURS, CELL);
  await putArea(THEIRS, THEIR_CELL);
  app = await zoneOn(database);
  url = await app.getUrl();
  await ready(url);
  storeId = (await created(post('/v1/stores', store()))).id;
});

afterAll(async () => {
  await app.close();
  await database.drop();
});

beforeEach(() => {
  keys += 1;
});

describe('a zone that owns no shard', () => {
  it('is ready, and sends every write to its owner', async () => {
    const empty = await createZoneDatabase();
    await empty.own(OURS, { owner: 'b', epoch: 9 });
    const idle = await zoneOn(empty);
    const idleUrl = await idle.getUrl();
    await ready(idleUrl);
    const order = toId(
      'order',
      newUuid(OURS, Date.now(), () => randomBytes(16)),
    );
    const answer = fetch(`${idleUrl}/v1/orders/${order}/accept`, {
      method: 'POST',
      headers: { ...JSON_TYPE, 'idempotency-key': 'k' },
      body: '{}',
    });
    expect(await refused(answer, 421, 'wrong-zone')).toMatchObject({ shard: OURS, owner: 'b', epoch: 9 });
    await idle.close();
    await empty.drop();
  });
});

describe('placing an order', () => {
  it('writes the order, its event and its key together, in the shard of the store, at the epoch of the owner', async () => {
    const order = await created(post('/v1/orders', anOrder()));
    const id = parseId(order.id);
    expect(id).toMatchObject({ kind: 'order', shard: OURS });
    expect(await database.query('SELECT shard, epoch, version FROM orders WHERE id = $1', [id?.uuid])).toEqual([
      { shard: OURS, epoch: 3, version: 1 },
    ]);
    expect(
      await database.query('SELECT kind, order_version, shard, epoch FROM order_events WHERE order_id = $1', [
        id?.uuid,
      ]),
    ).toEqual([{ kind: 'order-placed', order_version: 1, shard: OURS, epoch: 3 }]);
  });

  it('gives back what was asked, with times in UTC', async () => {
    const body = { ...anOrder(), note: 'ring twice 🔔', readyAt: '2026-11-22T20:00:00+02:00' };
    const order = await created(post('/v1/orders', body));
    expect(order).toMatchObject({ ...body, readyAt: '2026-11-22T18:00:00.000Z', status: 'placed', version: 1 });
    expect(await (await fetch(`${url}/v1/orders/${order.id}`)).json()).toEqual(order);
  });

  it('stores nothing at all when the store does not exist', async () => {
    const before = await rowCounts();
    const unknown = toId(
      'store',
      newUuid(OURS, Date.now(), () => randomBytes(16)),
    );
    await refused(post('/v1/orders', { ...anOrder(), storeId: unknown }), 404, 'store-not-found');
    expect(await rowCounts()).toEqual(before);
  });
});

describe('an Idempotency-Key (P10)', () => {
  it('has one effect, and every repetition the same bytes', async () => {
    const first = await (await post('/v1/orders', anOrder())).text();
    const again = await post('/v1/orders', anOrder());
    expect(await again.text()).toBe(first);
    expect(again.status).toBe(201);
    expect(again.headers.get('idempotency-replayed')).toBe('true');
  });

  it('has one effect when 50 requests with it arrive at once', async () => {
    const before = await rowCounts();
    const answers = await Promise.all(Array.from({ length: 50 }, () => post('/v1/orders', anOrder())));
    const bodies = new Set(await Promise.all(answers.map((answer) => answer.text())));
    expect(answers.map((answer) => answer.status)).toEqual(Array.from({ length: 50 }, () => 201));
    expect(bodies.size).toBe(1);
    expect((await rowCounts()).orders).toBe(before.orders + 1);
  });

  it('confirms a replay with a write of its own, which the ownership trigger checks (T9)', async () => {
    await created(post('/v1/orders', anOrder()));
    await created(post('/v1/orders', anOrder()));
    const rows = await database.query('SELECT replays, version FROM idempotency_keys WHERE key = $1', [`key-${keys}`]);
    expect(rows).toEqual([{ replays: 1, version: 2 }]);
    await database.own(OURS, { owner: 'a', epoch: 3, state: 'fenced' });
    await refused(post('/v1/orders', anOrder()), 503, 'shard-moving');
    await database.own(OURS, { owner: 'a', epoch: 3 });
  });

  it('is refused with another body, and keeps its first effect', async () => {
    const order = await created(post('/v1/orders', anOrder()));
    await refused(post('/v1/orders', { ...anOrder(), note: 'other' }), 422, 'idempotency-key-reused');
    expect((await created(post('/v1/orders', anOrder()))).id).toBe(order.id);
  });

  it('belongs to one route', async () => {
    await created(post('/v1/orders', anOrder()));
    await created(post('/v1/stores', store()));
  });

  it('can be used again after a refusal', async () => {
    await refused(post('/v1/orders', { ...anOrder(), items: [] }), 422, 'validation-failed');
    await created(post('/v1/orders', anOrder()));
  });

  it('is required, and one plain header', async () => {
    const missing = fetch(`${url}/v1/orders`, { method: 'POST', headers: JSON_TYPE, body: JSON.stringify(anOrder()) });
    await refused(missing, 400, 'idempotency-key-required');
    for (const key of ['with space', 'x'.repeat(256), 'ü']) {
      await refused(post('/v1/orders', anOrder(), { 'idempotency-key': key }), 400, 'malformed-idempotency-key');
    }
  });
});

describe('changing an order', () => {
  it('is seen by whoever reads the order from then on', async () => {
    const order = await created(post('/v1/orders', anOrder()));
    const accepted = await changed(post(`/v1/orders/${order.id}/accept`, {}));
    expect(accepted).toEqual({ ...order, status: 'accepted', version: 2 });
    expect(await (await fetch(`${url}/v1/orders/${order.id}`)).json()).toEqual(accepted);
    const cancelled = await changed(post(`/v1/orders/${order.id}/cancel`, { reason: 'the oven broke' }));
    expect(cancelled).toEqual({ ...order, status: 'cancelled', version: 3 });
    expect(await (await fetch(`${url}/v1/orders/${order.id}`)).json()).toEqual(cancelled);
  });

  it('has one effect per key, and every repetition the same bytes', async () => {
    const order = await created(post('/v1/orders', anOrder()));
    const answers = await Promise.all(Array.from({ length: 20 }, () => post(`/v1/orders/${order.id}/accept`, {})));
    expect(answers.map(({ status }) => status)).toEqual(Array.from({ length: 20 }, () => 200));
    expect(answers.filter(({ headers }) => headers.get('idempotency-replayed') === 'true')).toHaveLength(19);
    expect(new Set(await Promise.all(answers.map((answer) => answer.text()))).size).toBe(1);
  });

  it('has one winner when many ask with keys of their own; the others are told the status and what is allowed', async () => {
    const order = await created(post('/v1/orders', anOrder()));
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_none, n) =>
        read(post(`/v1/orders/${order.id}/accept`, {}, { 'idempotency-key': `racer-${keys}-${n}` })),
      ),
    );
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(1);
    const refusals = answers.filter(({ status }) => status === 409);
    expect(refusals).toHaveLength(19);
    for (const { body } of refusals) {
      expect(body).toMatchObject({
        code: 'illegal-transition',
        status: 409,
        retry: 'never',
        orderStatus: 'accepted',
        allowedTransitions: ['cancel'],
      });
    }
  });

  it('that was refused by the status may be asked again with its key', async () => {
    const order = await created(post('/v1/orders', anOrder()));
    await changed(post(`/v1/orders/${order.id}/cancel`, {}));
    await refused(post(`/v1/orders/${order.id}/accept`, {}), 409, 'illegal-transition');
    const other = await created(post('/v1/orders', anOrder(), { 'idempotency-key': `other-${keys}` }));
    await changed(post(`/v1/orders/${other.id}/accept`, {}));
  });

  it('belongs to one order: the same key for another order is refused', async () => {
    const one = await created(post('/v1/orders', anOrder()));
    const two = await created(post('/v1/orders', anOrder(), { 'idempotency-key': `two-${keys}` }));
    await changed(post(`/v1/orders/${one.id}/accept`, {}));
    await refused(post(`/v1/orders/${two.id}/accept`, {}), 422, 'idempotency-key-reused');
  });

  it('is refused while the shard moves, and done when it serves again (P5)', async () => {
    const order = await created(post('/v1/orders', anOrder()));
    await database.own(OURS, { owner: 'a', epoch: 3, state: 'moving' });
    const answer = await post(`/v1/orders/${order.id}/accept`, {});
    expect(answer.headers.get('retry-after')).toBe('1');
    expect(await answer.json()).toMatchObject({ code: 'shard-moving', shard: OURS, owner: 'a', epoch: 3 });
    await database.own(OURS, { owner: 'a', epoch: 3 });
    await changed(post(`/v1/orders/${order.id}/accept`, {}));
  });

  it('is refused while the order is held, which whoever reads it sees, and done when the hold ends (M8)', async () => {
    const order = await created(post('/v1/orders', anOrder()));
    await database.query(
      `INSERT INTO shard_holds (shard, held_epoch, epoch, reason, move_id, since)
       VALUES ($1, 4, 3, 'failover', 'mov_1', '2026-11-22T19:30:00.123Z')`,
      [OURS],
    );
    const hold = { reason: 'failover', since: '2026-11-22T19:30:00.123Z' };
    const answer = await post(`/v1/orders/${order.id}/accept`, {});
    expect([answer.status, answer.headers.get('retry-after')]).toEqual([423, '1']);
    expect(await answer.json()).toMatchObject({ code: 'order-held', retry: 'same-request-later', ...hold });
    expect(await (await fetch(`${url}/v1/orders/${order.id}`)).json()).toEqual({ ...order, hold });
    const list = await (await fetch(`${url}/v1/customers/${CUSTOMER}/orders?limit=1`)).json();
    expect(list).toMatchObject({ orders: [{ id: order.id, hold }] });
    await database.query('UPDATE shard_holds SET released_at = now()');
    await changed(post(`/v1/orders/${order.id}/accept`, {}));
  });

  it('tells an order that is not there from a wrong id, a wrong area and a wrong body', async () => {
    const order = await created(post('/v1/orders', anOrder()));
    const idIn = (shard: number): string =>
      toId(
        'order',
        newUuid(shard, Date.now(), () => randomBytes(16)),
      );
    await refused(post(`/v1/orders/${idIn(OURS)}/accept`, {}), 404, 'order-not-found');
    await refused(post('/v1/orders/ord_ZZ/accept', {}), 400, 'malformed-id');
    await refused(post(`/v1/orders/${storeId}/accept`, {}), 400, 'wrong-id-type');
    const theirs = await refused(post(`/v1/orders/${idIn(THEIRS)}/cancel`, {}), 421, 'wrong-zone');
    expect(theirs).toMatchObject({ shard: THEIRS, owner: 'b', epoch: 4 });
    const mismatch = post(`/v1/orders/${order.id}/accept`, {}, { 'borough-shard': String(THEIRS) });
    expect(await refused(mismatch, 422, 'tag-mismatch')).toMatchObject({ detail: `Send Traffic-Tag: ${order.id}` });
    await refused(post(`/v1/orders/${order.id}/accept`, { status: 'delivered' }), 422, 'validation-failed');
    await refused(post(`/v1/orders/${order.id}/deliver`, {}), 404, 'route-not-found');
    const noKey = fetch(`${url}/v1/orders/${order.id}/accept`, { method: 'POST', headers: JSON_TYPE, body: '{}' });
    await refused(noKey, 400, 'idempotency-key-required');
  });
});

describe('the OpenAPI document', () => {
  it('has every route that a zone answers', async () => {
    const document = (await (await fetch(`${url}/openapi.json`)).json()) as { paths: Record<string, object> };
    expect(Object.keys(document.paths)).toEqual(
      expect.arrayContaining(['/v1/orders', '/v1/orders/{orderId}/accept', '/v1/orders/{orderId}/cancel']),
    );
  });
});

describe('a write that reached the wrong place', () => {
  it('is sent to the owner by zone and epoch: 421', async () => {
    const problem = await refused(post('/v1/stores', store(THEIR_CELL)), 421, 'wrong-zone');
    expect(problem).toMatchObject({ shard: THEIRS, owner: 'b', epoch: 4, retry: 'refresh-routing-then-retry' });
  });

  it('is told the right tag when router and body disagree', async () => {
    const problem = await refused(
      post('/v1/orders', anOrder(), { 'borough-shard': String(THEIRS) }),
      422,
      'tag-mismatch',
    );
    expect(problem).toMatchObject({ detail: `Send Traffic-Tag: ${storeId}` });
  });

  it('is told that nobody serves the place', async () => {
    await refused(post('/v1/stores', { ...store(), location: { latitude: 0, longitude: 0 } }), 404, 'area-not-served');
  });
});

describe('reading', () => {
  it('answers for rows of every shard: a zone holds complete data (P6)', async () => {
    const id = await plantTheirStore();
    const answer = await fetch(`${url}/v1/stores/${id}`);
    expect(await answer.json()).toMatchObject({ id, name: 'theirs' });
  });

  it('lists a customer’s orders newest first, page by page, each once', async () => {
    const customerId = toId(
      'customer',
      newUuid(0, Date.now(), () => randomBytes(16)),
    );
    const placed: string[] = [];
    for (let n = 0; n < 5; n += 1) {
      const order = await created(
        post('/v1/orders', { ...anOrder(), customerId }, { 'idempotency-key': `${customerId}-${n}` }),
      );
      placed.unshift(order.id);
    }
    const seen: string[] = [];
    let next: string | undefined;
    do {
      const query = next === undefined ? '' : `&cursor=${next}`;
      const answer = await fetch(`${url}/v1/customers/${customerId}/orders?limit=2${query}`);
      const page = (await answer.json()) as { orders: { id: string }[]; next?: string };
      seen.push(...page.orders.map((order) => order.id));
      next = page.next;
    } while (next !== undefined);
    expect(seen).toEqual(placed);
  });

  it('says what is wrong with a page request', async () => {
    const list = `${url}/v1/customers/${CUSTOMER}/orders`;
    for (const query of ['limit=0', 'limit=101', 'limit=x', 'limit=1.5', 'other=1', 'limit=1&limit=2']) {
      await refused(fetch(`${list}?${query}`), 400, 'malformed-query');
    }
    await refused(fetch(`${list}?cursor=nonsense`), 400, 'malformed-cursor');
  });

  it('gives the same store page from the cache as from the database', async () => {
    const answer = await fetch(`${url}/v1/stores/${storeId}`);
    expect(answer.status).toBe(200);
    const cached = await fetch(`${url}/v1/stores/${storeId}`);
    expect(await cached.json()).toEqual(await answer.json());
  });

  it('tells an unknown id from a malformed one and from one of another kind', async () => {
    const unknown = toId(
      'order',
      newUuid(OURS, Date.now(), () => randomBytes(16)),
    );
    await refused(fetch(`${url}/v1/orders/${unknown}`), 404, 'order-not-found');
    await refused(fetch(`${url}/v1/couriers/${unknown}`), 400, 'wrong-id-type');
    for (const id of ['1', 'ord_', 'ord_ZZ', unknown.toUpperCase(), `${unknown}x`, '%00', 'ord_%27OR1=1--']) {
      await refused(fetch(`${url}/v1/orders/${id}`), 400, 'malformed-id');
    }
  });
});

describe('a body that does not fit is a 4xx, never a 5xx', () => {
  const bodies: [string, unknown][] = [
    ['no items', { items: [] }],
    ['101 items', { items: Array.from({ length: 101 }, () => ({ name: 'x', quantity: 1 })) }],
    ['a negative quantity', { items: [{ name: 'x', quantity: -1 }] }],
    ['half a piece', { items: [{ name: 'x', quantity: 0.5 }] }],
    ['a huge quantity', { items: [{ name: 'x', quantity: 1e300 }] }],
    ['NUL in a text', { note: 'a\0b' }],
    ['half a surrogate pair', { note: '\ud800' }],
    ['a text that is too long', { note: 'x'.repeat(501) }],
    ['a place off the globe', { dropOff: { latitude: 91, longitude: 0 } }],
    ['a place that is no number', { dropOff: { latitude: 'NaN', longitude: null } }],
    ['an extra field', { priceMinor: 1 }],
    ['a status of its own', { status: 'delivered' }],
    ['a time without an offset', { readyAt: '2026-11-22T20:00:00' }],
    ['a time outside the calendar', { readyAt: '0000-01-01T00:00:00Z' }],
    ['the id of a courier as store', { storeId: 'cou_01h455vb4pex5vsknk084sn02q' }],
    ['a number as id', { customerId: 7 }],
  ];
  it.each(bodies)('%s', async (_what, change) => {
    await refused(post('/v1/orders', { ...anOrder(), ...(change as object) }), 422, 'validation-failed');
  });

  it.each([
    ['null', 'null'],
    ['an array', '[]'],
    ['a string', '"x"'],
    ['1e999', '{"items": 1e999}'],
  ])('%s as a whole', async (_what, text) => {
    await refused(postText('/v1/orders', text), 422, 'validation-failed');
  });

  it.each([
    ['malformed JSON', '{"a":', 400, 'malformed-json'],
    ['nothing', '', 400, 'malformed-json'],
    ['a __proto__ key', '{"__proto__": {}}', 400, 'malformed-json'],
    ['10,000 nested arrays', '['.repeat(10_000) + ']'.repeat(10_000), 400, 'body-too-deep'],
    ['10 MB', `"${'x'.repeat(10_000_000)}"`, 413, 'body-too-large'],
  ])('%s', async (_what, text, status, code) => {
    await refused(postText('/v1/orders', text), status, code);
  });
});

interface Problem {
  code: string;
  [member: string]: unknown;
}

const JSON_TYPE = { 'content-type': 'application/json' };

/** Alone: replication between zones is the business of test/system. */
function zoneOn({ apiUrl, ownerUrl }: ZoneDatabase): Promise<NestFastifyApplication> {
  return startZone(
    readZoneConfig({
      ZONE_ID: 'a',
      HTTP_PORT: '0',
      API_DATABASE_URL: apiUrl,
      OWNER_DATABASE_URL: ownerUrl,
      PEER_DATABASE_URLS: '',
      REDIS_URL: redisUrl(),
      LOG_LEVEL: 'silent',
    }),
  );
}

async function ready(zoneUrl: string): Promise<void> {
  await vi.waitFor(async () => {
    expect((await fetch(`${zoneUrl}/health/ready`)).status).toBe(200);
  }, 10_000);
}

function post(path: string, body: object, headers: Record<string, string> = {}): Promise<Response> {
  return postText(path, JSON.stringify(body), headers);
}

function postText(path: string, body: string, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(url + path, {
    method: 'POST',
    headers: { ...JSON_TYPE, 'idempotency-key': `key-${keys}`, ...headers },
    body,
  });
}

async function created(answer: Promise<Response>): Promise<{ id: string }> {
  const { status, body } = await read(answer);
  expect(body).not.toHaveProperty('code');
  expect(status).toBe(201);
  return body as { id: string };
}

async function changed(answer: Promise<Response>): Promise<unknown> {
  const { status, body } = await read(answer);
  expect(body).not.toHaveProperty('code');
  expect(status).toBe(200);
  return body;
}

async function refused(answer: Promise<Response>, status: number, code: string): Promise<Problem> {
  const read_ = await read(answer);
  expect(read_.body).toMatchObject({ code, status });
  expect(read_.status).toBe(status);
  return read_.body as Problem;
}

async function read(answer: Promise<Response>): Promise<{ status: number; body: unknown }> {
  const response = await answer;
  return { status: response.status, body: await response.json() };
}

function store(cell = CELL): { name: string; location: { latitude: number; longitude: number } } {
  const [latitude, longitude] = cellToLatLng(cell);
  return { name: 'a store', location: { latitude, longitude } };
}

function anOrder(): object {
  return {
    storeId,
    customerId: CUSTOMER,
    items: [{ name: 'Rye bread', quantity: 2 }],
    dropOff: { latitude: 53.1, longitude: 8.8 },
  };
}

async function putArea(shard: number, cell: string): Promise<void> {
  await database.query(
    `INSERT INTO control.area (shard, name, cells, term_number, term_coordinator) VALUES ($1, $2, $3, 1, 'test')`,
    [shard, `area ${shard}`, [cell]],
  );
}

/** As replication brings it. */
async function plantTheirStore(): Promise<string> {
  const uuid = newUuid(THEIRS, Date.now(), () => randomBytes(16));
  await database.query('ALTER TABLE stores DISABLE TRIGGER borough_inserted');
  await database.query(
    `INSERT INTO stores (id, shard, epoch, name, latitude, longitude, created_at) VALUES ($1, $2, 4, 'theirs', 1, 2, now())`,
    [uuid, THEIRS],
  );
  await database.query('ALTER TABLE stores ENABLE ALWAYS TRIGGER borough_inserted');
  return toId('store', uuid);
}

async function rowCounts(): Promise<{ orders: number; events: number; keys: number }> {
  const [counts] = await database.query<{ orders: number; events: number; keys: number }>(
    `SELECT (SELECT count(*) FROM orders) AS orders, (SELECT count(*) FROM order_events) AS events,
            (SELECT count(*) FROM idempotency_keys) AS keys`,
  );
  if (counts === undefined) throw new Error('no counts');
  return counts;
}
