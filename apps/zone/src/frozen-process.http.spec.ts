import { type ProblemDocument } from '@borough/contracts';
import { cellToLatLng, latLngToCell } from 'h3-js';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { createServer } from 'node:net';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { createZoneDatabase, redisUrl, type ZoneDatabase } from '../../../test/support/databases.js';

/** A process of its own, since it is stopped as a whole; from the build, as `npm test` makes it. */
const PROGRAM = fileURLToPath(new URL('../../../dist/apps/zone/src/main.js', import.meta.url));
const SHARD = 5;
const CELL = latLngToCell(53.1, 8.8, 5);

let database: ZoneDatabase;
let control: pg.Client;
let zone: ChildProcess;
let url: string;
let storeId: string;

beforeEach(async () => {
  if (!existsSync(PROGRAM)) throw new Error(`${PROGRAM} is missing: npm run build`);
  database = await createZoneDatabase();
  await database.claim('a');
  await database.openTables();
  await database.own(SHARD, { owner: 'a', epoch: 3 });
  await database.query(
    "INSERT INTO control.area (shard, name, cells, term_number, term_coordinator) VALUES ($1, 'area', $2, 1, 'c1')",
    [SHARD, [CELL]],
  );
  control = new pg.Client({ connectionString: database.controlUrl });
  await control.connect();
  const port = await freePort();
  url = `http://127.0.0.1:${port}`;
  zone = spawn(process.execPath, [PROGRAM], {
    stdio: 'ignore',
    env: {
      ZONE_ID: 'a',
      HTTP_PORT: String(port),
      API_DATABASE_URL: database.apiUrl,
      OWNER_DATABASE_URL: database.ownerUrl,
      PEER_DATABASE_URLS: '',
      REDIS_URL: redisUrl(),
    },
  });
  await expect.poll(isReady, { timeout: 20_000 }).toBe(true);
  const [latitude, longitude] = cellToLatLng(CELL);
  storeId = (await write('/v1/stores', { name: 'a store', location: { latitude, longitude } }, 'store')).body.id;
});

afterEach(async () => {
  const ended = once(zone, 'exit');
  zone.kill('SIGCONT');
  zone.kill('SIGTERM');
  await ended;
  await control.end();
  await database.drop();
});

it('a process that is frozen before a handover and goes on after it writes nothing more, and says who owns the shard', async () => {
  const orders = Array.from({ length: 60 }, (_none, n) => placeOrder(`before-${n}`));
  // In the middle of its work: some are written, some wait in it, some it has not read yet.
  await expect.poll(orderCount, { interval: 1 }).toBeGreaterThan(0);
  zone.kill('SIGSTOP');
  const late = Array.from({ length: 10 }, (_none, n) => placeOrder(`late-${n}`));

  // A statement that was begun ends without the process, so the fence does not wait for it.
  await control.query("SELECT control.fence_shard(1, 'c1', $1, 3, 'b', 'mov_1')", [SHARD]);
  await control.query("SELECT control.accept_ownership(1, 'c1', $1, 4, 'b')", [SHARD]);
  const written = await orderCount();

  zone.kill('SIGCONT');
  for (const answer of await Promise.all(late)) expect(answer).toMatchObject(WRONG_ZONE);
  const answers = await Promise.all(orders);
  expect(answers.filter(({ status }) => status === 201)).toHaveLength(written);
  // One that waited behind the fence itself was told that the shard moves.
  for (const answer of answers.filter(({ status }) => ![201, 503].includes(status))) {
    expect(answer).toMatchObject(WRONG_ZONE);
  }
  expect(await orderCount()).toBe(written);

  // What was written before the fence is not told again by a zone that does not own it: only its owner can confirm it.
  const [first] = await database.query<{ key: string }>(
    "SELECT k.key FROM idempotency_keys k WHERE k.key LIKE 'before-%' LIMIT 1",
  );
  expect(await placeOrder(first?.key ?? '')).toMatchObject(WRONG_ZONE);
});

const WRONG_ZONE = {
  status: 421,
  body: { code: 'wrong-zone', retry: 'refresh-routing-then-retry', shard: SHARD, owner: 'b', epoch: 4 },
};

interface ReadAnswer {
  status: number;
  body: ProblemDocument & { id: string };
}

async function write(path: string, body: object, key: string): Promise<ReadAnswer> {
  const answer = await fetch(url + path, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'idempotency-key': key },
    body: JSON.stringify(body),
  });
  return { status: answer.status, body: (await answer.json()) as ReadAnswer['body'] };
}

function placeOrder(key: string): Promise<ReadAnswer> {
  const order = {
    storeId,
    customerId: 'cus_01h455vb4pex5vsknk084sn02q',
    items: [{ name: 'Rye bread', quantity: 2 }],
    dropOff: { latitude: 53.1, longitude: 8.8 },
  };
  return write('/v1/orders', order, key);
}

async function orderCount(): Promise<number> {
  return (await database.query('SELECT 1 FROM orders')).length;
}

async function isReady(): Promise<boolean> {
  return fetch(`${url}/health/ready`).then(
    ({ ok }) => ok,
    () => false,
  );
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}
