import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type MoveTarget, type MoveView } from '@borough/contracts';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { HANDOVER_STEPS } from '../../apps/coordinator/src/moves/crash-points.js';
import { startTestCluster, type TestCluster } from '../support/cluster.js';
import { abortMove, askForMove, endedMove, shardsOf } from '../support/moving-shards.js';
import { OrderStream, placeOrder } from '../support/placing-orders.js';
import { contentsOfAll, missingOrders } from '../support/zone-contents.js';

const ZONES = ['a', 'b', 'c'];
const PATIENT = { timeout: 20_000, interval: 20 };

let cluster: TestCluster;
let crashPointFile: string;
const streams: OrderStream[] = [];

beforeAll(async () => {
  crashPointFile = join(mkdtempSync(join(tmpdir(), 'borough-crash-')), 'point');
  cluster = await startTestCluster('handover', {
    coordinators: 2,
    environment: { CRASH_POINT_FILE: crashPointFile },
  });
});

// One that a failed test left behind would make the next ones fail as well.
afterEach(async () => {
  await Promise.all(streams.splice(0).map((stream) => stream.stop()));
});

afterAll(async () => {
  await cluster.stop();
});

describe('a handover under orders', () => {
  it('of one shard, there and back, refuses no order and loses none (P3)', async () => {
    const stream = streamOfOrders();
    await expect.poll(() => stream.acknowledged.length, PATIENT).toBeGreaterThan(10);
    for (const to of ['b', 'c', 'a', 'b', 'a']) {
      const move = await moved({ kind: 'shards', shards: [shardOf('a')], to });
      expect(move).toMatchObject({ outcome: 'moved', shards: [{ state: 'moved', to }] });
      expect(await ownerOf(shardOf('a'))).toBe(to);
      await placedMore(stream, 5);
    }
    await stream.stop();
    await expectAllKept(stream);
  });

  it('of a whole zone, and back again, refuses no order and loses none', async () => {
    const stream = streamOfOrders();
    await placedMore(stream, 10);
    expect(await moved({ kind: 'drain', zone: 'a' })).toMatchObject({ outcome: 'moved' });
    expect((await shardsOf(cluster)).filter(({ owner }) => owner === 'a')).toEqual([]);
    await placedMore(stream, 10);
    expect(await moved({ kind: 'undrain', zone: 'a' })).toMatchObject({ outcome: 'moved' });
    expect(await ownerOf(shardOf('a'))).toBe('a');
    await placedMore(stream, 10);
    await stream.stop();
    await expectAllKept(stream);
  });

  it('leaves nothing behind: every copy serves, no in-sync set is kept from changing', async () => {
    await expectSettled();
  });
});

describe('a coordinator that is killed in a handover', () => {
  it.each(HANDOVER_STEPS)(
    'after "%s" is followed by one that finishes or reverts, and no order is refused (P11)',
    async (point) => {
      const shard = shardOf('a');
      const from = await ownerOf(shard);
      const to = from === 'a' ? 'b' : 'a';
      const stream = streamOfOrders();
      await placedMore(stream, 10);
      writeFileSync(crashPointFile, point);
      const { body } = await askForMove(cluster, { kind: 'shards', shards: [shard], to });
      expect(body).toMatchObject({ moveId: expect.any(String) as string });
      const move = await ended(String(body['moveId']));

      expect(['moved', 'reverted']).toContain(move.outcome);
      expect(await ownerOf(shard)).toBe(move.outcome === 'moved' ? to : from);
      await placedMore(stream, 10);
      await stream.stop();
      await expectAllKept(stream);
      await expectSettled();
    },
  );
});

describe('a move that is under way', () => {
  it('has its shard to itself: another is refused with its id; one of another shard goes beside it', async () => {
    const writer = await writerThatStays('b', shardOf('b'));
    const { body: first } = await askForMove(cluster, { kind: 'shards', shards: [shardOf('b')], to: 'c' });
    const second = await askForMove(cluster, { kind: 'shards', shards: [shardOf('b')], to: 'a' });
    const beside = await askForMove(cluster, { kind: 'shards', shards: [shardOf('c')], to: 'a' });

    expect([second.status, second.body['code'], second.body['moveId']]).toEqual([
      409,
      'shard-in-move',
      first['moveId'],
    ]);
    expect(await ended(String(beside.body['moveId']))).toMatchObject({ outcome: 'moved' });
    // The writer is ended past the bound, and its shard then moves.
    expect(await ended(String(first['moveId']))).toMatchObject({ outcome: 'moved' });
    await writer.gone();
    await moved({ kind: 'shards', shards: [shardOf('b')], to: 'b' });
    await moved({ kind: 'shards', shards: [shardOf('c')], to: 'c' });
  });

  it('can be stopped before the heir is accepted: the owner serves again, at a new epoch', async () => {
    const writer = await writerThatStays('b', shardOf('b'));
    const epoch = (await shardsOf(cluster)).find(({ shard }) => shard === shardOf('b'))?.epoch ?? 0;
    const { body } = await askForMove(cluster, { kind: 'shards', shards: [shardOf('b')], to: 'c' });
    const stopped = await abortMove(cluster, String(body['moveId']));
    const move = await ended(String(body['moveId']));

    expect(stopped.status).toBe(202);
    expect(move).toMatchObject({ outcome: 'aborted', abortRequestedBy: 'spec' });
    expect(await ownerOf(shardOf('b'))).toBe('b');
    const after = (await shardsOf(cluster)).find(({ shard }) => shard === shardOf('b'))?.epoch ?? 0;
    expect(after - epoch).toBe(move.shards[0]?.state === 'reverted' ? 1 : 0);
    expect(await abortMove(cluster, String(body['moveId']))).toMatchObject({
      status: 409,
      body: { code: 'move-ended' },
    });
    expect(await placeOrder(cluster, 'b')).toMatchObject({ status: 201 });
    await writer.end();
  });
});

describe('a move that would block', () => {
  it('says what blocks it and changes nothing: the heir’s API is down', async () => {
    await cluster.killService('zone-c', 'SIGKILL');
    const before = await shardsOf(cluster);
    const { status, body } = await askForMove(cluster, { kind: 'shards', shards: [shardOf('a')], to: 'c' });
    await cluster.startService('zone-c');

    expect([status, body['code']]).toEqual([409, 'move-blocked']);
    expect(body['detail']).toContain('The API of zone c is not ready');
    expect(await shardsOf(cluster)).toEqual(before);
    await expectSettled();
  });

  it('is tried in vain when a zone that must apply the cut stands still, and goes back to the owner', async () => {
    const pids = await freezePostgres('c');
    try {
      const to = (await ownerOf(shardOf('a'))) === 'a' ? 'b' : 'a';
      const { body } = await askForMove(cluster, { kind: 'shards', shards: [shardOf('a')], to });
      // Where the guard has noticed already, the move is refused; otherwise it goes back.
      const outcome = typeof body['moveId'] === 'string' ? (await ended(body['moveId'])).outcome : body['code'];
      expect(['reverted', 'moved', 'move-blocked']).toContain(outcome);
      expect(await placeOrder(cluster, 'a')).toMatchObject({ status: 201 });
    } finally {
      for (const pid of pids) process.kill(pid, 'SIGCONT');
    }
    await expectSettled();
  });
});

/** A zone that was away a moment ago is in sync again soon: until then a check refuses the move, and changes nothing. */
async function moved(target: MoveTarget): Promise<MoveView> {
  const { body } = await vi.waitFor(async () => {
    const asked = await askForMove(cluster, target);
    expect(asked).toMatchObject({ status: 202 });
    return asked;
  }, PATIENT);
  return ended(String(body['moveId']));
}

function ended(moveId: string): Promise<MoveView> {
  return vi.waitFor(async () => {
    const move = await endedMove(cluster, moveId);
    if (move === undefined) throw new Error(`${moveId} has not ended`);
    return move;
  }, PATIENT);
}

function streamOfOrders(): OrderStream {
  const stream = new OrderStream(cluster, ZONES);
  streams.push(stream);
  return stream;
}

function shardOf(zone: string): number {
  return cluster.stores.get(zone)?.shard ?? -1;
}

async function ownerOf(shard: number): Promise<string | undefined> {
  return (await shardsOf(cluster)).find((found) => found.shard === shard)?.owner;
}

async function placedMore(stream: OrderStream, orders: number): Promise<void> {
  const before = stream.acknowledged.length;
  await expect.poll(() => stream.acknowledged.length, PATIENT).toBeGreaterThan(before + orders);
}

async function expectAllKept(stream: OrderStream): Promise<void> {
  expect(stream.refused).toEqual([]);
  await expect
    .poll(async () => {
      const { a, b, c } = await contentsOfAll(cluster);
      return JSON.stringify(a) === JSON.stringify(b) && JSON.stringify(b) === JSON.stringify(c);
    }, PATIENT)
    .toBe(true);
  for (const zone of ZONES) expect(await missingOrders(cluster, zone, stream.acknowledged)).toEqual([]);
}

async function expectSettled(): Promise<void> {
  await expect
    .poll(async () => (await shardsOf(cluster)).map(({ copies }) => new Set(Object.values(copies)).size), PATIENT)
    .toEqual([1, 1, 1]);
  await expect
    .poll(async () => (await shardsOf(cluster)).map(({ state }) => state), PATIENT)
    .toEqual(['serving', 'serving', 'serving']);
  for (const zone of ZONES) {
    await expect
      .poll(() => cluster.sql(zone, "SELECT 1 FROM control.in_sync r WHERE r.frozen_by <> '{}'"), PATIENT)
      .toEqual([]);
    await expect
      .poll(() => cluster.sql(zone, "SELECT current_setting('synchronous_standby_names') AS setting"), PATIENT)
      .toEqual([{ setting: expect.stringMatching(/^FIRST 2 /) as string }]);
  }
}

/** Holds the shard's lock as a writer does whose commit waits: a fence has to end it. */
async function writerThatStays(zone: string, shard: number): Promise<{ gone(): Promise<void>; end(): Promise<void> }> {
  const address = cluster.addresses.zones.find(({ id }) => id === zone);
  const writer = new pg.Client({ connectionString: address?.postgres.apiUrl });
  const over = new Promise<void>((resolve) => {
    writer.once('end', resolve);
  });
  writer.on('error', () => undefined);
  await writer.connect();
  await writer.query('BEGIN');
  await writer.query('SELECT control.begin_write($1)', [shard]);
  return { gone: () => over, end: () => writer.end().catch(() => undefined) };
}

/** Every process of the server: its children would go on answering. */
async function freezePostgres(zone: string): Promise<number[]> {
  const rows = await cluster.sql<{ pid: number }>(
    zone,
    'SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid()',
  );
  const server = cluster.processes().find(({ name }) => name === `postgres-${zone}`)?.pid;
  if (server === undefined) throw new Error(`the Postgres of zone ${zone} does not run`);
  const pids = [server, ...rows.map(({ pid }) => pid)];
  for (const pid of pids) process.kill(pid, 'SIGSTOP');
  return pids;
}
