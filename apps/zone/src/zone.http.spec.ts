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
  app = await startZone(
    readZoneConfig({
      ZONE_ID: 'a',
      HTTP_PORT: '0',
      API_DATABASE_URL: database.apiUrl,
      OWNER_DATABASE_URL: database.ownerUrl,
      // Alone: replication between zones is the business of test/system.
      PEER_DATABASE_URLS: '',
      REDIS_URL: redisUrl(),
      LOG_LEVEL: 'silent',
    }),
  );
  url = await app.getUrl();
  await vi.waitFor(async () => {
    expect((await fetch(`${url}/health/ready`)).status).toBe(200);
  }, 10_000);
  storeId = (await created(post('/v1/stores', store()))).id;
});

afterAll(async () => {
  await app.close();
  await database.drop();
});

beforeEach(() => {
  keys += 1;
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
