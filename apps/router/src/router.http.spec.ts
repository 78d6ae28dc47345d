import 'reflect-metadata';
import { randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import { newUuid, toId } from '@borough/topology';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { FakeCoordinator, FakeZone, type ReceivedRequest } from './far-side.js';
import { RouterUnderTest } from './router-under-test.js';

const AMSTERDAM = { area: '85196953fffffff', tag: 'geo:891969c9b27ffff' };
const BERLIN = { area: '851f1d4bfffffff', tag: 'geo:891f1d48943ffff' };
const CAPE_TOWN = { tag: 'geo:89ad3615113ffff' };
const UUID = /^[0-9a-f-]{36}$/;

const coordinator = new FakeCoordinator();
const a = new FakeZone('a');
const b = new FakeZone('b');
let router: RouterUnderTest;

beforeAll(async () => {
  await Promise.all([coordinator.start(), a.start(), b.start()]);
  coordinator.addArea(1, AMSTERDAM.area, 'a', 1);
  coordinator.addArea(2, BERLIN.area, 'b', 5);
  router = await RouterUnderTest.start([coordinator], [a, b], { MAX_BODY_BYTES: '500000' });
  await vi.waitFor(async () => {
    expect(await router.isReady()).toBe(true);
  });
});

beforeEach(() => {
  for (const zone of [a, b]) {
    zone.received.length = 0;
    zone.answer = new FakeZone(zone.zoneId).answer;
  }
});

afterAll(async () => {
  await router.stop();
  await Promise.all([coordinator.kill(), a.kill(), b.kill()]);
});

function idIn(shard: number): string {
  return toId(
    'order',
    newUuid(shard, 1_795_000_000_000, () => randomBytes(16)),
  );
}

/** The one request that reached a zone. */
function only(zone: FakeZone): ReceivedRequest {
  expect(zone.received).toHaveLength(1);
  const [received] = zone.received;
  if (received === undefined) throw new Error('nothing was received');
  return received;
}

describe('a request reaches the owner of its shard', () => {
  it.each([
    ['by the cell of a place', '/v1/orders', { 'traffic-tag': BERLIN.tag }],
    ['by a shard number', '/v1/orders', { 'traffic-tag': 'shard:2' }],
    ['by an id in the header', '/v1/orders', { 'traffic-tag': idIn(2) }],
    ['by an id in the path', `/v1/orders/${idIn(2)}`, {}],
    ['by its cookie', '/v1/orders', { cookie: 'traffic_tag=shard%3A2' }],
    ['by its header, whatever the path says', `/v1/orders/${idIn(1)}`, { 'traffic-tag': 'shard:2' }],
  ])('%s', async (_how, path, headers) => {
    const { status, text } = await router.send(path, { method: 'POST', headers });

    expect([status, text]).toEqual([200, '{"zone":"b"}']);
    expect(only(b).target).toBe(path);
    expect(a.received).toEqual([]);
  });

  it('with its query', async () => {
    await router.send('/v1/orders?limit=2&cursor=a%2Fb', { headers: { 'traffic-tag': 'shard:1' } });
    expect(only(a).target).toBe('/v1/orders?limit=2&cursor=a%2Fb');
  });

  it('and is told the shard, the epoch and the request id by the router alone', async () => {
    const headers = {
      'traffic-tag': 'shard:2',
      'request-id': 'r-1',
      'borough-shard': '1',
      'borough-epoch': '99',
      'borough-zone': 'a',
      'x-forwarded-for': '10.0.0.1',
    };
    await router.send('/v1/orders', { headers });

    const received = only(b).headers;
    expect(received).toMatchObject({ 'borough-shard': '2', 'borough-epoch': '5', 'request-id': 'r-1' });
    expect(received).not.toHaveProperty('borough-zone');
    expect(received).not.toHaveProperty('x-forwarded-for');
    expect(received.host).toBe(new URL(b.url).host);
  });

  it('without what belongs to the connection of the client', async () => {
    const head = 'connection: close, x-hop\r\nx-hop: 1\r\nx-end: 2\r\nte: trailers\r\nproxy-connection: x\r\n';
    await router.raw(`GET /v1/orders HTTP/1.1\r\nhost: router\r\ntraffic-tag: shard:1\r\n${head}\r\n`);

    const { headers } = only(a);
    expect(headers['x-end']).toBe('2');
    expect(Object.keys(headers)).not.toEqual(expect.arrayContaining(['x-hop']));
    expect(headers).not.toHaveProperty('te');
    expect(headers).not.toHaveProperty('proxy-connection');
  });

  it('with each body byte for byte, whether or not it said its length', async () => {
    const body = randomBytes(300_000);
    const headers = { 'traffic-tag': 'shard:1', 'content-type': 'application/json', 'idempotency-key': 'k1' };
    await router.send('/v1/orders', { method: 'POST', headers, body });
    await router.send('/v1/orders', {
      method: 'POST',
      headers,
      body: Readable.from([body.subarray(0, 7), body.subarray(7)]),
    });

    expect(a.received.map((received) => received.body.equals(body))).toEqual([true, true]);
    expect(a.received.map(({ headers }) => headers['content-length'])).toEqual(['300000', '300000']);
    expect(a.received[0]?.headers).toMatchObject({ 'content-type': 'application/json', 'idempotency-key': 'k1' });
  });

  it('over connections that are kept', async () => {
    const before = b.connections;
    for (let sent = 0; sent < 20; sent += 1) await router.send('/v1/orders', { headers: { 'traffic-tag': 'shard:2' } });

    expect(b.received).toHaveLength(20);
    expect(b.connections - before).toBeLessThanOrEqual(1);
  });
});

describe('the answer of the zone', () => {
  it('comes back with its status, headers and body, and the version of the table', async () => {
    a.answer = (response) => {
      response.writeHead(201, {
        'x-kept': 'yes',
        'set-cookie': ['a=1', 'b=2'],
        'content-type': 'text/plain',
        'request-id': 'zone',
      });
      response.end('créé 🍕');
    };
    const { status, headers, text } = await router.send('/v1/orders', {
      method: 'POST',
      headers: { 'traffic-tag': 'shard:1', 'request-id': 'mine' },
    });

    expect([status, text]).toEqual([201, 'créé 🍕']);
    expect(headers).toMatchObject({
      'x-kept': 'yes',
      'set-cookie': ['a=1', 'b=2'],
      'content-type': 'text/plain',
      'request-id': 'mine',
      // 4 x 1 + 1 for shard 1, 4 x 5 + 1 for shard 2.
      'borough-table-version': '26',
    });
  });

  it('is passed on when it is a refusal, problem and all', async () => {
    a.answer = (response) => {
      response.writeHead(503, { 'retry-after': '3', 'content-type': 'application/problem+json' });
      response.end('{"code":"shard-moving"}');
    };
    const { status, headers, problem } = await router.send('/v1/orders', { headers: { 'traffic-tag': 'shard:1' } });

    expect([status, headers['retry-after'], problem.code]).toEqual([503, '3', 'shard-moving']);
    expect(b.received).toEqual([]);
  });

  it.each([204, 304])('may have no body: %d', async (code) => {
    a.answer = (response) => {
      response.writeHead(code, { etag: '"1"' }).end();
    };
    const { status, headers, text } = await router.send('/v1/stores', {
      headers: { 'traffic-tag': 'shard:1', 'if-none-match': '"1"' },
    });

    expect([status, headers['etag'], text]).toEqual([code, '"1"', '']);
    expect(only(a).headers['if-none-match']).toBe('"1"');
  });

  it('to HEAD is the head alone', async () => {
    a.answer = (response) => {
      response.writeHead(200, { 'content-length': '1234', etag: '"7"' }).end();
    };
    const answer = await router.send('/v1/stores', { method: 'HEAD', headers: { 'traffic-tag': 'shard:1' } });

    expect([answer.status, answer.headers['content-length'], answer.text]).toEqual([200, '1234', '']);
    expect(only(a).method).toBe('HEAD');
    expect((await router.send('/v1/stores', { headers: { 'traffic-tag': 'shard:2' } })).status).toBe(200);
  });
});

describe('a request is refused before any zone hears of it', () => {
  it.each([
    ['without a tag', '/v1/orders', {}, 400, 'tag-required'],
    ['with a tag that cannot be read', '/v1/orders', { 'traffic-tag': 'shard:x' }, 400, 'malformed-tag'],
    ['for a place no area covers', '/v1/orders', { 'traffic-tag': CAPE_TOWN.tag }, 404, 'area-not-served'],
    ['for a shard no area has', '/v1/orders', { 'traffic-tag': 'shard:4000' }, 404, 'area-not-served'],
    ['with a path of two readings', '/v1/stores/%2e%2e/orders', { 'traffic-tag': 'shard:1' }, 400, 'malformed-request'],
    ['outside what is routed', '/v2/orders', { 'traffic-tag': 'shard:1' }, 404, 'route-not-found'],
  ])('%s', async (_what, path, headers, status, code) => {
    const answer = await router.send(path, { method: 'POST', headers });

    expect([answer.status, answer.problem.code]).toEqual([status, code]);
    expect(answer.headers['content-type']).toContain('application/problem+json');
    expect(answer.headers['request-id']).toMatch(UUID);
    expect([...a.received, ...b.received]).toEqual([]);
  });

  it.each([
    ['in absolute form', 'GET http://router/v1/orders HTTP/1.1\r\nhost: router\r\ntraffic-tag: shard:1'],
    ['with two tags', 'GET /v1/orders HTTP/1.1\r\nhost: router\r\ntraffic-tag: shard:1\r\nTraffic-Tag: shard:2'],
    ['to read, with a body', 'GET /v1/orders HTTP/1.1\r\nhost: router\r\ntraffic-tag: shard:1\r\ncontent-length: 2'],
    [
      'with two lengths',
      'POST /v1/orders HTTP/1.1\r\nhost: router\r\ntraffic-tag: shard:1\r\ncontent-length: 2\r\ncontent-length: 3',
    ],
  ])('%s', async (_what, head) => {
    const answer = await router.raw(`${head}\r\nconnection: close\r\n\r\n{}`);

    expect(answer).toMatch(/^HTTP\/1\.1 40[04] /);
    expect(answer).toContain('application/problem+json');
    expect([...a.received, ...b.received]).toEqual([]);
  });

  it('with a body that is too large, and the connection goes on when the length was said', async () => {
    const tooLarge = Buffer.alloc(10_000_000, 'x');
    const ten = `POST /v1/orders HTTP/1.1\r\nhost: x\r\ntraffic-tag: shard:1\r\ncontent-length: ${tooLarge.length}\r\n\r\n`;
    const next = 'GET /v1/orders HTTP/1.1\r\nhost: x\r\ntraffic-tag: shard:2\r\nconnection: close\r\n\r\n';
    const answers = await router.raw(ten + tooLarge.toString() + next);

    expect(answers.match(/HTTP\/1\.1 \d{3}/g)).toEqual(['HTTP/1.1 413', 'HTTP/1.1 200']);
    expect(answers).toContain('"code":"body-too-large"');
    expect(a.received).toEqual([]);
    expect(b.received).toHaveLength(1);
  });

  it('with a body that is too large and did not say so', async () => {
    const chunks = Readable.from(Array.from({ length: 100 }, () => Buffer.alloc(100_000, 'x')));
    const headers = { 'traffic-tag': 'shard:1' };
    const { status, problem } = await router.send('/v1/orders', { method: 'POST', headers, body: chunks });

    expect([status, problem.code]).toEqual([413, 'body-too-large']);
    expect(a.received).toEqual([]);
  });
});

it('a router answers for itself besides: health, metrics and what it offers', async () => {
  const { paths } = JSON.parse((await router.send('/openapi.json')).text) as { paths: object };

  expect(Object.keys(paths)).toContain('/v1/orders/{orderId}');
  expect((await router.send('/health/live')).status).toBe(200);
  expect((await router.send('/metrics')).text).toContain('borough_refusals_total');
});
