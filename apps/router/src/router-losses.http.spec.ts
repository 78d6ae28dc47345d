import 'reflect-metadata';
import { randomBytes } from 'node:crypto';
import { connect } from 'node:net';
import { newUuid, toId } from '@borough/topology';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { dieUnanswered, FakeCoordinator, FakeZone, refuseAs, staySilent } from './far-side.js';
import { RouterUnderTest } from './router-under-test.js';

/** Shard 1 is owned by zone a; b and c hold the same rows. */
const TO_A = { headers: { 'traffic-tag': 'shard:1' } };
const WRITE_TO_A = { method: 'POST', headers: { 'traffic-tag': 'shard:1', 'idempotency-key': 'k1' } } as const;

let coordinator: FakeCoordinator;
let a: FakeZone;
let b: FakeZone;
let c: FakeZone;
let router: RouterUnderTest;

beforeEach(async () => {
  coordinator = await new FakeCoordinator().start();
  [a, b, c] = await Promise.all([new FakeZone('a').start(), new FakeZone('b').start(), new FakeZone('c').start()]);
  coordinator.addArea(1, '85196953fffffff', 'a');
  coordinator.addArea(2, '851f1d4bfffffff', 'b');
  router = await startRouter();
});

afterEach(async () => {
  for (const zone of [a, b, c]) await zone.kill();
  await router.stop();
  await coordinator.kill();
});

async function startRouter(settings: Record<string, string> = {}): Promise<RouterUnderTest> {
  const started = await RouterUnderTest.start([coordinator], [a, b, c], { ZONE_DEADLINE_MS: '300', ...settings });
  await vi.waitFor(async () => {
    expect(await started.isReady()).toBe(true);
  });
  return started;
}

describe('a write', () => {
  it('to a zone that is down is refused for now, and sent to no other zone', async () => {
    await a.kill();
    const { status, headers, problem } = await router.send('/v1/orders', WRITE_TO_A);

    expect([status, problem.code, problem.retry]).toEqual([503, 'zone-unavailable', 'same-request-later']);
    expect(Number(headers['retry-after'])).toBeGreaterThan(0);
    expect([...b.received, ...c.received]).toEqual([]);
  });

  it('goes through again once the zone is back', async () => {
    await a.kill();
    await router.send('/v1/orders', WRITE_TO_A);
    await a.start();

    expect((await router.send('/v1/orders', WRITE_TO_A)).status).toBe(200);
  });

  it.each([
    ['dies before it answers', dieUnanswered],
    ['is never heard of again', staySilent],
  ])(
    'without a key has an unknown outcome when the zone that took it %s, and is not sent again',
    async (_how, answer) => {
      a.answer = answer;
      const headers = { 'traffic-tag': 'shard:1' };
      const { status, headers: answered, problem } = await router.send('/v1/orders', { method: 'POST', headers });

      expect([status, problem.code, problem.retry]).toEqual([504, 'outcome-unknown', 'same-request-later']);
      expect(Number(answered['retry-after'])).toBeGreaterThan(0);
      expect(a.received).toHaveLength(1);
      expect([...b.received, ...c.received]).toEqual([]);
    },
  );

  it('with a key is sent again after its zone dropped it, byte for byte, and its client sees the answer alone', async () => {
    let drops = 2;
    const { answer } = a;
    a.answer = (response, request) => {
      drops -= 1;
      return drops < 0 ? answer(response, request) : dieUnanswered(response, request);
    };
    const { status, text } = await router.send('/v1/orders', { ...WRITE_TO_A, body: 'an order' });

    expect([status, text]).toEqual([200, '{"zone":"a"}']);
    expect(a.received.map(({ body, headers }) => [body.toString(), headers['idempotency-key']])).toEqual(
      Array.from({ length: 3 }, () => ['an order', 'k1']),
    );
  });

  it('with a key is sent again as soon as its zone is back', async () => {
    await router.stop();
    router = await startRouter({ HOLD_MAX_MS: '20000' });
    await a.kill();
    const write = router.send('/v1/orders', WRITE_TO_A);
    await expect.poll(() => router.count('borough_hold_requests')).toBe(1);
    await a.start();

    expect((await write).text).toBe('{"zone":"a"}');
  });

  it('with a key goes to the new owner when its zone is gone for good', async () => {
    await router.stop();
    router = await startRouter({ HOLD_MAX_MS: '20000' });
    await a.kill();
    const write = router.send('/v1/orders', WRITE_TO_A);
    await expect.poll(() => router.count('borough_hold_requests')).toBe(1);
    coordinator.say({ shard: 1, epoch: 2, state: 'serving', owner: 'c' });

    expect((await write).text).toBe('{"zone":"c"}');
    expect(c.received[0]?.headers).toMatchObject({ 'borough-epoch': '2', 'idempotency-key': 'k1' });
  });

  it.each([
    ['dies before it answers', dieUnanswered],
    ['is never heard of again', staySilent],
  ])('with a key keeps its unknown outcome when all that comes after it is worse: %s', async (_how, answer) => {
    a.answer = answer;
    const write = router.send('/v1/orders', WRITE_TO_A);
    await expect.poll(() => a.received.length).toBeGreaterThan(0);
    a.answer = refuseAs('shard-moving');
    const { status, problem } = await write;

    expect([status, problem.code]).toEqual([504, 'outcome-unknown']);
    expect(a.received.length).toBeGreaterThan(1);
    expect([...b.received, ...c.received]).toEqual([]);
  });

  it.each(['zone-unavailable', 'outcome-unknown'] as const)(
    'that its zone answers with %s is sent again if it has a key; else the answer is passed on as it came',
    async (code) => {
      const { answer } = a;
      let refusals = 2;
      a.answer = (response, request) => {
        refusals -= 1;
        return refusals < 0 ? answer(response, request) : refuseAs(code, { detail: 'No database.' })(response, request);
      };
      const without = await router.send('/v1/orders', { method: 'POST', headers: { 'traffic-tag': 'shard:1' } });
      const withKey = await router.send('/v1/orders', WRITE_TO_A);

      expect([without.problem.code, without.problem.detail]).toEqual([code, 'No database.']);
      expect([withKey.status, a.received.length]).toEqual([200, 3]);
    },
  );

  it('in another shard does not mind', async () => {
    await a.kill();
    const answer = await router.send('/v1/orders', { method: 'POST', headers: { 'traffic-tag': 'shard:2' } });

    expect([answer.status, answer.text]).toEqual([200, '{"zone":"b"}']);
  });

  it('to a zone whose address the router was not given is refused for now', async () => {
    coordinator.addArea(3, '85ad3617fffffff', 'd');
    const { status, problem } = await router.send('/v1/orders', {
      method: 'POST',
      headers: { 'traffic-tag': 'shard:3' },
    });

    expect([status, problem.code]).toEqual([503, 'zone-unavailable']);
  });
});

describe('a read', () => {
  it('goes on to another zone when the owner is down: every zone holds all rows', async () => {
    await a.kill();
    const { status, text } = await router.send('/v1/orders', TO_A);

    expect([status, text]).toEqual([200, '{"zone":"b"}']);
  });

  it.each([
    ['dies before it answers', dieUnanswered],
    ['is never heard of again', staySilent],
  ])('goes on when the owner takes it and %s', async (_how, answer) => {
    a.answer = answer;
    const { status, text } = await router.send('/v1/orders', TO_A);

    expect([status, text]).toEqual([200, '{"zone":"b"}']);
    expect(a.received).toHaveLength(1);
  });

  it('goes on when the owner has lost its database', async () => {
    a.answer = refuseAs('zone-unavailable');

    expect((await router.send('/v1/orders', TO_A)).text).toBe('{"zone":"b"}');
  });

  it('goes on through every zone that is down', async () => {
    await Promise.all([a.kill(), b.kill()]);

    expect((await router.send('/v1/orders', TO_A)).text).toBe('{"zone":"c"}');
  });

  it('is refused for now when all zones are down', async () => {
    await Promise.all([a.kill(), b.kill(), c.kill()]);
    const { status, headers, problem } = await router.send('/v1/orders', TO_A);

    expect([status, problem.code, headers['retry-after']]).toEqual([503, 'zone-unavailable', '1']);
  });

  it('does not go on when the owner answers with a refusal of its own', async () => {
    a.answer = (response) => {
      response.writeHead(404).end('{"code":"order-not-found"}');
    };

    expect((await router.send('/v1/orders', TO_A)).status).toBe(404);
    expect(b.received).toEqual([]);
  });

  it('of an id in a shard that nobody owns is asked of any zone, which can say that there is no such thing', async () => {
    await a.kill();
    const id = toId(
      'order',
      newUuid(99, 1_795_000_000_000, () => randomBytes(16)),
    );
    const { status, text } = await router.send(`/v1/orders/${id}`);
    const write = await router.send(`/v1/orders/${id}/cancel`, { method: 'POST' });

    expect([status, text]).toEqual([200, '{"zone":"b"}']);
    expect(b.received[0]?.headers).toMatchObject({ 'borough-shard': '99', 'borough-epoch': '0' });
    expect([write.status, write.problem.code]).toEqual([404, 'area-not-served']);
  });
});

it('an answer that breaks off is asked for again, elsewhere or with the same key', async () => {
  const { answer } = a;
  let breaks = 2;
  a.answer = (response, request) => {
    breaks -= 1;
    if (breaks < 0) return answer(response, request);
    response.writeHead(200, { 'content-length': '100' });
    response.write('half an answer', () => response.socket?.destroy());
  };

  expect((await router.send('/v1/orders', TO_A)).text).toBe('{"zone":"b"}');
  expect((await router.send('/v1/orders', WRITE_TO_A)).text).toBe('{"zone":"a"}');
  expect(a.received).toHaveLength(3);
});

it('a large answer that breaks off is never passed on as a whole one', async () => {
  a.answer = (response) => {
    response.writeHead(200, { 'content-length': '1000000' });
    response.write('half an answer', () => response.socket?.destroy());
  };

  await expect(router.send('/v1/orders', TO_A)).rejects.toThrow();
  expect((await router.send('/v1/orders', { headers: { 'traffic-tag': 'shard:2' } })).status).toBe(200);
});

it('no more than the bound is on its way to one zone; the rest is refused, and another zone does not mind', async () => {
  await router.stop();
  router = await startRouter({ MAX_FORWARDED: '1', ZONE_DEADLINE_MS: '30000' });
  let letGo = (): void => undefined;
  a.answer = (response) => {
    letGo = () => response.end('done');
  };
  const first = router.send('/v1/orders', WRITE_TO_A);
  await expect.poll(() => a.received.length).toBe(1);

  const second = await router.send('/v1/orders', WRITE_TO_A);
  const other = await router.send('/v1/orders', { method: 'POST', headers: { 'traffic-tag': 'shard:2' } });
  letGo();

  expect([second.status, second.problem.code, second.headers['retry-after']]).toEqual([503, 'overloaded', '1']);
  expect(other.status).toBe(200);
  expect((await first).text).toBe('done');
  a.answer = new FakeZone('a').answer;
  expect((await router.send('/v1/orders', WRITE_TO_A)).status).toBe(200);
});

it('a client that goes away while it sends leaves nothing behind: no zone hears of it', async () => {
  const socket = connect(Number(new URL(router.url).port), '127.0.0.1');
  socket.write(
    'POST /v1/orders HTTP/1.1\r\nhost: x\r\ntraffic-tag: shard:1\r\ncontent-length: 100\r\n\r\nhalf a body',
    () => socket.destroy(),
  );
  const refusals = async (): Promise<string> => (await router.send('/metrics')).text;
  await expect.poll(refusals).toMatch(/borough_refusals_total\{code="malformed-request"\} [1-9]/);

  expect(a.received).toEqual([]);
});

describe('the loss of every coordinator', () => {
  it('costs a router that has a table nothing (P7)', async () => {
    await coordinator.kill();

    expect((await router.send('/v1/orders', WRITE_TO_A)).text).toBe('{"zone":"a"}');
    expect((await router.send('/v1/orders', { headers: { 'traffic-tag': 'geo:891f1d48943ffff' } })).text).toBe(
      '{"zone":"b"}',
    );
    expect(await router.isReady()).toBe(true);
  });

  it('lets a place that is not in the table be refused as before', async () => {
    await coordinator.kill();
    const { status, problem } = await router.send('/v1/orders', { headers: { 'traffic-tag': 'shard:77' } });

    expect([status, problem.code]).toEqual([404, 'area-not-served']);
  });

  it('makes a router that starts then wait, refuse for now, and serve as soon as one is back', async () => {
    await router.stop();
    await coordinator.kill();
    router = await RouterUnderTest.start([coordinator], [a, b, c]);
    const before = await router.send('/v1/orders', WRITE_TO_A);
    const wasReady = await router.isReady();
    await coordinator.start();
    await expect.poll(() => router.isReady()).toBe(true);

    expect([before.status, before.problem.code, before.headers['retry-after']]).toEqual([503, 'routing-unknown', '1']);
    expect(wasReady).toBe(false);
    expect((await router.send('/v1/orders', WRITE_TO_A)).status).toBe(200);
  });
});
