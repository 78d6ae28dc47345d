import 'reflect-metadata';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { routingSnapshot, type RoutingUpdate, routingUpdate } from '@borough/contracts';
import { createParser, type EventSourceMessage } from 'eventsource-parser';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { FakeCoordinator, FakeZone } from './far-side.js';
import { RouterUnderTest } from './router-under-test.js';

let coordinator: FakeCoordinator;
let zone: FakeZone;
let router: RouterUnderTest;
const sockets: Socket[] = [];

beforeEach(async () => {
  coordinator = await new FakeCoordinator().start();
  zone = await new FakeZone('a').start();
  coordinator.addArea(2, '851f1d4bfffffff', 'b', 5);
  coordinator.addArea(1, '85196953fffffff', 'a');
  await startRouter();
});

afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  await router.stop();
  await Promise.all([zone.kill(), coordinator.kill()]);
});

async function startRouter(settings: Record<string, string> = {}): Promise<void> {
  router = await RouterUnderTest.start([coordinator], [zone], settings);
  await vi.waitFor(async () => {
    expect(await router.isReady()).toBe(true);
  });
}

async function restartRouter(settings: Record<string, string>): Promise<void> {
  await router.stop();
  await startRouter(settings);
}

/** A client that listens: what it heard so far. */
class Listener {
  readonly events: EventSourceMessage[] = [];
  readonly comments: string[] = [];
  retryMs = 0;
  head = '';
  isOver = false;
  private readonly parser = createParser({
    onEvent: (event) => this.events.push(event),
    onComment: (comment) => this.comments.push(comment),
    onRetry: (ms) => (this.retryMs = ms),
  });

  private constructor(readonly socket: Socket) {
    socket.on('data', (chunk: Buffer) => {
      this.hear(chunk.toString());
    });
    socket.on('close', () => (this.isOver = true));
  }

  static async start(headers: Record<string, string> = {}): Promise<Listener> {
    const socket = connect(Number(new URL(router.url).port), '127.0.0.1');
    sockets.push(socket);
    const listener = new Listener(socket);
    await once(socket, 'connect');
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
    socket.write(`GET /v1/routing/stream HTTP/1.1\r\nhost: x\r\n${lines.join('')}\r\n`);
    await expect.poll(() => listener.head).not.toBe('');
    return listener;
  }

  get updates(): RoutingUpdate[] {
    return this.events.map(({ data }) => routingUpdate.parse(JSON.parse(data)));
  }

  private hear(text: string): void {
    const [head = '', body] = this.head === '' ? text.split('\r\n\r\n', 2) : [this.head, text];
    this.head = head;
    if (body !== undefined) this.parser.feed(body);
  }
}

/** Shard 1 is at this epoch from now on, and the router knows. */
async function moveTo(owner: string, epoch: number): Promise<void> {
  coordinator.say({ shard: 1, epoch, state: 'serving', owner });
  await router.askForTable();
}

describe('the routing table and the area map', () => {
  it('are answered by the router itself, to anybody, without a tag', async () => {
    const routing = await router.send('/v1/routing');
    const areaMap = await router.send('/v1/area-map');

    expect(routingSnapshot.parse(JSON.parse(routing.text))).toEqual({
      ...coordinator.snapshot(),
      entries: [...coordinator.entries].sort((one, other) => one.shard - other.shard),
    });
    expect(JSON.parse(areaMap.text)).toEqual(coordinator.areaMap());
    expect(routing.headers['borough-table-version']).toBe(String(coordinator.snapshot().tableVersion));
    expect(zone.received).toEqual([]);
  });

  it.each(['/v1/routing', '/v1/area-map'])('%s is sent again only when it changed', async (path) => {
    const etag = String((await router.send(path)).headers['etag']);
    const same = await router.send(path, { headers: { 'if-none-match': `"other", W/${etag}` } });
    coordinator.addArea(3, '85ad3617fffffff', 'a');
    await router.askForTable();
    const changed = await router.send(path, { headers: { 'if-none-match': etag } });

    expect([same.status, same.text, same.headers['etag']]).toEqual([304, '', etag]);
    expect([changed.status, changed.headers['etag'] === etag]).toEqual([200, false]);
  });

  it('come with the address of each router, where it was given', async () => {
    await restartRouter({ ROUTER_URLS: 'a=https://a.example,b=https://b.example' });
    const snapshot = JSON.parse((await router.send('/v1/routing')).text) as object;

    expect(snapshot).toMatchObject({ routers: { a: 'https://a.example', b: 'https://b.example' } });
  });

  it('are not known at first', async () => {
    await router.stop();
    await coordinator.kill();
    router = await RouterUnderTest.start([coordinator], [zone]);
    const paths = ['/v1/routing', '/v1/area-map', '/v1/routing/stream'];
    const answers = await Promise.all(paths.map((path) => router.send(path)));

    for (const { status, problem, headers } of answers) {
      expect([status, problem.code, headers['retry-after']]).toEqual([503, 'routing-unknown', '1']);
    }
  });
});

describe('a client that listens', () => {
  it('is told all at first and then each change, with the version as its id', async () => {
    const listener = await Listener.start();
    await expect.poll(() => listener.events.length).toBe(1);
    const before = coordinator.snapshot().tableVersion;
    await moveTo('b', 2);
    await expect.poll(() => listener.events.length).toBe(2);

    expect(listener.head).toMatch(/^HTTP\/1\.1 200 .*\r\n(.*\r\n)*content-type: text\/event-stream/);
    expect(listener.events.map(({ id, event }) => [id, event])).toEqual([
      [String(before), 'routing'],
      [String(coordinator.snapshot().tableVersion), 'routing'],
    ]);
    expect(listener.updates[0]).toMatchObject({ isWhole: true, tableVersion: before, areaMapVersion: 2 });
    expect(listener.updates[0]?.entries.map(({ shard }) => shard)).toEqual([1, 2]);
    expect(listener.updates[1]).toMatchObject({
      isWhole: false,
      entries: [{ shard: 1, epoch: 2, state: 'serving', owner: 'b' }],
    });
    expect(listener.retryMs).toBeGreaterThan(0);
  });

  it('and comes back with the current version gets only what changes from then on', async () => {
    const listener = await Listener.start({ 'last-event-id': String(coordinator.snapshot().tableVersion) });
    await moveTo('b', 2);
    await expect.poll(() => listener.events.length).toBe(1);

    expect(listener.updates[0]).toMatchObject({ isWhole: false, entries: [{ shard: 1, epoch: 2 }] });
  });

  it.each(['1', '999999', 'what', ''])('and comes back with another version ("%s") gets all of it', async (id) => {
    const listener = await Listener.start({ 'last-event-id': id });
    await expect.poll(() => listener.events.length).toBe(1);

    expect(listener.updates[0]).toMatchObject({ isWhole: true });
  });

  it('hears of a new area even when no shard changed', async () => {
    const listener = await Listener.start();
    coordinator.areas.push({ shard: 1, name: 'more', cells: ['85ad3617fffffff'] });
    coordinator.areas.splice(1, 1);
    coordinator.areas.push({ shard: 7, name: 'late', cells: ['85196957fffffff'] });
    await router.askForTable();

    await expect.poll(() => listener.updates.at(-1)).toMatchObject({ isWhole: false, areaMapVersion: 3, entries: [] });
  });

  it('is sent a comment now and then', async () => {
    await restartRouter({ FEED_HEARTBEAT_MS: '20' });
    const listener = await Listener.start();

    await expect.poll(() => listener.comments.length).toBeGreaterThan(2);
    expect(listener.events).toHaveLength(1);
  });

  it('is one of so many at most', async () => {
    await restartRouter({ FEED_MAX_CLIENTS: '1' });
    const first = await Listener.start();
    const second = await router.send('/v1/routing/stream');
    first.socket.destroy();
    await expect.poll(() => router.count('borough_feed_clients')).toBe(0);
    const third = await Listener.start();

    expect([second.status, second.problem.code, second.headers['retry-after']]).toEqual([503, 'overloaded', '1']);
    expect(third.head).toMatch(/^HTTP\/1\.1 200 /);
  });

  it('and does not read is dropped, and nobody else is', async () => {
    await restartRouter({ FEED_MAX_BUFFERED_BYTES: '65536' });
    const deaf = await Listener.start();
    const attentive = await Listener.start();
    deaf.socket.pause();
    for (let epoch = 1; (await router.count('borough_feed_clients')) === 2; epoch += 1) {
      coordinator.entries = Array.from({ length: 4_000 }, (_, shard) => ({
        shard,
        epoch,
        state: 'serving',
        owner: 'a',
      }));
      await router.askForTable();
      expect(epoch).toBeLessThan(500);
    }

    expect(attentive.isOver).toBe(false);
    await expect.poll(() => attentive.updates.at(-1)?.entries.length).toBe(4_000);
    deaf.socket.resume();
    await expect.poll(() => deaf.isOver).toBe(true);
  });

  it('is told when the router stops, by the end of the stream', async () => {
    const listener = await Listener.start();
    await router.shutDown();

    await expect.poll(() => listener.isOver).toBe(true);
  });

  it('is one of a thousand that hear of a change, and memory hardly grows', async () => {
    coordinator.entries = Array.from({ length: 4_000 }, (_, shard) => ({
      shard,
      epoch: 9,
      state: 'serving',
      owner: 'a',
    }));
    await router.askForTable();
    const upToDate = { 'last-event-id': String(coordinator.snapshot().tableVersion) };
    const listeners = await Promise.all(Array.from({ length: 1_000 }, () => Listener.start(upToDate)));
    await expect.poll(() => router.count('borough_feed_clients')).toBe(1_000);
    // They read nothing more: what is not shared would have to stand somewhere.
    for (const { socket } of listeners) socket.pause();
    const toldBefore = await router.count('borough_feed_told_total');
    const heapBefore = heapBytes();
    coordinator.entries = coordinator.entries.map((entry) => ({ ...entry, epoch: 10 }));
    await router.askForTable();
    await expect.poll(() => router.count('borough_feed_told_total')).toBe(toldBefore + 1_000);
    const grownBytes = heapBytes() - heapBefore;
    for (const { socket } of listeners) socket.resume();
    await expect
      .poll(() => listeners.filter(({ events }) => events.length > 0).length, { timeout: 20_000 })
      .toBe(1_000);

    const changes = new Set(listeners.flatMap(({ events }) => events.map(({ data }) => data)));
    expect(changes.size).toBe(1);
    expect(listeners.every(({ events }) => events.length === 1)).toBe(true);
    expect(listeners[0]?.updates[0]?.entries).toHaveLength(4_000);
    // A thousand copies would be 300 MB. What stands here are the 64 KiB that each client of this process has read.
    expect(grownBytes).toBeLessThan(100_000_000);
  });
});

function heapBytes(): number {
  setFlagsFromString('--expose-gc');
  (runInNewContext('gc') as () => void)();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

describe('a page in a browser', () => {
  const ORIGIN = 'https://shop.example';

  it('may use a router that allows its origin, streams and refusals included', async () => {
    await restartRouter({ ALLOWED_ORIGINS: `${ORIGIN},https://other.example` });
    const preflight = await router.send('/v1/orders', {
      method: 'OPTIONS',
      headers: {
        origin: ORIGIN,
        'access-control-request-method': 'POST',
        'access-control-request-headers': 'traffic-tag,idempotency-key,content-type',
      },
    });
    const answer = await router.send('/v1/orders', { headers: { origin: ORIGIN, 'traffic-tag': 'shard:1' } });
    const refusal = await router.send('/v1/orders', { headers: { origin: ORIGIN } });
    const listener = await Listener.start({ origin: ORIGIN });

    expect(preflight.status).toBe(204);
    expect(preflight.headers).toMatchObject({
      'access-control-allow-origin': ORIGIN,
      'access-control-allow-credentials': 'true',
      'access-control-allow-headers': expect.stringContaining('idempotency-key') as string,
    });
    for (const { headers } of [answer, refusal]) {
      expect(headers['access-control-allow-origin']).toBe(ORIGIN);
      expect(headers['access-control-expose-headers']).toContain('borough-table-version');
    }
    expect(answer.text).toBe('{"zone":"a"}');
    expect(listener.head).toContain(`access-control-allow-origin: ${ORIGIN}`);
    expect(zone.received).toHaveLength(1);
  });

  it('may not when its origin is not allowed, or none is', async () => {
    const headers = { origin: 'https://evil.example', 'traffic-tag': 'shard:1' };
    const withoutSetting = await router.send('/v1/orders', { headers });
    await restartRouter({ ALLOWED_ORIGINS: ORIGIN });
    const withOther = await router.send('/v1/orders', { headers });

    expect(withoutSetting.headers).not.toHaveProperty('access-control-allow-origin');
    expect(withOther.headers['access-control-allow-origin']).not.toBe('https://evil.example');
  });
});
