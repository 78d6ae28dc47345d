import 'reflect-metadata';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { FakeCoordinator, FakeZone, refuseAs } from './far-side.js';
import { RouterUnderTest } from './router-under-test.js';

let coordinator: FakeCoordinator;
let a: FakeZone;
let b: FakeZone;
let c: FakeZone;
let router: RouterUnderTest;

/** A router that thinks a owns shard 1 at epoch 1, and is told nothing unless it asks. */
beforeEach(async () => {
  coordinator = await new FakeCoordinator().start();
  [a, b, c] = await Promise.all([new FakeZone('a').start(), new FakeZone('b').start(), new FakeZone('c').start()]);
  coordinator.addArea(1, '85196953fffffff', 'a');
  router = await RouterUnderTest.start([coordinator], [a, b, c]);
  await vi.waitFor(async () => {
    expect(await router.isReady()).toBe(true);
  });
});

afterEach(async () => {
  await router.stop();
  await Promise.all([a.kill(), b.kill(), c.kill(), coordinator.kill()]);
});

function write(): ReturnType<RouterUnderTest['send']> {
  return router.send('/v1/orders', { method: 'POST', headers: { 'traffic-tag': 'shard:1' }, body: 'an order' });
}

describe('a zone that does not own the shard', () => {
  it('names who does: a router a hundred moves behind gets through with one extra hop, and then knows', async () => {
    a.answer = refuseAs('wrong-zone', { shard: 1, owner: 'b', epoch: 101 });
    coordinator.say({ shard: 1, epoch: 101, state: 'serving', owner: 'b' });
    const reroutes = await router.count('borough_reroutes_total');
    const { status, text } = await write();

    expect([status, text]).toEqual([200, '{"zone":"b"}']);
    expect(b.received).toHaveLength(1);
    expect(b.received[0]).toMatchObject({ headers: { 'borough-shard': '1', 'borough-epoch': '101' } });
    expect(b.received[0]?.body.toString()).toBe('an order');
    expect(await router.count('borough_reroutes_total')).toBe(reroutes + 1);
    await expect.poll(async () => (await write()).headers['borough-table-version']).toBe('405');
    const hops = a.received.length;
    await write();
    expect(a.received).toHaveLength(hops);
  });

  it('is believed with every coordinator away', async () => {
    await coordinator.kill();
    a.answer = refuseAs('wrong-zone', { shard: 1, owner: 'b', epoch: 2 });

    expect((await write()).text).toBe('{"zone":"b"}');
  });

  it('is believed once: the second such answer counts only if the table says another owner', async () => {
    a.answer = refuseAs('wrong-zone', { shard: 1, owner: 'b', epoch: 2 });
    b.answer = refuseAs('wrong-zone', { shard: 1, owner: 'c', epoch: 3 });
    coordinator.say({ shard: 1, epoch: 3, state: 'serving', owner: 'c' });

    expect((await write()).text).toBe('{"zone":"c"}');
    expect([a.received.length, b.received.length, c.received.length]).toEqual([1, 1, 1]);
  });

  it('and another that says so too: with nothing new in the table the 421 is passed on as it came', async () => {
    a.answer = refuseAs('wrong-zone', { shard: 1, owner: 'b', epoch: 2 });
    b.answer = refuseAs('wrong-zone', { shard: 1, owner: 'c', epoch: 3, detail: 'Not mine.' });
    const { status, problem } = await write();

    expect([status, problem.code, problem.detail, problem['owner']]).toEqual([421, 'wrong-zone', 'Not mine.', 'c']);
    expect([a.received.length, b.received.length, c.received.length]).toEqual([1, 1, 0]);
  });

  it.each([
    ['names nobody', {}],
    ['names a zone whose address this router was not given', { owner: 'z', epoch: 2 }],
    ['names itself', { owner: 'a', epoch: 1 }],
  ])('and %s: the table says who does', async (_how, facts) => {
    a.answer = refuseAs('wrong-zone', { shard: 1, ...facts });
    coordinator.say({ shard: 1, epoch: 2, state: 'serving', owner: 'c' });

    expect((await write()).text).toBe('{"zone":"c"}');
    expect(b.received).toEqual([]);
  });

  it('while the next move has begun: the write waits for its end', async () => {
    a.answer = refuseAs('wrong-zone', { shard: 1, owner: 'b', epoch: 2 });
    b.answer = refuseAs('wrong-zone', { shard: 1, owner: 'b', epoch: 2 });
    coordinator.say({ shard: 1, epoch: 2, state: 'fenced', owner: 'b', heir: 'c' });
    const held = write();
    await expect.poll(() => router.count('borough_hold_requests')).toBe(1);
    coordinator.say({ shard: 1, epoch: 3, state: 'serving', owner: 'c' });

    expect((await held).text).toBe('{"zone":"c"}');
  });

  it.each([
    ['does not serve yet', 'shard-moving', { owner: 'b', epoch: 2 }],
    ['has not heard of it yet', 'wrong-zone', { owner: 'a', epoch: 1 }],
  ] as const)(
    'names an heir that %s: that is asked again shortly, with every coordinator away',
    async (_how, code, facts) => {
      await coordinator.kill();
      a.answer = refuseAs('wrong-zone', { shard: 1, owner: 'b', epoch: 2 });
      const { answer } = b;
      let refusals = 2;
      b.answer = (response, request) => {
        refusals -= 1;
        return refusals < 0 ? answer(response, request) : refuseAs(code, { shard: 1, ...facts })(response, request);
      };

      expect((await write()).text).toBe('{"zone":"b"}');
      expect([a.received.length, b.received.length]).toEqual([1, 3]);
      expect(b.received[2]?.headers['borough-epoch']).toBe('2');
    },
  );

  it('and is behind what the table says is asked again a few times, and not as fast as it answers', async () => {
    coordinator.say({ shard: 1, epoch: 2, state: 'serving', owner: 'b' });
    await router.askForTable();
    b.answer = refuseAs('wrong-zone', { shard: 1, owner: 'a', epoch: 1 });
    const { status } = await write();

    expect(status).toBe(421);
    expect(b.received.length).toBeGreaterThan(1);
    expect(b.received.length).toBeLessThan(10);
    expect(a.received).toEqual([]);
  });

  it('names an heir that never hears of it: past the time the 421 is passed on as it came', async () => {
    a.answer = refuseAs('wrong-zone', { shard: 1, owner: 'b', epoch: 2 });
    b.answer = refuseAs('wrong-zone', { shard: 1, owner: 'a', epoch: 1, detail: 'Not mine.' });
    const { status, problem } = await write();

    expect([status, problem.code, problem.detail]).toEqual([421, 'wrong-zone', 'Not mine.']);
    expect(a.received).toHaveLength(1);
  });

  it('sends a read on as well', async () => {
    a.answer = refuseAs('wrong-zone', { shard: 1, owner: 'b', epoch: 2 });

    expect((await router.send('/v1/orders', { headers: { 'traffic-tag': 'shard:1' } })).text).toBe('{"zone":"b"}');
  });
});

it('a zone that owns the shard at a later epoch says so, and gets the write at that one at once', async () => {
  await coordinator.kill();
  const { answer } = a;
  a.answer = (response, request) =>
    request.headers['borough-epoch'] === '3'
      ? answer(response, request)
      : refuseAs('stale-epoch', { shard: 1, owner: 'a', epoch: 3 })(response, request);

  expect((await write()).text).toBe('{"zone":"a"}');
  expect(a.received).toHaveLength(2);
});

it('an answer that only looks like such a refusal is passed on as it is', async () => {
  a.answer = (response) => void response.writeHead(421, { 'content-type': 'application/problem+json' }).end('{"code":');
  const { status, text } = await write();

  expect([status, text]).toEqual([421, '{"code":']);
  expect(a.received).toHaveLength(1);
});
