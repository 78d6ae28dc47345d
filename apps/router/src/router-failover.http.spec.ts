import 'reflect-metadata';
import { setTimeout as sleep } from 'node:timers/promises';
import { type RoutingEntry } from '@borough/topology';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { dieUnanswered, FakeCoordinator, FakeZone, refuseAs, staySilent } from './far-side.js';
import { type Answer, RouterUnderTest } from './router-under-test.js';

/** Zone b owns shard 1 from here on. */
const LEFT: RoutingEntry = { shard: 1, epoch: 2, state: 'serving', owner: 'b' };
const SOON = { timeout: 20_000 };

let coordinator: FakeCoordinator;
let a: FakeZone;
let b: FakeZone;
let c: FakeZone;
let router: RouterUnderTest;

/** Shard 1 is owned by zone a, which is about to be lost. Zones take as long as they like. */
beforeEach(async () => {
  coordinator = await new FakeCoordinator().start();
  [a, b, c] = await Promise.all([new FakeZone('a').start(), new FakeZone('b').start(), new FakeZone('c').start()]);
  coordinator.addArea(1, '85196953fffffff', 'a');
  coordinator.addArea(2, '851f1d4bfffffff', 'c');
  await startRouter();
});

afterEach(async () => {
  for (const zone of [a, b, c]) {
    zone.thaw();
    await zone.kill();
  }
  await router.stop();
  await coordinator.kill();
});

async function startRouter(settings: Record<string, string> = {}): Promise<void> {
  router = await RouterUnderTest.start([coordinator], [a, b, c], {
    HOLD_MAX_MS: '20000',
    ZONE_DEADLINE_MS: '30000',
    ZONE_SILENT_AFTER_MS: '100',
    ...settings,
  });
  await vi.waitFor(async () => {
    expect(await router.isReady()).toBe(true);
  });
}

async function restartRouter(settings: Record<string, string>): Promise<void> {
  await router.stop();
  await startRouter(settings);
}

let keys = 0;

function write(shard = 1): Promise<Answer> {
  keys += 1;
  const headers = { 'traffic-tag': `shard:${shard}`, 'idempotency-key': `k${keys}` };
  return router.send('/v1/orders', { method: 'POST', headers, body: 'an order' });
}

function read(headers: Record<string, string> = {}): Promise<Answer> {
  return router.send('/v1/orders', { headers: { 'traffic-tag': 'shard:1', ...headers } });
}

function keysAt(zone: FakeZone): unknown[] {
  return zone.received.filter(({ method }) => method === 'POST').map(({ headers }) => headers['idempotency-key']);
}

async function untilHeld(count: number): Promise<void> {
  await expect.poll(() => router.count('borough_hold_requests'), SOON).toBe(count);
}

/** The table says this, and the router has heard of it. */
async function say(...entries: RoutingEntry[]): Promise<void> {
  for (const entry of entries) coordinator.say(entry);
  await router.askForTable();
}

async function untilSilent(zone: FakeZone): Promise<void> {
  await expect.poll(() => router.count(`borough_silent_zones{zone="${zone.zoneId}"}`), SOON).toBe(1);
}

describe('a write that a lost zone has and does not answer', () => {
  it('is taken back as soon as the table says another owner, and sent to that one with the same key', async () => {
    a.answer = staySilent;
    const taken = write();
    await expect.poll(() => a.received.length).toBe(1);
    await say(LEFT);

    expect((await taken).text).toBe('{"zone":"b"}');
    expect(b.received[0]?.body.toString()).toBe('an order');
    expect(b.received[0]?.headers).toMatchObject({ 'borough-epoch': '2', 'idempotency-key': `k${keys}` });
  });

  it('is taken back when nobody tells the router of the new owner: it asks while a zone is silent', async () => {
    a.freeze();
    const taken = write();
    await untilSilent(a);
    coordinator.say(LEFT);

    expect((await taken).text).toBe('{"zone":"b"}');
  });

  it('waits for the owner to serve when the table says that the shard moves', async () => {
    a.answer = staySilent;
    const taken = write();
    await expect.poll(() => a.received.length).toBe(1);
    await say({ shard: 1, epoch: 2, state: 'fenced', owner: 'c', heir: 'b' });
    await untilHeld(1);
    await say({ ...LEFT, epoch: 3 });

    expect((await taken).text).toBe('{"zone":"b"}');
    expect(keysAt(c)).toEqual([]);
  });

  it('stays where it is without a key, which nobody may send twice', async () => {
    let answerNow = (): void => undefined;
    a.answer = (response) => {
      answerNow = () => response.end('done');
    };
    const stays = router.send('/v1/orders', { method: 'POST', headers: { 'traffic-tag': 'shard:1' } });
    await expect.poll(() => a.received.length).toBe(1);
    await say(LEFT);
    answerNow();

    expect((await stays).text).toBe('done');
    expect(b.received.filter(({ method }) => method === 'POST')).toEqual([]);
  });

  it('stays where it is when the same zone owns the shard at a later epoch, and in another shard', async () => {
    const answers: (() => void)[] = [];
    const hang = a.answer;
    a.answer = c.answer = (response, request) => void answers.push(() => void hang(response, request));
    const both = [write(1), write(2)];
    await expect.poll(() => answers.length).toBe(2);
    await say({ shard: 1, epoch: 2, state: 'serving', owner: 'a' });
    for (const answer of answers) answer();

    expect((await Promise.all(both)).map(({ status }) => status)).toEqual([200, 200]);
    expect([a.received.length, c.received.length]).toEqual([1, 1]);
  });

  it('goes on when the next owner does not answer either, and a third one is named', async () => {
    a.answer = b.answer = staySilent;
    const taken = write();
    await expect.poll(() => a.received.length).toBe(1);
    await say(LEFT);
    await expect.poll(() => keysAt(b).length).toBe(1);
    await say({ ...LEFT, epoch: 3, owner: 'c' });

    expect((await taken).text).toBe('{"zone":"c"}');
  });
});

describe('a silent zone', () => {
  it('gets no more writes: they wait, and go to the next owner', async () => {
    a.freeze();
    const first = write();
    await untilSilent(a);
    const later = [write(), write(), write()];
    await untilHeld(3);
    coordinator.say(LEFT);

    expect((await Promise.all([first, ...later])).map(({ text }) => text)).toEqual(
      Array.from({ length: 4 }, () => '{"zone":"b"}'),
    );
    a.thaw();
    await expect.poll(() => a.received.length).toBe(1);
    expect(keysAt(a)).toEqual([`k${keys - 3}`]);
  });

  it('gets what waited for it once it answers a probe again', async () => {
    a.freeze();
    const first = write();
    await untilSilent(a);
    const later = [write(), write()];
    await untilHeld(2);
    a.thaw();

    expect((await Promise.all([first, ...later])).map(({ text }) => text)).toEqual(
      Array.from({ length: 3 }, () => '{"zone":"a"}'),
    );
    expect(a.probes).toBeGreaterThan(0);
  });

  it('holds up nobody for longer than a hold: then the write is refused for now', async () => {
    await restartRouter({ HOLD_MAX_MS: '200' });
    await a.kill();
    expect((await write()).problem.code).toBe('zone-unavailable');
    const { status, problem, headers } = await write();

    expect([status, problem.code, problem.retry]).toEqual([503, 'zone-unavailable', 'same-request-later']);
    expect(headers['retry-after']).toBe('1');
  });

  it('is told from a slow one: while probes are answered, writes go to it', async () => {
    const answers: (() => void)[] = [];
    const slow = a.answer;
    a.answer = (response, request) => void answers.push(() => void slow(response, request));
    const writes = [write()];
    await expect.poll(() => a.probes, SOON).toBeGreaterThan(0);
    writes.push(write(), write());
    await expect.poll(() => answers.length).toBe(3);
    for (const answer of answers) answer();

    expect((await Promise.all(writes)).map(({ status }) => status)).toEqual([200, 200, 200]);
    expect(await router.count('borough_hold_requests')).toBe(0);
  });

  it('is one whose process lives and whose database is frozen', async () => {
    a.answer = staySilent;
    a.answersProbes = false;
    const first = write();
    await untilSilent(a);
    const second = write();
    await untilHeld(1);
    coordinator.say(LEFT);

    expect((await Promise.all([first, second])).map(({ text }) => text)).toEqual(['{"zone":"b"}', '{"zone":"b"}']);
    expect(a.received).toHaveLength(1);
  });

  it('that takes no connection is tried once, not by everybody who waits', async () => {
    await a.kill();
    const writes = [write()];
    await untilSilent(a);
    for (let more = 0; more < 20; more += 1) writes.push(write());
    await untilHeld(21);
    const refusals = await router.count('borough_hold_held_total{reason="zone-silent"}');
    await a.start();

    expect((await Promise.all(writes)).map(({ text }) => text)).toEqual(
      Array.from({ length: 21 }, () => '{"zone":"a"}'),
    );
    expect(refusals).toBeGreaterThan(0);
    expect(a.received).toHaveLength(21);
  });
});

describe('a read', () => {
  it('of a frozen owner is answered by another zone, and the next ones do not even ask it', async () => {
    a.freeze();
    expect((await read()).text).toBe('{"zone":"b"}');
    await untilSilent(a);
    const hedges = await router.count('borough_read_hedges_total');
    for (let more = 0; more < 5; more += 1) expect((await read()).text).toBe('{"zone":"b"}');

    expect(await router.count('borough_read_hedges_total')).toBe(hedges);
  });

  it('goes to the owner first again once that answers', async () => {
    a.freeze();
    await read();
    await untilSilent(a);
    a.thaw();

    await expect.poll(async () => (await read()).text, SOON).toBe('{"zone":"a"}');
  });

  it('gets by two frozen zones', async () => {
    a.freeze();
    b.freeze();

    expect((await read()).text).toBe('{"zone":"c"}');
  });

  it('asked of two is answered by the first that does, also when that is the late one', async () => {
    let answerNow = (): void => undefined;
    a.answer = (response) => {
      answerNow = () => response.end('late');
    };
    b.answer = c.answer = staySilent;
    const reading = read();
    await expect.poll(() => b.received.length, SOON).toBe(1);
    answerNow();

    expect((await reading).text).toBe('late');
  });

  it.each(['zone-not-current', 'zone-starting', 'overloaded', 'zone-unavailable', 'wrong-zone'] as const)(
    'that a zone refuses as %s is answered by the next one',
    async (code) => {
      a.answer = refuseAs(code);

      expect((await read()).text).toBe('{"zone":"b"}');
    },
  );

  it('of zones that all are not current is answered by one from what it has, which says how old that may be', async () => {
    await c.kill();
    a.answer = b.answer = (response, request) =>
      request.headers['allow-stale'] === 'true'
        ? void response.setHeader('borough-stale-ms', '1234').end('old')
        : refuseAs('zone-not-current')(response, request);
    const { status, text, headers } = await read();

    expect([status, text, headers['borough-stale-ms']]).toEqual([200, 'old', '1234']);
    expect([a.received.length, b.received.length]).toEqual([2, 1]);
  });

  it('of zones that all are not current is not told that there is nothing by one that may have missed it', async () => {
    await c.kill();
    let asked = 0;
    const stale =
      (has: boolean): typeof a.answer =>
      (response, request) => {
        if (request.headers['allow-stale'] !== 'true') return refuseAs('zone-not-current')(response, request);
        if (has && (asked += 1) > 1) void response.setHeader('borough-stale-ms', '1234').end('old');
        else
          void response
            .writeHead(404, { 'content-type': 'application/problem+json' })
            .end('{"code":"order-not-found"}');
      };
    a.answer = stale(false);
    b.answer = stale(true);
    const { status, text } = await read();

    expect([status, text, asked]).toEqual([200, 'old', 2]);
  });

  it('of a zone that says nothing is answered from what others have, whoever was asked last, and waits for it no more', async () => {
    a.answer = staySilent;
    b.answer = c.answer = (response, request) =>
      request.headers['allow-stale'] === 'true'
        ? void response.setHeader('borough-stale-ms', '1234').end('old')
        : refuseAs('zone-not-current')(response, request);
    // The first shows that it is silent; then it is asked last, or not at all.
    for (let reads = 0; reads < 3; reads += 1) {
      const { status, text } = await read();
      expect([status, text]).toEqual([200, 'old']);
    }
  });

  it('is never answered from old data while one zone is current, nor because a client asks for that', async () => {
    a.answer = b.answer = refuseAs('zone-not-current');
    const { text, headers } = await read({ 'allow-stale': 'true' });

    expect([text, headers['borough-stale-ms']]).toEqual(['{"zone":"c"}', undefined]);
    expect(a.received[0]?.headers).not.toHaveProperty('allow-stale');
  });

  it('that nobody answers is refused for now, with what the zones said', async () => {
    await restartRouter({ HOLD_MAX_MS: '200' });
    a.answer = b.answer = c.answer = refuseAs('zone-not-current');
    const { status, problem } = await read();

    expect([status, problem.code]).toEqual([503, 'zone-not-current']);
  });
});

describe('a change of an order that is held', () => {
  it('waits, is sent again, and goes through when the hold ends', async () => {
    const { answer } = a;
    let refusals = 3;
    a.answer = (response, request) => {
      refusals -= 1;
      return refusals < 0 ? answer(response, request) : refuseAs('order-held')(response, request);
    };

    expect((await write()).text).toBe('{"zone":"a"}');
    expect(a.received).toHaveLength(4);
  });

  it('is told why and since when, past the time that a request may wait', async () => {
    await restartRouter({ HOLD_MAX_MS: '200' });
    const hold = { reason: 'failover', since: '2026-11-22T19:30:00.000Z' };
    a.answer = refuseAs('order-held', hold);
    const { status, problem } = await write();

    expect(status).toBe(423);
    expect(problem).toMatchObject({ code: 'order-held', retry: 'same-request-later', ...hold });
  });

  it('is told at once when it is held after a declared loss: only a person ends that', async () => {
    a.answer = refuseAs('order-held', { reason: 'declared-loss' });
    const { status, problem } = await write();

    expect([status, problem['reason']]).toEqual([423, 'declared-loss']);
    expect(a.received).toHaveLength(1);
  });

  it('that the lost zone had was not done, where the next owner says it is held', async () => {
    await restartRouter({ HOLD_MAX_MS: '500' });
    a.answer = staySilent;
    b.answer = refuseAs('order-held');
    const taken = write();
    await expect.poll(() => a.received.length).toBe(1);
    await say(LEFT);

    expect((await taken).problem.code).toBe('order-held');
  });

  it('that this same owner may have done keeps its unknown outcome', async () => {
    await restartRouter({ HOLD_MAX_MS: '300' });
    let tries = 0;
    a.answer = (response, request) => {
      tries += 1;
      return (tries === 1 ? dieUnanswered : refuseAs('order-held'))(response, request);
    };

    expect((await write()).problem.code).toBe('outcome-unknown');
  });
});

describe('under load, a zone that', () => {
  it.each([
    ['is killed', (): Promise<void> => a.kill()],
    [
      'is frozen',
      (): Promise<void> => {
        a.freeze();
        return Promise.resolve();
      },
    ],
  ])('%s, and whose shard another one serves a moment later, costs no request', async (_how, lose) => {
    const answers: Promise<Answer>[] = [];
    const until = async (ms: number): Promise<void> => {
      const endAtMs = performance.now() + ms;
      while (performance.now() < endAtMs) {
        answers.push(write(), read());
        await sleep(5);
      }
    };
    await until(200);
    await lose();
    await until(700);
    coordinator.say(LEFT);
    await until(300);
    const statuses = (await Promise.all(answers)).map(({ status }) => status);

    expect(statuses.length).toBeGreaterThan(100);
    expect(new Set(statuses)).toEqual(new Set([200]));
    expect(await router.count('borough_hold_requests')).toBe(0);
  });
});
