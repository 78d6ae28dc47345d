import 'reflect-metadata';
import { ROUTING_CHANGED_SUBJECT } from '@borough/contracts';
import { Notices } from '@borough/server-kit';
import { type RoutingEntry } from '@borough/topology';
import { pino } from 'pino';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { natsUrl } from '../../../test/support/databases.js';
import { FakeCoordinator, FakeZone, refuseAs } from './far-side.js';
import { RouterUnderTest } from './router-under-test.js';

/** Shards that no other test speaks of: the broker is shared by the whole run. */
const SHARD = 3_101;
const PROBE = 3_102;
const ORDER = { method: 'POST', headers: { 'traffic-tag': `shard:${SHARD}` } } as const;

let coordinator: FakeCoordinator;
let a: FakeZone;
let b: FakeZone;
let sender: Notices;
let router: RouterUnderTest;

beforeEach(async () => {
  coordinator = await new FakeCoordinator().start();
  [a, b] = await Promise.all([new FakeZone('a').start(), new FakeZone('b').start()]);
  coordinator.addArea(SHARD, '85196953fffffff', 'a');
  coordinator.addArea(PROBE, '851f1d4bfffffff', 'a');
  sender = new Notices(natsUrl(), 'spec-sender', pino({ level: 'silent' }));
  sender.start();
  router = await RouterUnderTest.start([coordinator], [a, b], { NATS_URL: natsUrl(), HOLD_MAX_MS: '20000' });
  await expect.poll(() => router.isReady()).toBe(true);
  // A notice is sent until it is heard: from here on none is lost.
  await expect
    .poll(async () => {
      tell({ shard: PROBE, epoch: 2, state: 'serving', owner: 'b' });
      return (await router.send('/v1/orders', { headers: { 'traffic-tag': `shard:${PROBE}` } })).text;
    })
    .toBe('{"zone":"b"}');
  b.received.length = 0;
});

afterEach(async () => {
  await router.stop();
  await sender.stop();
  await Promise.all([a.kill(), b.kill(), coordinator.kill()]);
});

function tell(...entries: RoutingEntry[]): void {
  sender.publish(ROUTING_CHANGED_SUBJECT, { tableVersion: 0, areaMapVersion: 0, entries });
}

it('a handover needs notices alone: with every coordinator away requests are held and let go', async () => {
  await coordinator.kill();
  const moving: RoutingEntry = { shard: SHARD, epoch: 1, state: 'moving', owner: 'a', heir: 'b' };
  tell(moving);
  await expect.poll(async () => (await router.send('/v1/routing')).text).toContain('"moving"');
  const held = Array.from({ length: 20 }, () => router.send('/v1/orders', ORDER));
  await expect.poll(() => router.count('borough_hold_requests')).toBe(20);
  tell({ ...moving, state: 'fenced' });
  tell({ shard: SHARD, epoch: 2, state: 'serving', owner: 'b' });

  expect(new Set((await Promise.all(held)).map(({ text }) => text))).toEqual(new Set(['{"zone":"b"}']));
  expect(a.received).toEqual([]);
  expect(new Set(b.received.map(({ headers }) => headers['borough-epoch']))).toEqual(new Set(['2']));
});

it('a hundred handovers back and forth under load: every request is answered well, by whoever owned the shard', async () => {
  const owners = ['a', 'b'] as const;
  let epoch = 1;
  let owner = 0;
  /** Answers as a zone whose database fences does: by what is true there, not by what the router thinks. */
  let truth: RoutingEntry = { shard: SHARD, epoch, state: 'serving', owner: 'a' };
  const served: string[] = [];
  for (const zone of [a, b]) {
    zone.answer = (response, request) => {
      const facts = { shard: SHARD, owner: truth.owner, epoch: truth.epoch };
      if (truth.owner !== zone.zoneId) return refuseAs('wrong-zone', facts)(response, request);
      if (truth.state !== 'serving') return refuseAs('shard-moving', facts)(response, request);
      if (request.headers['borough-epoch'] !== String(truth.epoch))
        return refuseAs('stale-epoch', facts)(response, request);
      served.push(request.body.toString());
      response.end('done');
    };
  }
  let isOver = false;
  const statuses: number[] = [];
  const client = async (name: number): Promise<void> => {
    for (let at = 0; !isOver; at += 1) {
      const headers = { ...ORDER.headers, 'idempotency-key': `${name}-${at}` };
      const { status } = await router.send('/v1/orders', { method: 'POST', headers, body: `${name}-${at}` });
      statuses.push(status);
    }
  };
  const clients = Array.from({ length: 8 }, (_, name) => client(name));
  for (let move = 0; move < 100; move += 1) {
    const from = owners[owner % 2] ?? 'a';
    owner += 1;
    const heir = owners[owner % 2] ?? 'b';
    truth = { shard: SHARD, epoch, state: 'fenced', owner: from, heir };
    // Now and then the notice of the beginning is lost, now and then that of the end.
    if (move % 2 === 0) tell({ ...truth, state: 'moving' });
    await expect.poll(() => router.count('borough_hold_requests'), { interval: 1 }).toBeGreaterThan(0);
    const before = served.length;
    epoch += 1;
    truth = { shard: SHARD, epoch, state: 'serving', owner: heir };
    coordinator.say(truth);
    if (move % 3 !== 0) tell(truth);
    await expect.poll(() => served.length, { interval: 1 }).toBeGreaterThan(before);
  }
  isOver = true;
  await Promise.all(clients);

  expect(new Set(statuses)).toEqual(new Set([200]));
  expect(new Set(served).size).toBe(served.length);
  expect(served.length).toBe(statuses.length);
});
