/** A zone is lost under load and left by itself, comes back, with its disk and without, and is whole again. */
import { type MoveView, type ZonesView } from '@borough/contracts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startTestCluster, type TestCluster } from '../support/cluster.js';
import { askLeader, readFromAny } from '../support/coordinators.js';
import { OrderStream } from '../support/placing-orders.js';
import { contentsOfAll, missingOrders } from '../support/zone-contents.js';

const ZONES = ['a', 'b', 'c'];
const PATIENT = { timeout: 60_000, interval: 50 };

let cluster: TestCluster;

beforeAll(async () => {
  cluster = await startTestCluster('failover', {
    coordinators: 2,
    failoverPolicy: 'automatic',
    environment: { FAILOVER_BACK_OFF_MS: '500' },
  });
});

afterAll(async () => {
  await cluster.stop();
});

describe('a zone that is killed with all it has', () => {
  it('is left by itself: its orders go on elsewhere, none that was acknowledged is missing, none is refused', async () => {
    const stream = new OrderStream(cluster, ZONES);
    await placedMore(stream, 30);
    await cluster.killZone('a', 'SIGKILL');
    await expect.poll(ownerOfA, PATIENT).not.toBe('a');
    await placedMore(stream, 60);
    await stream.stop();
    expect(stream.refused).toEqual([]);
    for (const zone of ['b', 'c']) expect(await missingOrders(cluster, zone, stream.acknowledged)).toEqual([]);
    const failover = await lastFailover();
    expect(failover).toMatchObject({ state: 'ended', outcome: 'moved', seen: 'database-down' });
    expect(failover?.rejoinedAt).toBeUndefined();
  });

  it('comes back by itself: what it wrote and told nobody is kept, and it is a full member again', async () => {
    await cluster.startZone('a');
    await whole();
    expect((await lastFailover())?.rejoinedAt).toBeDefined();
    await expectZonesEqual();
  });

  it('takes its shards again, and loses nothing without its disk either: it is seeded by the others', async () => {
    await bringHome();
    const stream = new OrderStream(cluster, ZONES);
    await placedMore(stream, 30);
    await cluster.killZone('a', 'SIGKILL');
    cluster.wipeZone('a');
    await expect.poll(ownerOfA, PATIENT).not.toBe('a');
    await cluster.startZone('a');
    await whole();
    await placedMore(stream, 30);
    await stream.stop();
    expect(stream.refused).toEqual([]);
    for (const zone of ZONES) expect(await missingOrders(cluster, zone, stream.acknowledged)).toEqual([]);
    await expectZonesEqual();
    await bringHome();
  });
});

describe('a zone that is frozen', () => {
  it('acknowledges nothing when it goes on, and shows nothing old as fresh', async () => {
    const stream = new OrderStream(cluster, ZONES);
    await placedMore(stream, 30);
    await cluster.killZone('a', 'SIGSTOP');
    await expect.poll(ownerOfA, PATIENT).not.toBe('a');
    const known = stream.acknowledged[0]?.orderId ?? '';
    await cluster.killZone('a', 'SIGCONT');
    const url = cluster.addresses.zones.find(({ id }) => id === 'a')?.apiUrl ?? '';
    const read = await fetch(`${url}/v1/orders/${known}`);
    if (read.status !== 200) expect(await read.json()).toMatchObject({ code: 'zone-not-current' });
    await whole();
    await placedMore(stream, 30);
    await stream.stop();
    expect(stream.refused).toEqual([]);
    for (const zone of ZONES) expect(await missingOrders(cluster, zone, stream.acknowledged)).toEqual([]);
    await expectZonesEqual();
  });
});

function shardOfA(): number {
  return cluster.stores.get('a')?.shard ?? -1;
}

async function ownerOfA(): Promise<string | undefined> {
  const answer = await readFromAny<{ shards: { shard: number; owner: string }[] }>(
    cluster.addresses.coordinatorUrls,
    '/ops/v1/shards',
  );
  return answer?.shards.find(({ shard }) => shard === shardOfA())?.owner;
}

async function lastFailover(): Promise<MoveView | undefined> {
  const answer = await readFromAny<{ moves: MoveView[] }>(cluster.addresses.coordinatorUrls, '/ops/v1/moves');
  return answer?.moves.find(({ kind }) => kind === 'failover');
}

/** Every zone in every other one's record, nobody sealed off, all well. */
async function whole(): Promise<void> {
  await expect
    .poll(async () => {
      const view = await readFromAny<ZonesView>(cluster.addresses.coordinatorUrls, '/ops/v1/zones');
      return view?.zones.map(({ zone, recordedMembers, sealedOffBy, health, isApiReady }) => [
        zone,
        recordedMembers,
        sealedOffBy ?? [],
        health,
        isApiReady,
      ]);
    }, PATIENT)
    .toEqual(ZONES.map((zone) => [zone, ZONES.filter((other) => other !== zone), [], 'healthy', true]));
}

async function bringHome(): Promise<void> {
  await expect
    .poll(async () => {
      const request = {
        target: { kind: 'shards', shards: [shardOfA()], to: 'a' },
        why: 'home again',
        requestedBy: 'spec',
      };
      await askLeader(cluster.addresses.coordinatorUrls, '/ops/v1/moves', request);
      return ownerOfA();
    }, PATIENT)
    .toBe('a');
}

async function placedMore(stream: OrderStream, count: number): Promise<void> {
  const before = stream.acknowledged.length;
  await expect.poll(() => stream.acknowledged.length, PATIENT).toBeGreaterThanOrEqual(before + count);
}

async function expectZonesEqual(): Promise<void> {
  await expect
    .poll(
      async () => new Set(Object.values(await contentsOfAll(cluster)).map((contents) => JSON.stringify(contents))).size,
      PATIENT,
    )
    .toBe(1);
}
