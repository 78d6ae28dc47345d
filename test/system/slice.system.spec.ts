import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startTestCluster, type TestCluster } from '../support/cluster.js';
import { OrderStream, placeOrder } from '../support/placing-orders.js';
import { contentsOfAll, missingOrders } from '../support/zone-contents.js';

const ZONES = ['a', 'b', 'c'];
/** For what must happen in its own time; each wait ends with the condition, not with this. */
const PATIENT = { timeout: 20_000, interval: 50 };

let cluster: TestCluster;

beforeAll(async () => {
  cluster = await startTestCluster('slice');
});

afterAll(async () => {
  await cluster.stop();
});

describe('a healthy cluster', () => {
  it('has every order in every zone, alike (P6)', async () => {
    const attempts = await Promise.all(ZONES.flatMap((zone) => [1, 2, 3].map(() => placeOrder(cluster, zone))));
    expect(attempts.map(({ status }) => status)).toEqual(attempts.map(() => 201));
    await expectZonesEqual();
    for (const zone of ZONES) expect(await missingOrders(cluster, zone, attempts)).toEqual([]);
  });

  it('acknowledges an order only when every zone has it: it can be read everywhere at once (P1)', async () => {
    const { orderId } = await placeOrder(cluster, 'a');
    for (const { apiUrl } of cluster.addresses.zones) {
      const answer = await fetch(`${apiUrl}/v1/orders/${orderId ?? ''}`);
      expect(answer.status).toBe(200);
    }
  });

  it('sends a write that reached the wrong zone to the owner, and its database refuses the row itself (P2)', async () => {
    const store = cluster.stores.get('a');
    const wrong = cluster.addresses.zones.find(({ id }) => id === 'b');
    const answer = await fetch(`${wrong?.apiUrl ?? ''}/v1/stores`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'idempotency-key': 'wrong-zone' },
      body: JSON.stringify({ name: 'x', location: { latitude: 53.1, longitude: 8.8 } }),
    });
    expect(answer.status).toBe(421);
    expect(await answer.json()).toMatchObject({ code: 'wrong-zone', owner: 'a', epoch: 1, shard: store?.shard });
    const api = new pg.Client({ connectionString: wrong?.postgres.apiUrl });
    await api.connect();
    const insert = `INSERT INTO idempotency_keys (shard, route, caller, key, epoch, fingerprint, status, answer, created_at)
                    VALUES ($1, 'r', 'c', 'k', 1, '', 201, '', now())`;
    await expect(api.query(insert, [store?.shard])).rejects.toMatchObject({ code: 'BR421' });
    await api.end();
  });

  it('waits for all other zones in each zone’s Postgres', async () => {
    for (const zone of ZONES) expect(await settingOf(zone)).toMatch(/^FIRST 2 /);
  });

  it('has logged no error and no warning', () => {
    expect(cluster.notices.filter((notice) => / (error|warn) /.test(notice))).toEqual([]);
  });

  it('repairs a subscription that somebody switched off', async () => {
    await cluster.sql('b', 'ALTER SUBSCRIPTION borough_b_from_a DISABLE');
    await expect
      .poll(
        () => cluster.sql('b', "SELECT subenabled FROM pg_subscription WHERE subname = 'borough_b_from_a'"),
        PATIENT,
      )
      .toEqual([{ subenabled: true }]);
    await expect.poll(() => settingOf('a'), PATIENT).toMatch(/^FIRST 2 /);
  });
});

describe('when a zone’s API process is killed', () => {
  it('it is started again, and no acknowledged order is missing', async () => {
    const stream = new OrderStream(cluster, ZONES);
    await expect.poll(() => stream.acknowledged.length, PATIENT).toBeGreaterThan(20);
    const before = processOf('zone-b');
    process.kill(before.pid, 'SIGKILL');
    await expect.poll(() => processOf('zone-b').pid, PATIENT).not.toBe(before.pid);
    const placedByThen = stream.acknowledged.length;
    await expect
      .poll(() => stream.acknowledged.filter(({ zoneId }) => zoneId === 'b').length, PATIENT)
      .toBeGreaterThan(placedByThen / ZONES.length);
    await stream.stop();
    for (const zone of ZONES) expect(await missingOrders(cluster, zone, stream.acknowledged)).toEqual([]);
    expect(stream.refused.every(({ zoneId }) => zoneId === 'b')).toBe(true);
    await expectZonesEqual();
  });
});

describe('when another zone’s Postgres', () => {
  it.each([
    ['is killed', 'SIGKILL'],
    ['freezes', 'SIGSTOP'],
  ] as const)('%s, writes go on without it, loudly, and it is taken back', async (_how, signal) => {
    const stream = new OrderStream(cluster, ['a', 'b']);
    await expect.poll(() => stream.acknowledged.length, PATIENT).toBeGreaterThan(10);
    await stopPostgres('c', signal);
    await expect.poll(() => settingOf('a'), PATIENT).toBe('FIRST 1 (borough_b_from_a)');
    const placedByThen = stream.acknowledged.length;
    await expect.poll(() => stream.acknowledged.length, PATIENT).toBeGreaterThan(placedByThen + 10);
    expect(cluster.notices.some((notice) => /zone-a .*zone c dropped from the in-sync record/.test(notice))).toBe(true);

    await resumePostgres('c', signal);
    await expect.poll(() => settingOf('a'), PATIENT).toMatch(/^FIRST 2 /);
    await expect.poll(() => settingOf('b'), PATIENT).toMatch(/^FIRST 2 /);
    await expect.poll(() => settingOf('c'), PATIENT).toMatch(/^FIRST 2 /);
    await stream.stop();
    expect(stream.refused).toEqual([]);
    await expectZonesEqual();
    for (const zone of ZONES) expect(await missingOrders(cluster, zone, stream.acknowledged)).toEqual([]);
  });
});

describe('when a zone’s own Postgres is killed', () => {
  it('its writes come back with it, other zones go on, and no acknowledged order is missing', async () => {
    const stream = new OrderStream(cluster, ['a', 'b']);
    await expect.poll(() => stream.acknowledged.length, PATIENT).toBeGreaterThan(10);
    await cluster.killService('postgres-a', 'SIGKILL');
    await expect.poll(() => settingOf('b'), PATIENT).toBe('FIRST 1 (borough_c_from_b)');
    const placedByThen = stream.acknowledged.length;
    await expect.poll(() => stream.acknowledged.length, PATIENT).toBeGreaterThan(placedByThen + 10);

    await cluster.startService('postgres-a');
    const ofZoneA = (): number => stream.acknowledged.filter(({ zoneId }) => zoneId === 'a').length;
    const beforeReturn = ofZoneA();
    await expect.poll(ofZoneA, PATIENT).toBeGreaterThan(beforeReturn + 10);
    await stream.stop();
    expect(stream.refused.filter(({ zoneId }) => zoneId !== 'a')).toEqual([]);
    await expectZonesEqual();
    for (const zone of ZONES) expect(await missingOrders(cluster, zone, stream.acknowledged)).toEqual([]);
    for (const zone of ZONES) await expect.poll(() => settingOf(zone), PATIENT).toMatch(/^FIRST 2 /);
  });
});

describe('with the coordinator, NATS and Redis gone', () => {
  it('placing and reading orders goes on (P7)', async () => {
    const lost = ['coordinator', 'nats', 'redis-a', 'redis-b', 'redis-c'];
    for (const name of lost) await cluster.killService(name, 'SIGKILL');
    const attempts = await Promise.all(ZONES.map((zone) => placeOrder(cluster, zone)));
    expect(attempts.map(({ status }) => status)).toEqual([201, 201, 201]);
    for (const { orderId, storeId } of attempts) {
      const order = await fetch(`${cluster.addresses.routerUrl}/v1/orders/${orderId ?? ''}`);
      const store = await fetch(`${cluster.addresses.routerUrl}/v1/stores/${storeId}`);
      expect([order.status, store.status]).toEqual([200, 200]);
    }
    for (const name of lost.toReversed()) await cluster.startService(name);
  });
});

describe('with a zone’s API process down', () => {
  it('its orders are read from another zone, and its writes are refused for a moment', async () => {
    const { orderId } = await placeOrder(cluster, 'a');
    await cluster.killService('zone-a', 'SIGKILL');
    const read = await fetch(`${cluster.addresses.routerUrl}/v1/orders/${orderId ?? ''}`);
    expect(read.status).toBe(200);
    expect(await placeOrder(cluster, 'a')).toMatchObject({ status: 503, refusal: 'zone-unavailable' });
    await cluster.startService('zone-a');
    expect(await placeOrder(cluster, 'a')).toMatchObject({ status: 201 });
  });
});

async function expectZonesEqual(): Promise<void> {
  await expect
    .poll(async () => {
      const { a, b, c } = await contentsOfAll(cluster);
      return JSON.stringify(a) === JSON.stringify(b) && JSON.stringify(b) === JSON.stringify(c);
    }, PATIENT)
    .toBe(true);
}

async function settingOf(zone: string): Promise<string> {
  const [row] = await cluster.sql<{ setting: string }>(
    zone,
    "SELECT current_setting('synchronous_standby_names') AS setting",
  );
  return row?.setting ?? '';
}

function processOf(name: string): { pid: number } {
  const found = cluster.processes().find((process_) => process_.name === name);
  if (found?.pid === undefined) throw new Error(`${name} does not run`);
  return { pid: found.pid };
}

/** Freezing means every process of the server: its children would go on answering. */
async function stopPostgres(zone: string, signal: 'SIGKILL' | 'SIGSTOP'): Promise<void> {
  if (signal === 'SIGKILL') {
    await cluster.killService(`postgres-${zone}`, 'SIGKILL');
    return;
  }
  for (const pid of await postgresPids(zone)) process.kill(pid, 'SIGSTOP');
}

async function resumePostgres(zone: string, signal: 'SIGKILL' | 'SIGSTOP'): Promise<void> {
  if (signal === 'SIGKILL') await cluster.startService(`postgres-${zone}`);
  else for (const pid of frozen) process.kill(pid, 'SIGCONT');
}

let frozen: number[] = [];

async function postgresPids(zone: string): Promise<number[]> {
  const rows = await cluster.sql<{ pid: number }>(
    zone,
    'SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid()',
  );
  frozen = [processOf(`postgres-${zone}`).pid, ...rows.map(({ pid }) => pid)];
  return frozen;
}
