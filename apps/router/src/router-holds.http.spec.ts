import 'reflect-metadata';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { type RoutingEntry } from '@borough/topology';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { FakeCoordinator, FakeZone, refuseAs } from './far-side.js';
import { RouterUnderTest } from './router-under-test.js';

const MOVING: RoutingEntry = { shard: 1, epoch: 1, state: 'moving', owner: 'a', heir: 'b' };
const FENCED: RoutingEntry = { ...MOVING, state: 'fenced' };
const MOVED: RoutingEntry = { shard: 1, epoch: 2, state: 'serving', owner: 'b' };
const OTHER_MOVING: RoutingEntry = { shard: 2, epoch: 1, state: 'moving', owner: 'a', heir: 'b' };

/** What takes a while on a busy machine. */
const SOON = { timeout: 20_000 };

let coordinator: FakeCoordinator;
let a: FakeZone;
let b: FakeZone;
let router: RouterUnderTest;
const sockets: Socket[] = [];

beforeEach(async () => {
  coordinator = await new FakeCoordinator().start();
  [a, b] = await Promise.all([new FakeZone('a').start(), new FakeZone('b').start()]);
  coordinator.addArea(1, '85196953fffffff', 'a');
  coordinator.addArea(2, '851f1d4bfffffff', 'a');
});

afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  await router.stop();
  await Promise.all([a.kill(), b.kill(), coordinator.kill()]);
});

async function startRouter(settings: Record<string, string> = {}): Promise<void> {
  router = await RouterUnderTest.start([coordinator], [a, b], {
    // Long enough for anything but the test of that bound; one connection shows the order in which requests go out.
    HOLD_MAX_MS: '20000',
    ZONE_CONNECTIONS: '1',
    ...settings,
  });
  await vi.waitFor(async () => {
    expect(await router.isReady()).toBe(true);
  });
}

/** The table says this, and the router has heard of it. */
async function say(...entries: RoutingEntry[]): Promise<void> {
  for (const entry of entries) coordinator.say(entry);
  await router.askForTable();
}

function write(shard = 1, body = '', headers: Record<string, string> = {}): ReturnType<RouterUnderTest['send']> {
  return router.send('/v1/orders', { method: 'POST', headers: { 'traffic-tag': `shard:${shard}`, ...headers }, body });
}

async function untilHeld(count: number): Promise<void> {
  await expect.poll(() => router.count('borough_hold_requests'), SOON).toBe(count);
}

function headOf(shard: number, body: string): string {
  return `POST /v1/orders HTTP/1.1\r\nhost: x\r\ntraffic-tag: shard:${shard}\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;
}

/** Writes all of these to one connection, one behind the other. @returns what has been answered so far */
async function pipeline(shard: number, bodies: readonly string[]): Promise<() => string> {
  const socket = connect(Number(new URL(router.url).port), '127.0.0.1');
  sockets.push(socket);
  await once(socket, 'connect');
  const answers: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => answers.push(chunk));
  socket.write(bodies.map((body) => headOf(shard, body)).join(''));
  return () => Buffer.concat(answers).toString();
}

function statusesIn(answers: string): string[] {
  return (answers.match(/HTTP\/1\.1 \d{3}/g) ?? []).map((line) => line.slice(-3));
}

function bodiesAt(zone: FakeZone): string[] {
  return zone.received.map(({ body }) => body.toString());
}

describe('a write to a shard that moves', () => {
  it.each([
    ['moving', MOVING],
    ['fenced', FENCED],
  ])('is held while it is %s, and goes to the heir at the new epoch', async (_state, entry) => {
    await startRouter();
    await say(entry);
    const held = write(1, 'an order');
    await untilHeld(1);
    expect([...a.received, ...b.received]).toEqual([]);
    coordinator.say(MOVED);
    const { status, text, headers } = await held;

    expect([status, text]).toEqual([200, '{"zone":"b"}']);
    expect(b.received[0]?.headers).toMatchObject({ 'borough-shard': '1', 'borough-epoch': '2' });
    expect(bodiesAt(b)).toEqual(['an order']);
    expect(headers['borough-table-version']).toBe(String(coordinator.snapshot().tableVersion));
    expect(a.received).toEqual([]);
  });

  it('goes back to the old owner when the move is given up: that is a new epoch too', async () => {
    await startRouter();
    await say(MOVING);
    const held = write();
    await untilHeld(1);
    coordinator.say({ shard: 1, epoch: 2, state: 'serving', owner: 'a' });

    expect((await held).text).toBe('{"zone":"a"}');
    expect(a.received[0]?.headers['borough-epoch']).toBe('2');
  });

  it('goes in the order it came, and what comes meanwhile goes behind it', async () => {
    await startRouter({ HOLD_RELEASE_PER_SECOND: '50', HOLD_MAX_UNANSWERED: '1' });
    await say(MOVING);
    const early = Array.from({ length: 30 }, (_, at) => `early ${at}`);
    const late = Array.from({ length: 10 }, (_, at) => `late ${at}`);
    await pipeline(1, early);
    await untilHeld(30);
    coordinator.say(MOVED);
    await expect.poll(() => b.received.length).toBeGreaterThan(0);
    await pipeline(1, late);
    await expect.poll(() => b.received.length, SOON).toBe(40);

    expect(bodiesAt(b)).toEqual([...early, ...late]);
  });

  it('is not in the way of reads, which the old owner answers, nor of other shards', async () => {
    await startRouter();
    await say(FENCED);
    const held = write();
    await untilHeld(1);

    expect((await router.send('/v1/orders', { headers: { 'traffic-tag': 'shard:1' } })).text).toBe('{"zone":"a"}');
    expect((await write(2)).text).toBe('{"zone":"a"}');
    coordinator.say(MOVED);
    expect((await held).status).toBe(200);
  });

  it('gives its place back when its client goes away, and no zone hears of it', async () => {
    await startRouter();
    await say(MOVING);
    const left = await router.count('borough_hold_abandoned_total');
    await pipeline(1, ['gone']);
    const stays = write(1, 'stays');
    await untilHeld(2);
    sockets[0]?.destroy();
    await untilHeld(1);
    coordinator.say(MOVED);

    expect((await stays).status).toBe(200);
    expect(bodiesAt(b)).toEqual(['stays']);
    expect(await router.count('borough_hold_abandoned_total')).toBe(left + 1);
  });
});

describe('a hold has bounds', () => {
  it('in time: past it the request is refused for now', async () => {
    await startRouter({ HOLD_MAX_MS: '100' });
    await say(MOVING);
    const { status, headers, problem } = await write();

    expect([status, problem.code, problem.retry]).toEqual([503, 'hold-timeout', 'same-request-later']);
    expect(Number(headers['retry-after'])).toBeGreaterThan(0);
    expect([...a.received, ...b.received]).toEqual([]);
    await untilHeld(0);
  });

  it('in number: the newcomer is refused at once, those held keep their turn', async () => {
    await startRouter({ HOLD_MAX_REQUESTS: '2' });
    await say(MOVING, OTHER_MOVING);
    const held = [write(1), write(2)];
    await untilHeld(2);
    const { status, headers, problem } = await write(1);
    coordinator.say(MOVED);
    coordinator.say({ ...MOVED, shard: 2 });

    expect([status, problem.code, headers['retry-after']]).toEqual([503, 'hold-full', '1']);
    expect((await Promise.all(held)).map((answer) => answer.status)).toEqual([200, 200]);
  });

  it('in bytes, and what is given back may be used again', async () => {
    await startRouter({ HOLD_MAX_BYTES: '4096', HOLD_MAX_BODY_BYTES: '4096' });
    await say(MOVING);
    const held = write(1, 'x'.repeat(3_000));
    await untilHeld(1);
    const refused = await write(2, 'x');
    await say(OTHER_MOVING);
    const second = await write(2, 'x'.repeat(2_000));
    coordinator.say(MOVED);
    await held;
    const third = write(2, 'x'.repeat(2_000));
    await untilHeld(1);
    coordinator.say({ ...MOVED, shard: 2 });

    expect([refused.status, second.status, second.problem.code]).toEqual([200, 503, 'hold-full']);
    expect((await third).status).toBe(200);
  });

  it('in the size of one body: a larger one is refused for now, and sent as ever when nothing moves', async () => {
    await startRouter({ HOLD_MAX_BODY_BYTES: '1024' });
    const before = await write(1, 'x'.repeat(5_000));
    await say(MOVING);
    const { status, headers, problem } = await write(1, 'x'.repeat(5_000));

    expect(before.status).toBe(200);
    expect([status, problem.code, headers['retry-after']]).toEqual([503, 'shard-moving', '1']);
  });

  it('ten thousand requests: one shard leaves room for the others, and bounded memory', async () => {
    await startRouter({ HOLD_MAX_REQUESTS: '8000' });
    await say(MOVING, OTHER_MOVING);
    const bodies = (name: string, count: number): string[] =>
      Array.from({ length: count }, (_, at) => JSON.stringify({ name, at, note: 'n'.repeat(500) }));
    const refusedBefore = await router.count('borough_hold_refused_total{reason="share"}');
    const heapBefore = heapBytes();
    const busy: (() => string)[] = [];
    for (let at = 0; at < 12; at += 1) busy.push(await pipeline(1, bodies(`busy ${at}`, 500)));
    await untilHeld(6_000);
    // On connections of their own: behind a held one an answer waits too.
    const tooMany: (() => string)[] = [];
    for (let at = 0; at < 6; at += 1) tooMany.push(await pipeline(1, bodies(`too many ${at}`, 500)));
    await expect.poll(() => statusesIn(tooMany.map((answers) => answers()).join('')).length, SOON).toBe(3_000);
    const calm = await pipeline(2, bodies('calm', 1_000));
    await untilHeld(7_000);
    const bytesEach = (heapBytes() - heapBefore) / 7_000;
    coordinator.say(MOVED);
    coordinator.say({ ...MOVED, shard: 2 });
    await expect.poll(() => statusesIn(busy.map((answers) => answers()).join('')).length, SOON).toBe(6_000);
    await expect.poll(() => statusesIn(calm()).length, SOON).toBe(1_000);

    const refused = tooMany.map((answers) => answers()).join('');
    expect(refused.match(/\r\nretry-after: 1\r\n/g)).toHaveLength(3_000);
    expect(refused.match(/"code":"hold-full"/g)).toHaveLength(3_000);
    expect(await router.count('borough_hold_refused_total{reason="share"}')).toBe(refusedBefore + 3_000);
    expect(new Set(statusesIn([...busy, calm].map((answers) => answers()).join('')))).toEqual(new Set(['200']));
    // One request with its 600 bytes of body, what Node keeps of it, and the client's half of it in this same process.
    expect(bytesEach).toBeLessThan(40_000);
    expectInOrder(b);
  }, 60_000);
});

/** Of each connection the requests came to the zone as they were sent. */
function expectInOrder(zone: FakeZone): void {
  const last = new Map<string, number>();
  for (const body of bodiesAt(zone)) {
    const { name, at } = JSON.parse(body) as { name: string; at: number };
    expect(at).toBeGreaterThan(last.get(name) ?? -1);
    last.set(name, at);
  }
}

function heapBytes(): number {
  setFlagsFromString('--expose-gc');
  (runInNewContext('gc') as () => void)();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

describe('a router that is told to stop', () => {
  it('refuses for now what it holds, and is gone', async () => {
    await startRouter();
    await say(MOVING);
    const held = write();
    await untilHeld(1);
    const stopping = router.shutDown();
    const { status, headers, problem } = await held;
    await stopping;

    expect([status, problem.code, headers['retry-after']]).toEqual([503, 'hold-timeout', '1']);
    expect(headers['connection']).toBe('close');
  });
});

describe('the zone knows of a move first', () => {
  it('a write it refuses as moving is held and sent again, with or without a key', async () => {
    await startRouter();
    a.answer = refuseAs('shard-moving', { shard: 1, owner: 'a', epoch: 1 });
    const held = [write(1, 'with', { 'idempotency-key': 'k1' }), write(1, 'without')];
    await untilHeld(2);
    coordinator.say(MOVED);

    expect((await Promise.all(held)).map(({ text }) => text)).toEqual(['{"zone":"b"}', '{"zone":"b"}']);
    expect(bodiesAt(b).sort()).toEqual(['with', 'without']);
  });

  it('what was held for it stays held when the router hears of the move, until its end', async () => {
    await startRouter();
    a.answer = refuseAs('shard-moving', { shard: 1, owner: 'a', epoch: 1 });
    const held = write();
    await untilHeld(1);
    await say(FENCED);
    const tries = a.received.length;
    await untilHeld(1);
    coordinator.say(MOVED);

    expect((await held).text).toBe('{"zone":"b"}');
    expect(a.received).toHaveLength(tries);
  });

  it('and nobody else ever does: it is asked again, and the write goes through', async () => {
    await startRouter();
    const { answer } = a;
    a.answer = refuseAs('shard-moving', { shard: 1, owner: 'a', epoch: 1 });
    const held = write();
    await untilHeld(1);
    a.answer = answer;

    expect((await held).text).toBe('{"zone":"a"}');
  });

  it('a write of an old epoch goes again at the new one', async () => {
    await startRouter();
    a.answer = (response, request) => {
      const isNew = request.headers['borough-epoch'] === '3';
      return isNew
        ? void response.end('done')
        : refuseAs('stale-epoch', { shard: 1, owner: 'a', epoch: 3 })(response, request);
    };
    coordinator.say({ shard: 1, epoch: 3, state: 'serving', owner: 'a' });

    expect((await write()).text).toBe('done');
  });

  it('a write to a zone that starts waits for it; past its time the answer is what the zone said', async () => {
    await startRouter({ HOLD_MAX_MS: '300' });
    const { answer } = a;
    a.answer = refuseAs('zone-starting');
    const refused = await write();
    let refusals = 2;
    a.answer = (response, request) => {
      refusals -= 1;
      return refusals < 0 ? answer(response, request) : refuseAs('zone-starting')(response, request);
    };

    expect([refused.status, refused.problem.code]).toEqual([503, 'zone-starting']);
    expect((await write()).status).toBe(200);
  });

  it('a conflict of another kind is the answer', async () => {
    await startRouter();
    a.answer = refuseAs('illegal-transition', { detail: 'It was delivered.' });
    const { status, problem } = await write();

    expect([status, problem.code, problem.detail]).toEqual([409, 'illegal-transition', 'It was delivered.']);
    expect(a.received).toHaveLength(1);
  });
});
