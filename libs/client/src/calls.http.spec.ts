import { PROBLEMS, type RetryRule } from '@borough/contracts';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { dieHalfWay, dieUnanswered, freshId, refuseAs, refuseWith, staySilent } from '../testing/fake-router.js';
import { OTHER_PLACE, PLACE, World, orderAt } from '../testing/world.js';
import { DeliveryProblem, type Clock } from './index.js';

let world: World;

beforeEach(async () => {
  world = await World.start();
});

afterEach(async () => {
  await world.stop();
});

async function problemOf(call: Promise<unknown>): Promise<DeliveryProblem> {
  const error: unknown = await call.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(DeliveryProblem);
  return error as DeliveryProblem;
}

function keys(): (string | string[] | undefined)[] {
  return world.routers.flatMap(({ calls }) => calls.map(({ headers }) => headers['idempotency-key']));
}

describe('every route', () => {
  it('sends the tag and the body of the contract, and gives the answer back', async () => {
    const client = await world.readyClient();
    const order = await client.orders.place(orderAt(1));
    expect(order).toMatchObject({ status: 'placed', items: [{ name: 'arepa', quantity: 2 }] });
    expect(await client.orders.get(order.id)).toMatchObject({ id: order.id });
    expect(await client.orders.accept(order.id)).toMatchObject({ id: order.id, status: 'accepted' });
    expect(await client.orders.cancel(order.id, { reason: 'rain' })).toMatchObject({ status: 'cancelled' });
    const store = await client.stores.open({ name: 'La Puerta', location: PLACE });
    expect(await client.stores.get(store.id)).toMatchObject({ id: store.id });
    const courier = await client.couriers.register({ name: 'Ana', vehicle: 'bicycle', location: PLACE });
    expect(await client.couriers.get(courier.id)).toMatchObject({ id: courier.id });

    expect(world.called).toBe('aaaaaaaa');
    expect(world.a.calls[0]).toMatchObject({ method: 'POST', path: '/v1/orders' });
    expect(world.a.calls[0]?.headers['traffic-tag']).toMatch(/^str_/);
    expect(world.a.calls[3]?.body).toBe('{"reason":"rain"}');
    expect(world.a.calls[4]?.headers['traffic-tag']).toMatch(/^geo:89/);
  });

  it('a read has no header that would cost a browser a preflight, where its path says enough', async () => {
    const client = await world.readyClient();
    await client.orders.get(freshId('order', 1));
    const headers = Object.keys(world.a.calls[0]?.headers ?? {});
    expect(headers).not.toContain('traffic-tag');
    expect(headers).not.toContain('idempotency-key');
    expect(headers).not.toContain('content-type');
  });

  it("a customer's orders are asked for near a place, or anywhere once there is a table", async () => {
    const client = world.client();
    const customer = freshId('customer');
    const { orders } = await client.orders.listOfCustomer(customer, { limit: 5, cursor: 'a b' });
    expect(orders).toHaveLength(1);
    await client.orders.listOfCustomer(customer, { near: OTHER_PLACE });
    const [anywhere, near] = world.routers
      .flatMap(({ calls }) => calls)
      .sort((one) => (one.path.includes('?') ? -1 : 1));
    expect(anywhere).toMatchObject({ path: `/v1/customers/${customer}/orders?limit=5&cursor=a%20b` });
    expect(anywhere?.headers['traffic-tag']).toMatch(/^shard:[12]$/);
    expect(near?.headers['traffic-tag']).toMatch(/^geo:89/);
    expect(world.b.calls.at(-1)).toBe(near);
  });

  it('what cannot be right is refused without a request, as the server would', async () => {
    const client = await world.readyClient();
    const wrong = await problemOf(client.orders.place({ ...orderAt(), storeId: 'str_nonsense' }));
    expect(wrong).toMatchObject({ code: 'validation-failed', retry: 'never', isOutcomeUnknown: false });
    expect(wrong.facts['errors']).toEqual([expect.objectContaining({ path: 'storeId' })]);
    expect(await problemOf(client.orders.get('ord_/../..'))).toMatchObject({ code: 'validation-failed' });
    const badKey = await problemOf(client.orders.place(orderAt(), { idempotencyKey: 'two words' }));
    expect(badKey).toMatchObject({ code: 'malformed-idempotency-key' });
    expect(world.called).toBe('');
  });

  it('a newer server may say more than this release knows', async () => {
    const client = await world.readyClient();
    const known = await client.orders.get(freshId('order', 1));
    world.a.nextAnswers.push((response) => {
      const items = known.items.map((item) => ({ ...item, colour: 'green' }));
      const more = { ...known, items, dropOff: { ...known.dropOff, floor: 3 }, tip: { amount: 2 } };
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(more));
    });
    expect(await client.orders.get(known.id)).toEqual(known);
  });

  it('an answer that does not fit says so, at once, and that the call was carried out', async () => {
    const client = await world.readyClient();
    world.a.nextAnswers.push((response) => void response.writeHead(201).end('{"id":7}'));
    const problem = await problemOf(client.orders.place(orderAt(1)));
    expect(problem).toMatchObject({ code: 'answer-not-understood', retry: 'never', isOutcomeUnknown: false });
    expect(world.called).toBe('a');
  });
});

describe('a refusal is treated by its rule', () => {
  it('never: at once, with all that the server said', async () => {
    const client = await world.readyClient();
    world.a.nextAnswers.push(
      refuseWith({
        ...PROBLEMS['store-not-found'],
        code: 'store-not-found',
        detail: 'gone',
        requestId: 'r1',
        near: 'x',
      }),
    );
    const problem = await problemOf(client.orders.place(orderAt(1)));
    expect(problem).toMatchObject({
      name: 'DeliveryProblem',
      code: 'store-not-found',
      status: 404,
      retry: 'never',
      detail: 'gone',
      requestId: 'r1',
      facts: { near: 'x' },
      isOutcomeUnknown: false,
    });
    expect(world.called).toBe('a');
  });

  const AGAIN: RetryRule[] = ['same-request-later', 'refresh-routing-then-retry'];
  it.each(AGAIN)('%s: the same bytes with the same key, also when the code is new', async (retry) => {
    const client = await world.readyClient();
    world.a.nextAnswers.push(refuseWith({ code: 'from-the-future', status: 400, title: 'New', retry }));
    await client.orders.place(orderAt(1));
    const calls = world.routers.flatMap((router) => router.calls);
    expect(calls).toHaveLength(2);
    expect(calls[1]?.body).toBe(calls[0]?.body);
    expect(new Set(keys()).size).toBe(1);
  });

  it('421: the table is fetched first, and then the new owner is asked', async () => {
    const client = await world.readyClient({ heartbeatMs: 60_000 });
    await expect.poll(() => world.c.streams.size).toBe(1);
    // The move is not pushed: the client hears of it by the refusal.
    world.cluster.say({ shard: 1, epoch: 2, state: 'serving', owner: 'b' });
    const asked = world.c.snapshotsAsked;
    world.a.answer = refuseAs('wrong-zone');
    await client.orders.place(orderAt(1));
    // Twice at `a`: `fetch` itself sends what got a 421 once more over a new connection (Fetch standard, 4.6).
    expect(world.called).toBe('aab');
    expect(new Set(keys()).size).toBe(1);
    expect(world.c.snapshotsAsked).toBeGreaterThan(asked);
    expect(client.tableVersion).toBe(world.cluster.snapshot().tableVersion);
  });

  it('a 421 that does not end is bounded by the deadline, and the table is not fetched at each try', async () => {
    const client = await world.readyClient({ deadlineMs: 2_500, random: () => 0.1 });
    for (const router of world.routers) router.answer = refuseAs('wrong-zone');
    const before = world.c.snapshotsAsked;
    const problem = await problemOf(client.orders.place(orderAt(1)));
    expect(problem.code).toBe('deadline-exceeded');
    expect((problem.cause as DeliveryProblem).code).toBe('wrong-zone');
    expect(world.called.length).toBeGreaterThan(4);
    expect(world.c.snapshotsAsked - before).toBeLessThanOrEqual(5);
  });

  it('503 hold-full: after Retry-After it is placed, once', async () => {
    const waits: number[] = [];
    const clock: Clock = {
      nowMs: () => Date.now(),
      after: (ms, work) => {
        waits.push(ms);
        const timer = setTimeout(work, ms);
        return () => {
          clearTimeout(timer);
        };
      },
    };
    const client = await world.readyClient({ random: () => 0.01, clock });
    for (const router of [world.a, world.c]) router.nextAnswers.push(refuseAs('hold-full', { 'retry-after': '1' }));
    await client.orders.place(orderAt(1));
    // Another router may have a place free, so it is asked next.
    expect(world.called).toBe('abc');
    expect(waits.filter((ms) => ms > 1_000 && ms < 1_100)).toEqual([1_001, 1_002]);
    expect(world.cluster.effects.size).toBe(1);
  });

  it('423 order-held: asked again after Retry-After with the same key, and done when the hold ends', async () => {
    const client = await world.readyClient({ random: () => 0.01 });
    const order = await client.orders.place(orderAt(1));
    const before = world.called.length;
    for (const router of world.routers) router.nextAnswers.push(refuseAs('order-held', { 'retry-after': '1' }));
    expect(await client.orders.accept(order.id)).toMatchObject({ id: order.id, status: 'accepted' });
    expect(world.called.length - before).toBeGreaterThan(1);
    expect(new Set(keys()).size).toBe(2);
  });

  it('423 order-held to the end: nothing was done, and the app is told why and since when', async () => {
    const client = await world.readyClient({ deadlineMs: 300 });
    const hold = { reason: 'declared-loss', since: '2026-11-22T19:30:00.000Z' };
    for (const router of world.routers) {
      router.answer = refuseWith({ code: 'order-held', ...PROBLEMS['order-held'], ...hold });
    }
    const problem = await problemOf(client.orders.cancel(freshId('order', 1)));
    expect(problem).toMatchObject({ code: 'deadline-exceeded', isOutcomeUnknown: false });
    expect(problem.cause).toMatchObject({ code: 'order-held', retry: 'same-request-later', facts: hold });
  });

  it('every router is asked again after a pause, not only the first one', async () => {
    const client = await world.readyClient({ random: () => 0.1 });
    world.a.answer = refuseAs('overloaded');
    for (const router of [world.b, world.c]) router.nextAnswers.push(refuseAs('overloaded'));
    await client.orders.place(orderAt(1));
    expect(world.called).toBe('aabcc');
  });

  it('a pause that would outlast the deadline is not waited for', async () => {
    const client = await world.readyClient();
    world.a.nextAnswers.push(refuseAs('overloaded', { 'retry-after': '3600' }));
    const problem = await problemOf(client.orders.place(orderAt(1)));
    expect(problem).toMatchObject({ code: 'deadline-exceeded', retry: 'same-request-later', isOutcomeUnknown: false });
    expect((problem.cause as DeliveryProblem).code).toBe('overloaded');
    expect(world.called).toBe('a');
  });
});

describe('a broken connection', () => {
  it.each([
    ['dies unanswered', dieUnanswered],
    ['dies in the middle of its answer', dieHalfWay],
    [
      "is a proxy's error page",
      (response: { writeHead(status: number): { end(text: string): unknown } }) => {
        response.writeHead(502).end('<h1>Bad gateway</h1>');
      },
    ],
    [
      "is a hotel's log-in page",
      (response: { writeHead(status: number): { end(text: string): unknown } }) => {
        response.writeHead(200).end('<h1>Welcome</h1>');
      },
    ],
  ])('that %s is sent again to another router with the same key, and has one effect', async (_, brokenAnswer) => {
    const client = await world.readyClient();
    world.a.nextAnswers.push(brokenAnswer);
    await client.orders.place(orderAt(1), { idempotencyKey: 'mine' });
    expect(world.called).toBe('ac');
    expect(keys()).toEqual(['mine', 'mine']);
    expect(world.cluster.effects.size).toBe(1);
  });

  it('a router that is frozen leaves time for another one', async () => {
    const client = await world.readyClient({ deadlineMs: 1_500 });
    world.a.answer = staySilent;
    await client.orders.get(freshId('order', 1));
    expect(world.called).toBe('ac');
    // And is not asked first the next time.
    await client.orders.get(freshId('order', 1));
    expect(world.called).toBe('acc');
  });

  it('with no router left, tries go on until the deadline, and a write that never left is known not to have happened', async () => {
    // Pauses of 0.1, 0.2 and 0.4 s, and the next one would outlast the deadline: it does not fall into a try.
    const client = await world.readyClient({ deadlineMs: 1_200, random: () => 0.999 });
    await Promise.all(world.routers.map((router) => router.kill()));
    const problem = await problemOf(client.orders.place(orderAt(1)));
    expect(problem).toMatchObject({ code: 'deadline-exceeded', status: undefined, isOutcomeUnknown: false });
    expect((problem.cause as DeliveryProblem).code).toBe('router-unreachable');
  });

  it('once routers are back within the deadline, the call succeeds', async () => {
    const client = await world.readyClient();
    await Promise.all(world.routers.map((router) => router.kill()));
    const placed = client.orders.place(orderAt(1));
    await world.a.start();
    await world.b.start();
    await world.c.start();
    expect(await placed).toMatchObject({ status: 'placed' });
  });
});

describe('the end of a call that has no answer', () => {
  it('a write that may have arrived: the outcome is unknown, and the error has the key that settles it', async () => {
    const client = await world.readyClient({ deadlineMs: 600 });
    for (const router of world.routers) router.answer = staySilent;
    const problem = await problemOf(client.orders.place(orderAt(1), { idempotencyKey: 'k1' }));
    expect(problem).toMatchObject({ code: 'deadline-exceeded', isOutcomeUnknown: true, idempotencyKey: 'k1' });
  });

  it('a read changes nothing, so its outcome is never unknown', async () => {
    const client = await world.readyClient({ deadlineMs: 400 });
    for (const router of world.routers) router.answer = staySilent;
    const problem = await problemOf(client.orders.get(freshId('order', 1)));
    expect(problem).toMatchObject({ code: 'deadline-exceeded', isOutcomeUnknown: false, idempotencyKey: undefined });
  });

  it('what once may have happened stays unknown, whatever routers say later; what a zone says settles it', async () => {
    const client = await world.readyClient();
    world.a.nextAnswers.push(refuseAs('outcome-unknown'));
    for (const router of [world.b, world.c]) router.nextAnswers.push(refuseAs('area-not-served'));
    expect(await problemOf(client.orders.place(orderAt(1)))).toMatchObject({
      code: 'area-not-served',
      isOutcomeUnknown: true,
    });
    world.a.nextAnswers.push(refuseAs('outcome-unknown'));
    for (const router of [world.b, world.c]) {
      router.nextAnswers.splice(0);
      router.nextAnswers.push(refuseAs('store-not-found', { 'borough-zone': 'b' }));
    }
    expect(await problemOf(client.orders.place(orderAt(1)))).toMatchObject({
      code: 'store-not-found',
      isOutcomeUnknown: false,
    });
  });

  it('the signal of the caller ends a call, also while it pauses', async () => {
    const client = await world.readyClient();
    for (const router of world.routers) router.answer = refuseAs('overloaded', { 'retry-after': '5' });
    const leaving = new AbortController();
    const call = problemOf(client.orders.place(orderAt(1), { signal: leaving.signal }));
    await expect.poll(() => world.called).toBe('a');
    leaving.abort(new Error('the screen was left'));
    const problem = await call;
    expect(problem).toMatchObject({ code: 'aborted', isOutcomeUnknown: false });
    expect(problem.cause).toEqual(new Error('the screen was left'));

    const before = await problemOf(client.orders.place(orderAt(1), { signal: leaving.signal }));
    expect(before).toMatchObject({ code: 'aborted', isOutcomeUnknown: false });
    expect(world.called).toBe('a');
  });
});
