/**
 * The control functions beside members that are lost, late or gone: on two servers of this file's own, since whom commits
 * wait for is a setting of a whole server.
 */
import { newUuid } from '@borough/topology';
import { randomBytes } from 'node:crypto';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { CHECKOUT } from '../../../../infra/local/checkout.js';
import { type PostgresAddress } from '../../../../infra/local/cluster-addresses.js';
import { type Cluster, startCluster } from '../../../../infra/local/cluster.js';
import { freeTestPortBase } from '../../../../test/support/test-ports.js';
import { migrate } from './migrate.js';

const SHARD = 9;
const LINK = 'borough_b_from_a';
const PATIENT = { timeout: 10_000, interval: 10 };
const DIRECTORY = join(CHECKOUT, '.borough', 'tests', `${process.pid}-moves-members`);

let cluster: Cluster;
/** As superusers, which never wait for members. */
let a: pg.Client;
let b: pg.Client;
let urlsOfA: PostgresAddress;
let epoch = 0;
const clients: pg.Client[] = [];

beforeAll(async () => {
  cluster = await startCluster({
    directory: DIRECTORY,
    portBase: await freeTestPortBase(8_000),
    services: 'infrastructure',
    zones: ['a', 'b'],
    report: () => undefined,
  });
  const [ofA, ofB] = cluster.addresses.zones.map(({ postgres }) => postgres);
  if (ofA === undefined || ofB === undefined) throw new Error('two servers are needed');
  await Promise.all([migrate(ofA.ownerUrl), migrate(ofB.ownerUrl)]);
  urlsOfA = ofA;
  a = await connect(`${ofA.superuserUrl}?options=-csynchronous_commit%3Dlocal`);
  b = await connect(`${ofB.superuserUrl}?options=-csynchronous_commit%3Dlocal`);
  clients.length = 0;
  await a.query("INSERT INTO control.zone (id) VALUES ('a')");
  await b.query("INSERT INTO control.zone (id) VALUES ('b')");
  await Promise.all([a, b].map((zone) => zone.query('UPDATE control.voter SET is_voting = true')));
  for (const zone of [a, b])
    await zone.query('SELECT control.open_table(c.table_name::regclass) FROM control.closed_table c');
  // As the mesh makes it (links.ts): the slot first, and by itself.
  await a.query("SELECT pg_create_logical_replication_slot($1, 'pgoutput')", [LINK]);
  const { host, port, pathname, username, password } = urlParts(ofA.replicationUrl);
  await b.query(
    `CREATE SUBSCRIPTION ${LINK} CONNECTION 'host=${host} port=${port} dbname=${pathname} user=${username} password=${password}'
       PUBLICATION borough WITH (origin = none, copy_data = false, synchronous_commit = 'local', create_slot = false)`,
  );
});

beforeEach(async () => {
  epoch += 1;
  await a.query('DELETE FROM control.ownership');
  await a.query(
    `INSERT INTO control.ownership (shard, epoch, state, owner, term_number, term_coordinator)
     VALUES ($1, $2, 'serving', 'a', 1, 'x')`,
    [SHARD, epoch],
  );
  expect(await late(await endOfLog(), PATIENT.timeout)).toEqual([]);
});

afterEach(async () => {
  await waitFor('');
  await Promise.all(clients.splice(0).map((client) => client.end().catch(() => undefined)));
});

afterAll(async () => {
  await b.query(`DROP SUBSCRIPTION ${LINK}`);
  await Promise.all([a.end(), b.end()]);
  await cluster.stop();
  rmSync(DIRECTORY, { recursive: true, force: true });
});

describe('while a member is lost', () => {
  it('every step of a move commits all the same, and a write does not (T15)', async () => {
    await waitFor('FIRST 1 (nobody)');
    const session = await connect(`${urlsOfA.superuserUrl}?options=-csynchronous_commit%3Don`);
    const steps = [
      "promise_term(1, 'x')",
      "beat(1, 'x')",
      `put_move(1, 'x', 'mov_1', ${epoch}, true, NULL, '{}')`,
      "promise_in_sync('a', 1)",
      "accept_in_sync('a', 1, '{b}', 1, '{mov_1}')",
      `intend_move(1, 'x', ${SHARD}, ${epoch}, 'b', 'mov_1')`,
      `end_writers(1, 'x', ${SHARD})`,
      `fence_shard(1, 'x', ${SHARD}, ${epoch}, 'b', 'mov_1')`,
      `accept_ownership(1, 'x', ${SHARD}, ${epoch + 1}, 'a')`,
      `serve_ownership(1, 'x', ${SHARD}, ${epoch + 1}, 'a')`,
      "put_area(1, 'x', 1, 'north', '{85283473fffffff}')",
    ];
    for (const step of steps) await session.query(`SELECT control.${step}`);
    epoch += 1;
    expect(await copy()).toMatchObject({ state: 'serving', epoch });
    // Otherwise the steps above would have proved nothing.
    await committingWriter();
  });

  it('a writer that waits for it keeps a fence out; ended, its caller hears nothing, and its row is before the cut (T27)', async () => {
    await waitFor('FIRST 1 (nobody)');
    const writer = await committingWriter();
    await expect(fence()).rejects.toMatchObject({ code: '55P03' });

    expect(
      await asControl<{ ended: number }>(`SELECT control.end_writers(1, 'x', ${SHARD})::integer AS ended`),
    ).toEqual([{ ended: 1 }]);
    expect(await writer.outcome).toBeInstanceOf(Error);
    const cut = await fence();
    // Nobody was told that it is written; it is, and whoever waits for the cut has it.
    expect(await namesAt(a)).toContain(writer.name);
    expect(await late(cut, PATIENT.timeout)).toEqual([]);
    expect(await namesAt(b)).toContain(writer.name);
  });
});

describe('waiting until a zone has applied (M4)', () => {
  it('ends as soon as it has', async () => {
    await insertStore();
    expect(await late(await endOfLog(), PATIENT.timeout)).toEqual([]);
    expect(await namesAt(b)).toEqual(await namesAt(a));
  });

  it('names a zone that cannot, once the bound is over, and only that; later it can', async () => {
    await b.query('BEGIN');
    await b.query('LOCK TABLE stores IN ACCESS EXCLUSIVE MODE');
    await insertStore();
    const cut = await endOfLog();
    expect(await late(cut, 50)).toEqual(['b']);
    expect(await late('0/0', 50)).toEqual([]);
    await b.query('COMMIT');
    expect(await late(cut, PATIENT.timeout)).toEqual([]);
  });

  it('does not take the word of a link that is down: it may be another one that comes back', async () => {
    await b.query(`ALTER SUBSCRIPTION ${LINK} DISABLE`);
    await expect
      .poll(
        () => a.query('SELECT 1 FROM pg_replication_slots s WHERE s.active').then(({ rowCount }) => rowCount),
        PATIENT,
      )
      .toBe(0);
    expect(await late('0/0', 20)).toEqual(['b']);
    await b.query(`ALTER SUBSCRIPTION ${LINK} ENABLE`);
    expect(await late('0/0', PATIENT.timeout)).toEqual([]);
  });
});

describe('a look at a zone', () => {
  it.each([
    ['', []],
    [`FIRST 1 (${LINK})`, ['b']],
    ['FIRST 2 (borough_b_from_a, borough_x_b_from_a)', ['b', 'x-b']],
    ['FIRST 1 (borough_x_b_from_a)', ['x-b']],
    ['FIRST 1 (borough_bb_from_a)', []],
  ])('names whom its commits wait for: "%s"', async (setting, zones) => {
    await waitFor(setting);
    expect(await facts()).toMatchObject({ zone: 'a', waitsFor: zones });
  });

  it('says how far behind the zones are that it streams to, and of no other', async () => {
    expect(await facts()).toMatchObject({ behindBytes: { b: expect.any(Number) as number } });
    await b.query('BEGIN');
    await b.query('LOCK TABLE stores IN ACCESS EXCLUSIVE MODE');
    for (let row = 0; row < 20; row += 1) await insertStore();
    await expect
      .poll(facts)
      .toMatchObject({ behindBytes: { b: expect.toSatisfy((n: number) => n > 2_000) as number } });
    await b.query('COMMIT');
    await expect.poll(facts, PATIENT).toEqual(expect.objectContaining({ behindBytes: { b: 0 } }));
  });
});

async function connect(url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => undefined);
  await client.connect();
  clients.push(client);
  return client;
}

async function asControl<Row extends pg.QueryResultRow>(sql: string): Promise<Row[]> {
  return (await (await connect(urlsOfA.controlUrl)).query<Row>(sql)).rows;
}

async function late(cut: string, withinMs: number): Promise<string[] | undefined> {
  const [row] = await asControl<{ late: string[] }>(
    `SELECT control.wait_applied('{b}', '${cut}', ${withinMs}) AS late`,
  );
  return row?.late;
}

/** Not where the next record goes: a record that nobody's commit has flushed yet may stand before that, and goes nowhere. */
async function endOfLog(): Promise<string> {
  return (await a.query<{ lsn: string }>('SELECT pg_current_wal_flush_lsn() AS lsn')).rows[0]?.lsn ?? '';
}

async function fence(): Promise<string> {
  const [row] = await asControl<{ cut: string }>(
    `SELECT control.fence_shard(1, 'x', ${SHARD}, ${epoch}, 'b', 'mov_1') AS cut`,
  );
  return row?.cut ?? '';
}

async function facts(): Promise<object | undefined> {
  return (await asControl<{ facts: object }>("SELECT control.zone_facts('{a,b,x-b}') AS facts"))[0]?.facts;
}

async function copy(): Promise<object | undefined> {
  const sql = 'SELECT o.state, o.epoch::integer FROM control.ownership o WHERE o.shard = $1';
  return (await a.query<{ state: string; epoch: number }>(sql, [SHARD])).rows[0];
}

/** Whom commits at a wait for, from the next one on. */
async function waitFor(setting: string): Promise<void> {
  await a.query(`ALTER SYSTEM SET synchronous_standby_names = '${setting}'`);
  await a.query('SELECT pg_reload_conf()');
  await expect
    .poll(async () => (await a.query('SHOW synchronous_standby_names')).rows[0] as unknown, PATIENT)
    .toEqual({ synchronous_standby_names: setting });
}

/** A writer whose COMMIT waits for a member. */
async function committingWriter(): Promise<{ name: string; outcome: Promise<unknown> }> {
  const writer = await connect(urlsOfA.apiUrl);
  const name = await insertStoreAs(writer, 'BEGIN');
  const outcome = writer.query('COMMIT').catch((error: unknown) => error);
  await expect
    .poll(
      () => a.query("SELECT 1 FROM pg_stat_activity s WHERE s.wait_event = 'SyncRep'").then((r) => r.rowCount),
      PATIENT,
    )
    .toBe(1);
  return { name, outcome };
}

async function insertStore(): Promise<void> {
  await insertStoreAs(a, 'SELECT 1');
}

async function insertStoreAs(client: pg.Client, begin: string): Promise<string> {
  const id = newUuid(SHARD, Date.now(), () => randomBytes(16));
  await client.query(begin);
  await client.query(
    'INSERT INTO stores (id, shard, epoch, name, latitude, longitude, created_at) VALUES ($1, $2, $3, $4, 1, 2, now())',
    [id, SHARD, epoch, `store ${id}`],
  );
  return `store ${id}`;
}

async function namesAt(zone: pg.Client): Promise<string[]> {
  return (await zone.query<{ name: string }>('SELECT name FROM stores ORDER BY 1')).rows.map(({ name }) => name);
}

function urlParts(url: string): Record<'host' | 'port' | 'pathname' | 'username' | 'password', string> {
  const { hostname, port, pathname, username, password } = new URL(url);
  return { host: hostname, port, pathname: pathname.slice(1), username, password: decodeURIComponent(password) };
}
