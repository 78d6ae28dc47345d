import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { dieUnanswered, refuseAs, staySilent } from '../testing/fake-router.js';
import { MemoryStorage, PLACE, World, orderAt } from '../testing/world.js';
import { DeliveryProblem, fromAsyncStorage, fromWebStorage, type Clock, type DeliveryClient } from './index.js';

let world: World;
let storage: MemoryStorage;

beforeEach(async () => {
  world = await World.start();
  storage = new MemoryStorage();
});

afterEach(async () => {
  await world.stop();
});

/** A client, and its order that every router took and none has answered; then the app ends. */
async function dieWaiting(options: { idempotencyKey?: string } = {}): Promise<void> {
  const client = await world.readyClient({ storage });
  for (const router of world.routers) {
    const { answer } = router;
    // The zone does its work; only the answer is lost.
    router.nextAnswers.push(async (response, request) => {
      const lost = { writeHead: () => undefined, end: () => undefined } as unknown as typeof response;
      await answer(lost, request);
      await staySilent(response, request);
    });
  }
  const call = client.orders.place(orderAt(1), options);
  await expect.poll(() => world.cluster.effects.size).toBe(1);
  expect(storage.pending.length).toBeGreaterThan(0);
  await client.close();
  await expect(call).rejects.toMatchObject({ code: 'client-closed', isOutcomeUnknown: true });
  for (const router of world.routers) router.nextAnswers.splice(0);
}

function clockAt(offsetMs: number): Clock {
  return {
    nowMs: () => Date.now() + offsetMs,
    after: (ms, work) => {
      const timer = setTimeout(work, ms);
      return () => {
        clearTimeout(timer);
      };
    },
  };
}

describe('a change', () => {
  it('is in the storage before it is sent, and gone after its answer', async () => {
    const client = await world.readyClient({ storage });
    let keptAtArrival: string[] = [];
    const { answer } = world.a;
    world.a.answer = (response, request) => {
      keptAtArrival = storage.pending;
      return answer(response, request);
    };
    await client.orders.place(orderAt(1), { idempotencyKey: 'k1' });
    expect(keptAtArrival).toEqual(['borough/pending/k1']);
    expect(storage.pending).toEqual([]);
  });

  it('that is refused for good is gone, too', async () => {
    const client = await world.readyClient({ storage });
    world.a.nextAnswers.push(refuseAs('store-not-found', { 'borough-zone': 'a' }));
    await expect(client.orders.place(orderAt(1))).rejects.toMatchObject({ code: 'store-not-found' });
    expect(storage.pending).toEqual([]);
  });

  it('that certainly did not happen before the deadline is gone: the app was told so', async () => {
    const client = await world.readyClient({ storage });
    for (const router of world.routers) router.answer = refuseAs('hold-full', { 'retry-after': '3600' });
    await expect(client.orders.place(orderAt(1))).rejects.toMatchObject({ isOutcomeUnknown: false });
    expect(storage.pending).toEqual([]);
  });

  it('that may have happened stays', async () => {
    const client = await world.readyClient({ storage, deadlineMs: 300 });
    for (const router of world.routers) router.answer = dieUnanswered;
    await expect(client.orders.place(orderAt(1))).rejects.toMatchObject({ isOutcomeUnknown: true });
    expect(await client.pendingCalls()).toMatchObject([{ operation: 'orders.place', isUnderWay: false }]);
  });

  it('under way is shown as such, and is not sent a second time', async () => {
    const client = await world.readyClient({ storage });
    world.a.nextAnswers.push(staySilent);
    const leaving = new AbortController();
    const call = client.orders.place(orderAt(1), { signal: leaving.signal }).catch(() => undefined);
    await expect.poll(() => world.called).toBe('a');
    expect(await client.pendingCalls()).toMatchObject([{ isUnderWay: true }]);
    expect(await client.resumePending()).toEqual([]);
    leaving.abort();
    await call;
  });
});

describe('after a restart', () => {
  it('a pending change is sent again with its key and its bytes, and has one effect', async () => {
    await dieWaiting({ idempotencyKey: 'k1' });
    const client = await world.readyClient({ storage });
    const resumed = await client.resumePending();
    expect(resumed).toMatchObject([
      { kind: 'done', operation: 'orders.place', answer: { status: 'placed' }, call: { idempotencyKey: 'k1' } },
    ]);
    expect(world.cluster.effects.size).toBe(1);
    expect(new Set(world.a.calls.map(({ body }) => body)).size).toBe(1);
    expect(new Set(world.a.calls.map(({ headers }) => headers['traffic-tag'])).size).toBe(1);
    expect(storage.pending).toEqual([]);
    expect(await client.resumePending()).toEqual([]);
  });

  it('changes of every kind are resumed, the oldest first, and answers are told apart', async () => {
    const stopped = await world.readyClient({ storage, deadlineMs: 250 });
    for (const router of world.routers) router.answer = dieUnanswered;
    const ignore = () => undefined;
    await stopped.stores.open({ name: 'La Puerta', location: PLACE }).catch(ignore);
    await stopped.couriers.register({ name: 'Ana', vehicle: 'car', location: PLACE }).catch(ignore);
    await stopped.close();
    for (const router of world.routers) Reflect.deleteProperty(router, 'answer');
    await world.stop();

    world = await World.start();
    const client = await world.readyClient({ storage });
    const resumed = await client.resumePending();
    expect(resumed.map((one) => (one.kind === 'done' ? [one.operation, one.answer] : one))).toMatchObject([
      ['stores.open', { name: 'La Puerta' }],
      ['couriers.register', { name: 'Ana', vehicle: 'car' }],
    ]);
  });

  it('a change that is refused now says why, and is pending no more', async () => {
    await dieWaiting();
    const client = await world.readyClient({ storage });
    world.a.nextAnswers.push(refuseAs('store-not-found', { 'borough-zone': 'a' }));
    const [resumed] = await client.resumePending();
    expect(resumed).toMatchObject({ kind: 'refused', problem: { code: 'store-not-found' } });
    expect(storage.pending).toEqual([]);
  });

  it('with no network the change stays pending, and so do those behind it, after one deadline', async () => {
    for (const idempotencyKey of ['k1', 'k2']) {
      world.cluster.effects.clear();
      await dieWaiting({ idempotencyKey });
    }
    const client = await world.readyClient({ storage, deadlineMs: 300 });
    for (const router of world.routers) router.answer = dieUnanswered;
    const resumed = await client.resumePending();
    expect(resumed).toMatchObject([{ kind: 'unknown' }, { kind: 'unknown' }]);
    const sent = new Set(world.routers.flatMap(({ calls }) => calls.map(({ headers }) => headers['idempotency-key'])));
    expect(storage.pending).toHaveLength(2);
    expect(sent).toEqual(new Set(['k1', 'k2']));
    // `k2` was sent by the app that ended, and not by this one.
    expect(
      world.routers.flatMap(({ calls }) => calls).filter(({ headers }) => headers['idempotency-key'] === 'k2'),
    ).toHaveLength(1);
  });

  it('with no connection at all, what may have happened before stays pending', async () => {
    await dieWaiting({ idempotencyKey: 'k1' });
    const client = await world.readyClient({ storage, deadlineMs: 300 });
    await Promise.all(world.routers.map((router) => router.kill()));
    expect(await client.resumePending()).toMatchObject([{ kind: 'unknown', problem: { isOutcomeUnknown: true } }]);
    expect(storage.pending).toEqual(['borough/pending/k1']);
  });

  it('a change of yesterday is not sent, and is forgotten', async () => {
    await dieWaiting();
    const called = world.called;
    const client = await world.readyClient({ storage, clock: clockAt(86_400_001) });
    expect(await client.resumePending()).toMatchObject([{ kind: 'expired', call: { operation: 'orders.place' } }]);
    expect(world.called).toBe(called);
    expect(storage.pending).toEqual([]);
  });

  it('the call once more with the key of the error settles it, too, and does not take it for settled too early', async () => {
    await dieWaiting({ idempotencyKey: 'k1' });
    const client = await world.readyClient({ storage });
    for (const router of world.routers) router.nextAnswers.push(refuseAs('overloaded', { 'retry-after': '3600' }));
    const again = client.orders.place(orderAt(1), { idempotencyKey: 'k1' });
    await expect(again).rejects.toMatchObject({ code: 'deadline-exceeded', isOutcomeUnknown: true });
    expect(storage.pending).toEqual(['borough/pending/k1']);
    for (const router of world.routers) router.nextAnswers.splice(0);
    await client.orders.place(orderAt(1), { idempotencyKey: 'k1' });
    expect(world.cluster.effects.size).toBe(1);
    expect(storage.pending).toEqual([]);
  });

  it('of the network, a client without a storage resumes what it has in memory', async () => {
    const client = await world.readyClient({ deadlineMs: 300 });
    for (const router of world.routers) router.nextAnswers.push(...Array<typeof staySilent>(9).fill(dieUnanswered));
    await expect(client.orders.place(orderAt(1))).rejects.toMatchObject({ isOutcomeUnknown: true });
    for (const router of world.routers) router.nextAnswers.splice(0);
    expect(await client.resumePending()).toMatchObject([{ kind: 'done' }]);
  });

  it('the app may forget a change by itself', async () => {
    await dieWaiting({ idempotencyKey: 'k1' });
    const client = await world.readyClient({ storage });
    await client.forgetPending('k1');
    expect(await client.pendingCalls()).toEqual([]);
  });

  it('what another release has stored is left alone, and so is what is no text of ours', async () => {
    storage.texts.set('borough/pending/k9', '{"version":2,"operation":"orders.tip"}');
    storage.texts.set('borough/pending/k8', 'nonsense');
    const client = await world.readyClient({ storage });
    expect(await client.resumePending()).toEqual([]);
    expect(storage.pending).toHaveLength(2);
  });
});

describe('the storage', () => {
  it('of two tabs keeps the changes of both', async () => {
    const tabs = await Promise.all([world.readyClient({ storage }), world.readyClient({ storage })]);
    for (const router of world.routers) router.answer = staySilent;
    const calls = tabs.flatMap((tab: DeliveryClient) =>
      Array.from({ length: 20 }, () => tab.orders.place(orderAt(1), { deadlineMs: 400 }).catch(() => undefined)),
    );
    await Promise.all(calls);
    expect(storage.pending).toHaveLength(40);
    expect(await tabs[0].pendingCalls()).toHaveLength(40);
  });

  it.each([
    [
      'throws',
      () => {
        throw new Error('full');
      },
    ],
    ['never answers', () => new Promise<never>(() => undefined)],
  ])('that %s costs what it was to keep, and no order', async (_, broken) => {
    const faults: unknown[] = [];
    const client = world.client({
      storage: { get: broken, set: broken, remove: broken, keys: broken },
      onFault: (error) => faults.push(error),
    });
    expect(await client.orders.place(orderAt(1))).toMatchObject({ status: 'placed' });
    expect(faults[0]).toBeInstanceOf(Error);
  });

  it('keeps the table and the area map for the next start, when no router may answer', async () => {
    const before = await world.readyClient({ storage });
    await before.close();
    await world.c.kill();
    await world.b.kill();
    world.a.routingAnswer = staySilent;
    const client = await world.readyClient({ storage });
    expect(client.tableVersion).toBe(before.tableVersion);
    await client.stores.open({ name: 'x', location: PLACE });
    expect(world.called).toBe('a');
  });

  it('that was spoilt is as good as none', async () => {
    for (const name of ['routing', 'area-map']) storage.texts.set(`borough/${name}`, '{"entries":[{"shard":-1}]}');
    const client = await world.readyClient({ storage });
    expect(client.tableVersion).toBe(world.cluster.snapshot().tableVersion);
  });

  it('of a browser and of React Native fit', async () => {
    const texts = new Map<string, string>();
    const web = fromWebStorage({
      get length() {
        return texts.size;
      },
      key: (index) => [...texts.keys()][index] ?? null,
      getItem: (key) => texts.get(key) ?? null,
      setItem: (key, value) => void texts.set(key, value),
      removeItem: (key) => void texts.delete(key),
    });
    const native = fromAsyncStorage({
      getItem: (key) => Promise.resolve(texts.get(key) ?? null),
      setItem: (key, value) => Promise.resolve(void texts.set(key, value)),
      removeItem: (key) => Promise.resolve(void texts.delete(key)),
      getAllKeys: () => Promise.resolve([...texts.keys()]),
    });
    const stopped = await world.readyClient({ storage: web, deadlineMs: 300 });
    for (const router of world.routers) router.nextAnswers.push(...Array<typeof dieUnanswered>(50).fill(dieUnanswered));
    await expect(stopped.orders.place(orderAt(1))).rejects.toBeInstanceOf(DeliveryProblem);
    await stopped.close();
    for (const router of world.routers) router.nextAnswers.splice(0);
    const client = await world.readyClient({ storage: native });
    expect(await client.resumePending()).toMatchObject([{ kind: 'done' }]);
    expect([...texts.keys()].filter((key) => key.includes('pending'))).toEqual([]);
  });
});

describe('close', () => {
  it('ends calls, the stream and every connection, and later calls say so', async () => {
    const client = await world.readyClient();
    await expect.poll(() => world.c.streams.size).toBe(1);
    world.a.nextAnswers.push(staySilent);
    const call = client.orders.place(orderAt(1));
    await expect.poll(() => world.called).toBe('a');
    await Promise.all([client.close(), expect(call).rejects.toMatchObject({ code: 'client-closed' })]);
    await expect.poll(() => world.c.streams.size).toBe(0);
    await expect(client.orders.place(orderAt(1))).rejects.toMatchObject({ code: 'client-closed' });
    await expect(client.ready()).rejects.toMatchObject({ code: 'client-closed' });
    await client.close();
  });

  it('before there was a table ends what waits for it', async () => {
    for (const router of world.routers) router.routingAnswer = staySilent;
    const client = world.client();
    const waiting = expect(client.ready()).rejects.toMatchObject({ code: 'client-closed' });
    await client.close();
    await waiting;
  });
});
