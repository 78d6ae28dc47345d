import { type NestFastifyApplication } from '@nestjs/platform-fastify';
import { type ProblemDocument } from '@borough/contracts';
import { cellToLatLng, latLngToCell } from 'h3-js';
import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest';
import { redisUrl } from '../../../test/support/databases.js';
import { createLoneServer, type LoneServer } from './lone-server.js';
import { readZoneConfig } from './platform/zone.config.js';
import { startZone } from './zone.js';

/*
 * What a fence does to a writer that dawdles (`control.end_writers`), seen by the caller: the session is terminated while
 * its commit waits for a zone that does not answer. The row stands here and perhaps nowhere else.
 */

const SHARD = 5;
const CELL = latLngToCell(53.1, 8.8, 5);
const NOBODY = 'FIRST 1 (nobody)';
const CONNECTIONS = 4;

let server: LoneServer;
let app: NestFastifyApplication;
let url: string;
let storeId: string;

beforeEach(async () => {
  server = await createLoneServer(inject('infrastructure').zones[2]?.postgres);
  await server.query("INSERT INTO control.zone (id) VALUES ('a')");
  await server.query('SELECT control.open_table(c.table_name::regclass) FROM control.closed_table c');
  await server.query(
    `INSERT INTO control.ownership (shard, epoch, state, owner, term_number, term_coordinator)
     VALUES ($1, 3, 'serving', 'a', 1, 'c1')`,
    [SHARD],
  );
  await server.query(
    "INSERT INTO control.area (shard, name, cells, term_number, term_coordinator) VALUES ($1, 'area', $2, 1, 'c1')",
    [SHARD, [CELL]],
  );
  await server.query('UPDATE control.voter SET is_voting = true');
  // The zone would take out of the setting whom it has not recorded: another process is the agent.
  await server.query('SELECT pg_advisory_lock(8, 1)');
  app = await startZone(
    readZoneConfig({
      ZONE_ID: 'a',
      HTTP_PORT: '0',
      API_DATABASE_URL: server.apiUrl,
      OWNER_DATABASE_URL: server.ownerUrl,
      PEER_DATABASE_URLS: '',
      REDIS_URL: redisUrl(),
      DATABASE_CONNECTIONS: String(CONNECTIONS),
      REQUEST_DEADLINE_MS: '20000',
      LOG_LEVEL: 'silent',
    }),
  );
  url = await app.getUrl();
  const [latitude, longitude] = cellToLatLng(CELL);
  storeId = (await read(post('/v1/stores', { name: 'a store', location: { latitude, longitude } }, 'store'))).body.id;
});

afterEach(async () => {
  await server.waitFor('');
  await app.close();
  await server.drop();
});

describe('a write whose session is ended while its commit waits for other zones', () => {
  it('is answered as unknown; its key gives the true answer, and only when it is confirmed (P10, D6)', async () => {
    await server.waitFor(NOBODY);
    const first = read(post('/v1/orders', anOrder(), 'k'));
    await expect.poll(waiting).toBe(1);
    expect(await endWriters()).toBe(1);
    expect(await first).toMatchObject({
      status: 504,
      body: { code: 'outcome-unknown', retry: 'same-request-later' },
    });
    // Committed here, so anybody sees it, and acknowledged to nobody.
    expect(await orderCount()).toBe(1);

    let isAnswered = false;
    const second = read(post('/v1/orders', anOrder(), 'k')).finally(() => {
      isAnswered = true;
    });
    await expect.poll(waiting).toBe(1);
    expect(isAnswered).toBe(false);
    await server.waitFor('');
    expect(await second).toMatchObject({ status: 201, isReplay: true, body: { status: 'placed', version: 1 } });
    expect(await orderCount()).toBe(1);
  });

  it('is the same for the change of an order', async () => {
    const order = (await read(post('/v1/orders', anOrder(), 'order'))).body.id;
    await server.waitFor(NOBODY);
    const first = read(post(`/v1/orders/${order}/accept`, {}, 'k'));
    await expect.poll(waiting).toBe(1);
    expect(await endWriters()).toBe(1);
    expect(await first).toMatchObject({ status: 504, body: { code: 'outcome-unknown' } });
    await server.waitFor('');
    expect(await read(post(`/v1/orders/${order}/accept`, {}, 'k'))).toMatchObject({
      status: 200,
      isReplay: true,
      body: { status: 'accepted', version: 2 },
    });
  });

  it('costs no other write anything: the next ones get connections that work', async () => {
    for (let round = 0; round < 5; round += 1) {
      await server.waitFor(NOBODY);
      // More than there are connections for, so that the next write takes one the moment it is given back.
      const writes = Array.from({ length: 40 }, (_none, n) => read(post('/v1/orders', anOrder(), `${round}-${n}`)));
      await expect.poll(waiting).toBe(2);
      await server.query("ALTER SYSTEM SET synchronous_standby_names = ''");
      await endWriters();
      await server.query('SELECT pg_reload_conf()');
      const answers = await Promise.all(writes);
      const statuses = new Set(answers.map(({ status }) => status));
      expect([...statuses].sort()).toEqual([201, 504]);
      // Two batches were under way; whatever waited for its turn behind them is written.
      expect(answers.filter(({ status }) => status === 504).length).toBeLessThanOrEqual(1 + 32);
      expect((await read(post('/v1/orders', anOrder(), `next-${round}`))).status).toBe(201);
    }
  });
});

describe('a fence that ends the writers it waits for', () => {
  it('leaves their outcome unknown, and their retry with the shard’s next owner', async () => {
    await server.waitFor(NOBODY);
    const first = read(post('/v1/orders', anOrder(), 'k'));
    await expect.poll(waiting).toBe(1);
    const fence = ['1', 'c1', SHARD, 3, 'b', 'mov_1'];
    const fenceShard = (): Promise<object[]> =>
      server.asControl('SELECT control.fence_shard($1, $2, $3, $4, $5, $6)', fence);
    await expect(fenceShard()).rejects.toMatchObject({ code: '55P03' });
    expect(await endWriters()).toBe(1);
    await fenceShard();
    expect(await first).toMatchObject({ status: 504, body: { code: 'outcome-unknown' } });
    expect(await read(post('/v1/orders', anOrder(), 'k'))).toMatchObject({
      status: 503,
      body: { code: 'shard-moving', shard: SHARD, owner: 'a', epoch: 3 },
    });
    await server.asControl("SELECT control.accept_ownership(1, 'c1', $1, 4, 'b')", [SHARD]);
    expect(await read(post('/v1/orders', anOrder(), 'k'))).toMatchObject({
      status: 421,
      body: { code: 'wrong-zone', shard: SHARD, owner: 'b', epoch: 4 },
    });
  });
});

interface ReadAnswer {
  status: number;
  isReplay: boolean;
  body: ProblemDocument & { id: string };
}

async function read(answer: Promise<Response>): Promise<ReadAnswer> {
  const response = await answer;
  return {
    status: response.status,
    isReplay: response.headers.get('idempotency-replayed') === 'true',
    body: (await response.json()) as ReadAnswer['body'],
  };
}

function post(path: string, body: object, key: string): Promise<Response> {
  return fetch(url + path, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'idempotency-key': key },
    body: JSON.stringify(body),
  });
}

function anOrder(): object {
  return {
    storeId,
    customerId: 'cus_01h455vb4pex5vsknk084sn02q',
    items: [{ name: 'Rye bread', quantity: 2 }],
    dropOff: { latitude: 53.1, longitude: 8.8 },
  };
}

async function waiting(): Promise<number> {
  // Of the API: the zone itself makes sure that a commit reaches the others, too.
  const waits = "SELECT 1 FROM pg_stat_activity a WHERE a.wait_event = 'SyncRep' AND a.usename = 'borough_api'";
  return (await server.query(waits)).length;
}

async function endWriters(): Promise<number | undefined> {
  const [row] = await server.asControl<{ ended: number }>("SELECT control.end_writers(1, 'c1', $1)::int AS ended", [
    SHARD,
  ]);
  return row?.ended;
}

async function orderCount(): Promise<number> {
  return (await server.query('SELECT 1 FROM orders')).length;
}
