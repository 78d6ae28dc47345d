import { type RoutingEntry } from '@borough/topology';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { freshId, refuseAs, staySilent } from '../testing/fake-router.js';
import { MemoryStorage, OTHER_PLACE, PLACE, World, orderAt } from '../testing/world.js';
import { type DeliveryClientOptions, type Fetch } from './index.js';

let world: World;

beforeEach(async () => {
  world = await World.start();
});

afterEach(async () => {
  vi.restoreAllMocks();
  await world.stop();
});

/** Owner of shard 1 from now on. */
function moveTo(owner: string, epoch: number): RoutingEntry {
  const entry: RoutingEntry = { shard: 1, epoch, state: 'serving', owner };
  world.cluster.say(entry);
  return entry;
}

/** A runtime that hands over whole bodies only. */
const withoutStreams: Fetch = async (url, init) => {
  const answer = await fetch(url, init);
  return { ok: answer.ok, status: answer.status, headers: answer.headers, text: () => answer.text() };
};

describe('which router is asked', () => {
  it("the owner zone's, for ids, places and paths", async () => {
    const client = await world.readyClient();
    await client.orders.place(orderAt(1));
    await client.orders.get(freshId('order', 2));
    await client.stores.open({ name: 'x', location: OTHER_PLACE });
    await client.stores.open({ name: 'x', location: PLACE });
    expect([world.a.calls.length, world.b.calls.length, world.c.calls.length]).toEqual([2, 2, 0]);
  });

  it('one of those the app was given, at once, while there is no table', async () => {
    for (const router of world.routers) router.routingAnswer = staySilent;
    const client = world.client();
    await client.orders.place(orderAt(1));
    await client.stores.open({ name: 'x', location: PLACE });
    expect(world.called).toBe('cc');
    expect(client.tableVersion).toBe(0);
  });

  it("another one, when the owner's cannot be reached; it is asked again when it is back", async () => {
    const clock = { offsetMs: 0 };
    const client = await world.readyClient({
      clock: {
        nowMs: () => Date.now() + clock.offsetMs,
        after: (ms, work) => {
          const timer = setTimeout(work, ms);
          return () => {
            clearTimeout(timer);
          };
        },
      },
    });
    await world.a.kill();
    await client.orders.place(orderAt(1));
    await client.orders.place(orderAt(1));
    expect(world.called).toBe('cc');
    await world.a.start();
    clock.offsetMs = 6_000;
    await client.orders.place(orderAt(1));
    expect(world.called).toBe('acc');
  });

  it('the one the app was given, where the table names no routers', async () => {
    world.cluster.routers = undefined;
    const client = await world.readyClient();
    await client.orders.place(orderAt(1));
    expect(world.called).toBe('c');
  });

  it('a table that is 100 moves old leads to one hop more, and to no refusal', async () => {
    const storage = new MemoryStorage();
    const before = await world.readyClient({ storage });
    await before.close();
    for (let epoch = 2; epoch <= 101; epoch += 1) moveTo(epoch % 2 === 0 ? 'b' : 'c', epoch);
    let letGo: (nothing?: unknown) => void = () => undefined;
    world.cluster.tableGate = new Promise((resolve) => (letGo = resolve));

    const client = await world.readyClient({ storage });
    expect(client.tableVersion).toBe(before.tableVersion);
    // The old owner's router forwards it: a real one does, and answers with its own table's version.
    await client.orders.place(orderAt(1));
    expect(world.called).toBe('a');

    // That version was news: the table is fetched, and the next one goes straight there.
    letGo();
    await client.orders.get(freshId('order', 1));
    await expect.poll(() => client.tableVersion, { timeout: 10_000 }).toBe(world.cluster.snapshot().tableVersion);
    await client.orders.place(orderAt(1));
    expect(world.c.calls).toHaveLength(1);
  });
});

describe('the push', () => {
  async function listening(options: Partial<DeliveryClientOptions> = {}) {
    const client = await world.readyClient({ random: () => 0.01, ...options });
    await expect.poll(() => world.c.streams.size).toBe(1);
    return client;
  }

  it('brings a move, and the next order goes to the new owner', async () => {
    const client = await listening();
    const heard: unknown[] = [];
    const ignore = client.onRoutingChange((change) => heard.push(change));
    const asked = world.c.snapshotsAsked;
    const entry = moveTo('b', 2);
    world.c.push([entry]);
    const { tableVersion } = world.cluster.snapshot();
    await expect.poll(() => heard).toEqual([{ tableVersion, changed: [entry] }]);
    expect(client.tableVersion).toBe(tableVersion);
    await client.orders.place(orderAt(1));
    expect(world.called).toBe('b');
    expect(world.c.snapshotsAsked).toBe(asked);

    ignore();
    world.c.push([moveTo('c', 3)]);
    await expect.poll(() => client.tableVersion).toBe(world.cluster.snapshot().tableVersion);
    expect(heard).toHaveLength(1);
  });

  it('late, doubled and swapped updates end in the same table', async () => {
    const client = await listening();
    const older = moveTo('b', 2);
    const newer = moveTo('c', 3);
    for (const entry of [newer, older, newer, older]) world.c.push([entry]);
    world.c.push([{ shard: 2, epoch: 2, state: 'moving', owner: 'b', heir: 'a' }]);
    await expect.poll(() => client.tableVersion).toBe(world.cluster.snapshot().tableVersion + 5);
    await client.orders.place(orderAt(1));
    expect(world.called).toBe('c');
  });

  it('a gap means: fetch the snapshot', async () => {
    const client = await listening();
    const asked = world.c.snapshotsAsked;
    moveTo('b', 2);
    // Only the other shard's entry comes, with a version that counts both.
    const other: RoutingEntry = { shard: 2, epoch: 2, state: 'serving', owner: 'c' };
    world.cluster.say(other);
    world.c.push([other]);
    await expect.poll(() => client.tableVersion).toBe(world.cluster.snapshot().tableVersion);
    expect(world.c.snapshotsAsked).toBeGreaterThan(asked);
    await client.orders.place(orderAt(1));
    expect(world.called).toBe('b');
  });

  it('a new area comes with its map', async () => {
    const client = await listening();
    world.cluster.addArea(3, '8528347bfffffff', 'b');
    world.c.push(world.cluster.entries);
    await expect.poll(() => world.c.received.filter(({ path }) => path === '/v1/area-map').length).toBe(2);
    await expect
      .poll(async () => {
        await client.stores
          .open({ name: 'x', location: { latitude: 37.35, longitude: -122.0 } })
          .catch(() => undefined);
        return client.tableVersion;
      })
      .toBe(world.cluster.snapshot().tableVersion);
  });

  it('an event that cannot be read is no reason to guess: the snapshot is fetched', async () => {
    const client = await listening();
    moveTo('b', 2);
    for (const stream of world.c.streams) stream.write('event: routing\nid: 99\ndata: {"entries":[{]\n\n');
    await expect.poll(() => client.tableVersion).toBe(world.cluster.snapshot().tableVersion);
  });

  it('after a break the stream is opened again, from the version that is there', async () => {
    const client = await listening();
    world.c.push([moveTo('b', 2)]);
    await expect.poll(() => client.tableVersion).toBe(world.cluster.snapshot().tableVersion);
    for (const stream of world.c.streams) stream.destroy();
    await expect.poll(() => world.c.lastEventIds.length).toBe(2);
    expect(world.c.lastEventIds[1]).toBe(String(client.tableVersion));
    expect(Number(world.c.lastEventIds[0])).toBeLessThan(client.tableVersion);
  });

  it('what happened during the break is not lost', async () => {
    const client = await listening();
    for (const stream of world.c.streams) stream.destroy();
    moveTo('b', 2);
    await expect.poll(() => client.tableVersion).toBe(world.cluster.snapshot().tableVersion);
    await expect.poll(() => world.c.streams.size).toBe(1);
  });

  it('when its router is gone, another one is listened to', async () => {
    const client = await listening();
    await world.c.kill();
    await expect.poll(() => world.b.streams.size).toBe(1);
    world.b.push([moveTo('c', 2)]);
    await expect.poll(() => client.tableVersion).toBe(world.cluster.snapshot().tableVersion);
  });

  it('a stream that is silent for two heartbeats is opened again', async () => {
    await listening({ heartbeatMs: 100 });
    await expect.poll(() => world.c.lastEventIds.length).toBeGreaterThan(2);
  });

  it('a stream that says something now and then is left open', async () => {
    await listening({ heartbeatMs: 400 });
    let beats = 0;
    const heart = setInterval(() => {
      beats += 1;
      for (const stream of world.c.streams) stream.write(': nothing new\n\n');
    }, 50);
    await expect.poll(() => beats, { timeout: 5_000 }).toBeGreaterThan(30);
    clearInterval(heart);
    expect(world.c.lastEventIds).toHaveLength(1);
  });

  it('while no router takes listeners, the table is polled', async () => {
    for (const router of world.routers) {
      router.routingAnswer = (response, request) =>
        request.path.endsWith('/stream')
          ? refuseAs('overloaded')(response, request)
          : router.answerOfTable(response, request);
    }
    const client = await world.readyClient({ random: () => 0.01 });
    moveTo('b', 2);
    await expect.poll(() => client.tableVersion, { timeout: 10_000 }).toBe(world.cluster.snapshot().tableVersion);
  });
});

describe('where bodies cannot be read as they arrive', () => {
  it('the table is polled with the tag of the last one, and the stream is never asked for', async () => {
    const client = await world.readyClient({ fetch: withoutStreams, pollMs: 20 });
    await expect.poll(() => world.c.snapshotsAsked, { timeout: 10_000 }).toBeGreaterThan(3);
    const polls = world.c.received.filter(({ path }) => path === '/v1/routing');
    expect(polls[0]?.headers['if-none-match']).toBeUndefined();
    expect(polls[2]?.headers['if-none-match']).toMatch(/^"/);
    moveTo('b', 2);
    await expect.poll(() => client.tableVersion).toBe(world.cluster.snapshot().tableVersion);
    expect(world.c.received.some(({ path }) => path.endsWith('/stream'))).toBe(false);
  });

  it('an answer that tells of a newer table is a reason to fetch it before the next poll', async () => {
    const client = await world.readyClient({ fetch: withoutStreams, pollMs: 3_600_000 });
    moveTo('b', 2);
    await client.orders.place(orderAt(1));
    await expect.poll(() => client.tableVersion).toBe(world.cluster.snapshot().tableVersion);
    await client.orders.place(orderAt(1));
    expect(world.called).toBe('ab');
  });

  it('many answers that tell of it cause one fetch', async () => {
    const client = await world.readyClient({ fetch: withoutStreams, pollMs: 3_600_000 });
    const asked = world.c.snapshotsAsked;
    moveTo('b', 2);
    await Promise.all(Array.from({ length: 20 }, () => client.orders.place(orderAt(1))));
    await expect.poll(() => client.tableVersion).toBe(world.cluster.snapshot().tableVersion);
    expect(world.c.snapshotsAsked).toBe(asked + 1);
  });
});

describe('what a client may not do', () => {
  it('a listener that throws harms nobody, and is told of', async () => {
    const faults: unknown[] = [];
    const client = world.client({ onFault: (error) => faults.push(error) });
    client.onRoutingChange(() => {
      throw new Error('mine');
    });
    await client.ready();
    await client.orders.place(orderAt(1));
    expect(faults).toEqual([new Error('mine')]);
  });

  it('it is refused without a router, and with what is none', async () => {
    expect(() => world.client({ routerUrls: [] })).toThrow(RangeError);
    expect(() => world.client({ routerUrls: ['router.example'] })).toThrow('not the base URL of a router');
    // An address that ends in a slash is as good.
    const client = await world.readyClient({ routerUrls: [`${world.c.url}/`] });
    expect(client.tableVersion).toBeGreaterThan(0);
  });
});
