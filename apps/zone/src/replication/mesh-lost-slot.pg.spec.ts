/** A slot that ran into max_slot_wal_keep_size, on servers of this test's own: their settings are not shared with others. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { createLogger, PostgresSession } from '@borough/server-kit';
import pg from 'pg';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { CHECKOUT } from '../../../../infra/local/checkout.js';
import { type Cluster, startCluster } from '../../../../infra/local/cluster.js';
import { keyRow, untilTrue } from '../../../../test/support/replicated-zones.js';
import { freeTestPortBase } from '../../../../test/support/test-ports.js';
import { migrate } from '../migrations/migrate.js';
import { SelfHealing } from './agent/self-healing.js';
import { Mesh } from './mesh.js';

const SHARD = 7;
const LINK = 'borough_a_from_b';
const directory = join(CHECKOUT, '.borough', 'tests', `${process.pid}-lost-slot`);
const logger = createLogger('test', 'silent');

let cluster: Cluster;
let ours: pg.Client;
let theirs: pg.Client;
/** To the same server as `theirs`, which may be waiting. */
let beside: pg.Client;
let mesh: Mesh;

beforeAll(async () => {
  cluster = await startCluster({
    directory,
    portBase: await freeTestPortBase(7_000),
    services: 'infrastructure',
    zones: ['a', 'b'],
    report: () => undefined,
  });
  [ours, theirs] = [await zoneDatabase('a'), await zoneDatabase('b')];
  beside = new pg.Client({ connectionString: urls('b').superuserUrl });
  await beside.connect();
  const peer = { zoneId: 'b', url: urls('b').replicationUrl, session: session(urls('b').replicationUrl) };
  mesh = new Mesh('a', session(urls('a').ownerUrl), [peer], logger);
});

afterAll(async () => {
  await mesh.end();
  await ours.end();
  await theirs.end();
  await beside.end();
  await cluster.stop();
  rmSync(directory, { recursive: true, force: true });
});

it('is replaced, and the link seeded anew, but only once nobody counts on this zone any more', async () => {
  expect(await mesh.repair()).toEqual([]);
  await place(2);
  await untilTrue(async () => (await keysOf(ours)).length === 2);
  await ours.query(`ALTER SUBSCRIPTION ${LINK} DISABLE`);
  await untilTrue(async () => (await theirs.query('SELECT FROM pg_stat_replication')).rowCount === 0);
  await setAtTheirs('synchronous_standby_names', `FIRST 1 (${LINK})`);
  await setAtTheirs('max_slot_wal_keep_size', '1MB');
  await loseTheSlot();
  let isAcknowledged = false;
  const waiting = place(1).then(() => {
    isAcknowledged = true;
  });
  await untilTrue(doCommitsWait);

  // To stream from here on would confirm, to commits that wait for this zone, what it never got.
  expect(await mesh.repair()).toEqual([expect.stringMatching(/^zone b: .*waits for this zone still/)]);
  expect(isAcknowledged).toBe(false);
  const { rows } = await beside.query<{ facts: { outgoing: object[]; commitsWaitMs: number } }>(
    "SELECT control.link_health('{a,b}') AS facts",
  );
  expect(rows[0]?.facts.outgoing).toMatchObject([
    { to: 'a', isCounted: true, isLost: true, lostBecause: 'wal_removed' },
  ]);
  expect(rows[0]?.facts.commitsWaitMs).toBeGreaterThan(0);
  expect((await ours.query('SELECT FROM pg_stat_subscription w WHERE w.pid IS NOT NULL')).rowCount).toBe(0);

  await setAtTheirs('synchronous_standby_names', '');
  await waiting;
  expect(await mesh.repair()).toEqual([]);
  expect(await slot()).toMatchObject({ wal_status: 'reserved' });
  await place(1);
  await heal();

  expect(await keysOf(ours)).toEqual(await keysOf(theirs));
  expect(await keysOf(ours)).toHaveLength(7);
});

async function zoneDatabase(zone: string): Promise<pg.Client> {
  await migrate(urls(zone).ownerUrl);
  const url = new URL(urls(zone).superuserUrl);
  url.pathname = '/borough';
  const client = new pg.Client({ connectionString: url.href });
  await client.connect();
  await client.query('INSERT INTO control.zone (id) VALUES ($1)', [zone]);
  await client.query('UPDATE control.voter SET is_voting = true');
  await client.query('SELECT control.open_table(c.table_name::regclass) FROM control.closed_table c');
  await client.query(
    `INSERT INTO control.ownership (shard, epoch, state, owner, term_number, term_coordinator)
     VALUES ($1, 1, 'serving', 'b', 1, 'test')`,
    [SHARD],
  );
  return client;
}

function urls(zone: string): { superuserUrl: string; ownerUrl: string; replicationUrl: string } {
  const found = cluster.addresses.zones.find(({ id }) => id === zone);
  if (found === undefined) throw new Error(`zone ${zone} was asked for`);
  return found.postgres;
}

function session(url: string): PostgresSession {
  return new PostgresSession(url, { name: 'test', logger });
}

/** Three rows that wait for nobody, in log that is then thrown away. */
async function loseTheSlot(): Promise<void> {
  await theirs.query('SET synchronous_commit = local');
  await place(3);
  for (let segment = 0; segment < 3; segment += 1) {
    await theirs.query("SELECT pg_logical_emit_message(false, 'test', 'a segment of its own'), pg_switch_wal()");
  }
  await theirs.query('CHECKPOINT');
  await theirs.query('RESET synchronous_commit');
  await untilTrue(async () => (await slot())?.wal_status === 'lost');
}

async function slot(): Promise<{ wal_status: string } | undefined> {
  const { rows } = await theirs.query<{ wal_status: string }>(
    'SELECT s.wal_status FROM pg_replication_slots s WHERE s.slot_name = $1',
    [LINK],
  );
  return rows[0];
}

async function setAtTheirs(setting: string, value: string): Promise<void> {
  await beside.query(`ALTER SYSTEM SET ${setting} = '${value}'`);
  await beside.query('SELECT pg_reload_conf()');
  await untilTrue(async () => {
    const { rowCount } = await beside.query(
      'SELECT FROM pg_settings g WHERE g.name = $1 AND current_setting($1) = $2',
      [setting, value],
    );
    return rowCount === 1;
  });
}

async function doCommitsWait(): Promise<boolean> {
  return (await beside.query("SELECT FROM pg_stat_activity a WHERE a.wait_event = 'SyncRep'")).rowCount === 1;
}

async function place(count: number): Promise<void> {
  const rows = Array.from({ length: count }, () => keyRow({ shard: SHARD, epoch: 1 }));
  await theirs.query(
    'INSERT INTO public.idempotency_keys SELECT * FROM jsonb_populate_recordset(NULL::public.idempotency_keys, $1)',
    [JSON.stringify(rows)],
  );
}

async function keysOf(zone: pg.Client): Promise<{ key: string }[]> {
  return (await zone.query<{ key: string }>('SELECT k.key FROM public.idempotency_keys k ORDER BY 1')).rows;
}

async function heal(): Promise<void> {
  const peer = { zoneId: 'b', session: session(urls('b').replicationUrl) };
  const healing = new SelfHealing('a', session(urls('a').ownerUrl), [peer], logger);
  await healing.round(new AbortController().signal);
  await healing.end();
}
