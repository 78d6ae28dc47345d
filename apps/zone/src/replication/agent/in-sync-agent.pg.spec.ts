/**
 * The agent of zone a beside zones that die, freeze, come back and lie: on three servers of this file's own, since whom
 * commits wait for is a setting of a whole server.
 */
import { randomBytes } from 'node:crypto';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { BackgroundLoop, type Logger, PostgresSession } from '@borough/server-kit';
import { type InSyncRegister, newUuid } from '@borough/topology';
import pg from 'pg';
import { pino } from 'pino';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { CHECKOUT } from '../../../../../infra/local/checkout.js';
import { type PostgresAddress } from '../../../../../infra/local/cluster-addresses.js';
import { type Cluster, startCluster } from '../../../../../infra/local/cluster.js';
import { freeTestPortBase } from '../../../../../test/support/test-ports.js';
import { migrate } from '../../migrations/migrate.js';
import { linkName } from '../links.js';
import { isEqual } from './compare.js';
import { InSyncAgent } from './in-sync-agent.js';
import { OwnServer } from './own-server.js';
import { inSyncRegister, REGISTER_DEADLINE_MS } from './register.js';

const SHARD = 9;
const PATIENT = { timeout: 30_000, interval: 10 };
const DIRECTORY = join(CHECKOUT, '.borough', 'tests', `${process.pid}-in-sync-agent`);

interface LogLine {
  readonly level: number;
  readonly msg: string;
}

let cluster: Cluster;
let urls: Record<'a' | 'b' | 'c', PostgresAddress>;
let said: LogLine[];
let looking: BackgroundLoop;
let sessions: { end(): Promise<void> }[];
let register: InSyncRegister;
let covered: Set<string>;
let isTold: boolean;
const clients: pg.Client[] = [];

beforeAll(async () => {
  cluster = await startCluster({
    directory: DIRECTORY,
    portBase: await freeTestPortBase(9_000),
    services: 'infrastructure',
    zones: ['a', 'b', 'c'],
    report: () => undefined,
  });
  const [a, b, c] = cluster.addresses.zones.map(({ postgres }) => postgres);
  if (a === undefined || b === undefined || c === undefined) throw new Error('three servers are needed');
  urls = { a, b, c };
  for (const zone of ['a', 'b', 'c'] as const) {
    await migrate(urls[zone].ownerUrl);
    await sql(zone, 'INSERT INTO control.zone (id) VALUES ($1)', [zone]);
    await sql(zone, 'UPDATE control.voter SET is_voting = true');
    await sql(zone, 'SELECT control.open_table(c.table_name::regclass) FROM control.closed_table c');
    await sql(
      zone,
      `INSERT INTO control.ownership (shard, epoch, state, owner, term_number, term_coordinator)
       VALUES ($1, 1, 'serving', 'a', 1, 'x')`,
      [SHARD],
    );
  }
  for (const zone of ['b', 'c'] as const) {
    await sql('a', "SELECT pg_create_logical_replication_slot($1, 'pgoutput')", [linkName(zone, 'a')]);
    const { hostname, port, pathname, username, password } = new URL(a.replicationUrl);
    await sql(
      zone,
      `CREATE SUBSCRIPTION ${linkName(zone, 'a')} CONNECTION 'host=${hostname} port=${port} dbname=${pathname.slice(1)}
         user=${username} password=${decodeURIComponent(password)}' PUBLICATION borough
         WITH (origin = none, copy_data = false, synchronous_commit = 'local', create_slot = false)`,
    );
  }
});

beforeEach(async () => {
  for (const zone of ['a', 'b', 'c'] as const) await sql(zone, 'TRUNCATE control.in_sync');
  startAgent();
  await expect.poll(recorded, PATIENT).toEqual(['b', 'c']);
});

afterEach(async () => {
  await stopAgent();
  await Promise.all(clients.splice(0).map((client) => client.end().catch(() => undefined)));
});

afterAll(async () => {
  await cluster.stop();
  rmSync(DIRECTORY, { recursive: true, force: true });
});

describe('the agent of a zone', () => {
  it('records whoever holds the same rows and confirms, and its commits wait for them: never fewer than are recorded (R1)', async () => {
    expect(await setting()).toEqual(['b', 'c']);
    await write();
    for (const zone of ['b', 'c'] as const) expect(await storesAt(zone)).toEqual(await storesAt('a'));
    await sql('a', "ALTER SYSTEM SET synchronous_standby_names = ''");
    await sql('a', 'SELECT pg_reload_conf()');
    await expect.poll(setting, PATIENT).toEqual(['b', 'c']);
    expect(said.some(({ level, msg }) => level === 50 && msg.includes('did not wait for every recorded zone'))).toBe(
      true,
    );
  });

  it('drops a zone that is killed: the write that waits for it comes through, none fails', async () => {
    await killed('b', async () => {
      await write();
      expect(await recorded()).toEqual(['c']);
      await expect.poll(setting, PATIENT).toEqual(['c']);
    });
    await expect.poll(recorded, PATIENT).toEqual(['b', 'c']);
    expect(await storesAt('b')).toEqual(await storesAt('a'));
  });

  it('drops a zone that is frozen, by its silence while writes wait', async () => {
    await cluster.killService('postgres-c', 'SIGSTOP');
    try {
      await write();
      expect(await recorded()).toEqual(['b']);
    } finally {
      await cluster.killService('postgres-c', 'SIGCONT');
    }
    await expect.poll(recorded, PATIENT).toEqual(['b', 'c']);
  });

  it('drops nobody while a move keeps the record as it is: the write waits until that is over, and then comes through', async () => {
    await register.change('a', { kind: 'freeze', by: 'mov_1' });
    await killed('b', async () => {
      const writing = write();
      await expect.poll(() => said.some(({ msg }) => msg.includes('a move keeps a silent zone')), PATIENT).toBe(true);
      expect(await waiting()).toBe(1);
      expect(await recorded()).toEqual(['b', 'c']);
      await register.change('a', { kind: 'thaw', by: 'mov_1' });
      await writing;
      expect(await recorded()).toEqual(['c']);
    });
  });

  it('follows what a move has dropped from its record', async () => {
    await register.change('a', { kind: 'freeze', by: 'mov_1' });
    await killed('b', async () => {
      const writing = write();
      await register.change('a', { kind: 'drop', member: 'b', by: 'mov_1' });
      await writing;
      await expect.poll(setting, PATIENT).toEqual(['c']);
    });
    await register.change('a', { kind: 'thaw', by: 'mov_1' });
    await expect.poll(recorded, PATIENT).toEqual(['b', 'c']);
  });

  it('acknowledges nothing while it reaches no majority of voters: it may have been left by the others (P1)', async () => {
    await killed('b', async () => {
      await killed('c', async () => {
        const outcome = { isOver: false };
        const writing = write().then(() => {
          outcome.isOver = true;
        });
        await expect.poll(waiting, PATIENT).toBe(1);
        await expect.poll(() => isTold, PATIENT).toBe(true);
        expect(outcome.isOver).toBe(false);
        await cluster.startService('postgres-c');
        await writing;
        expect(await recorded()).not.toContain('b');
      });
    });
    await expect.poll(recorded, PATIENT).toEqual(['b', 'c']);
  });

  it('is alone when both have lost their link though they vote; says so as an error; and takes them back once they are equal', async () => {
    for (const zone of ['b', 'c'] as const) await sql(zone, `ALTER SUBSCRIPTION ${linkName(zone, 'a')} DISABLE`);
    await write();
    expect(await recorded()).toEqual([]);
    await expect.poll(setting, PATIENT).toEqual([]);
    expect(said.some(({ level, msg }) => level === 50 && msg.includes('ALONE'))).toBe(true);
    for (const zone of ['b', 'c'] as const) await sql(zone, `ALTER SUBSCRIPTION ${linkName(zone, 'a')} ENABLE`);
    await expect.poll(recorded, PATIENT).toEqual(['b', 'c']);
    expect(await setting()).toEqual(['b', 'c']);
    await write();
    expect(await storesAt('c')).toEqual(await storesAt('a'));
  });

  it('takes no zone that lacks a row, however well it confirms (R2)', async () => {
    await write();
    const [gone] = await pastTheFence<{ row: object }>('b', 'DELETE FROM stores RETURNING to_jsonb(stores) AS row');
    await register.change('a', { kind: 'drop', member: 'b' });
    await expect.poll(() => said.some(({ msg }) => msg.includes('not equal yet')), PATIENT).toBe(true);
    expect(await recorded()).toEqual(['c']);
    const rows = await sql<{ row: object }>('a', 'SELECT to_jsonb(s) AS row FROM stores s');
    expect(rows).toContainEqual(gone);
    await pastTheFence('b', 'INSERT INTO stores SELECT r.* FROM jsonb_populate_recordset(NULL::stores, $1) r', [
      JSON.stringify(rows.map(({ row }) => row)),
    ]);
    await expect.poll(recorded, PATIENT).toEqual(['b', 'c']);
  });
});

function startAgent(): void {
  said = [];
  isTold = false;
  covered = new Set(['b', 'c']);
  const logger: Logger = pino({ level: 'debug' }, { write: (line: string) => said.push(JSON.parse(line) as LogLine) });
  const own = (name: string): PostgresSession =>
    new PostgresSession(`${urls.a.ownerUrl}?options=-csynchronous_commit%3Dlocal`, { name, logger });
  const peer = (zone: 'b' | 'c'): PostgresSession =>
    new PostgresSession(urls[zone].replicationUrl, { name: 'spec', connectTimeoutMs: REGISTER_DEADLINE_MS, logger });
  const voters = [
    { zoneId: 'a', session: own('record') },
    { zoneId: 'b', session: peer('b') },
    { zoneId: 'c', session: peer('c') },
  ];
  const comparing = { a: own('compare'), b: peer('b'), c: peer('c') };
  const server = new OwnServer('a', ['b', 'c'], own('look'), own('wait'));
  const ofSpec = [
    { zoneId: 'a', session: own('spec') },
    { zoneId: 'b', session: peer('b') },
    { zoneId: 'c', session: peer('c') },
  ];
  register = inSyncRegister(ofSpec);
  sessions = [server, ...[...voters, ...ofSpec].map(({ session }) => session), ...Object.values(comparing)];
  const agent = new InSyncAgent({
    zoneId: 'a',
    peers: ['b', 'c'],
    server,
    register: inSyncRegister(voters),
    covered: () => covered,
    isEqual: (zone) =>
      isEqual(
        { zoneId: 'a', session: comparing.a },
        { zoneId: zone, session: zone === 'b' ? comparing.b : comparing.c },
        logger,
      ),
    bounds: { missedMs: 50, awayMs: 1_000, silentMs: 500 },
    logger,
  });
  looking = new BackgroundLoop({
    name: 'in-sync record',
    intervalMs: 20,
    maxPauseMs: 100,
    round: async (signal) => {
      await agent.round(signal).catch((error: unknown) => {
        isTold = true;
        throw error;
      });
    },
    isStarting: () => true,
    logger,
  });
  looking.start();
}

async function stopAgent(): Promise<void> {
  await looking.stop();
  await Promise.all(sessions.map((session) => session.end()));
}

/** With the zone's server dead, which is alive again afterwards. */
async function killed(zone: 'b' | 'c', work: () => Promise<unknown>): Promise<void> {
  await cluster.killService(`postgres-${zone}`, 'SIGKILL');
  try {
    await work();
  } finally {
    await cluster.startService(`postgres-${zone}`);
  }
}

async function sql<Row extends pg.QueryResultRow>(
  zone: 'a' | 'b' | 'c',
  text: string,
  values: unknown[] = [],
): Promise<Row[]> {
  const client = new pg.Client({ connectionString: `${urls[zone].superuserUrl}?options=-csynchronous_commit%3Dlocal` });
  await client.connect();
  try {
    return (await client.query<Row>(text, values)).rows;
  } finally {
    await client.end();
  }
}

/** As healing writes. */
async function pastTheFence<Row extends pg.QueryResultRow>(
  zone: 'b',
  text: string,
  values: unknown[] = [],
): Promise<Row[]> {
  const client = new pg.Client({ connectionString: `${urls[zone].superuserUrl}?options=-csynchronous_commit%3Dlocal` });
  await client.connect();
  try {
    await client.query('SELECT control.begin_healing()');
    return (await client.query<Row>(text, values)).rows;
  } finally {
    await client.end();
  }
}

/** One acknowledged write, as the API makes it. */
async function write(): Promise<void> {
  const client = new pg.Client({ connectionString: urls.a.apiUrl });
  clients.push(client);
  await client.connect();
  const id = newUuid(SHARD, Date.now(), () => randomBytes(16));
  await client.query(
    'INSERT INTO stores (id, shard, epoch, name, latitude, longitude, created_at) VALUES ($1, $2, 1, $3, 1, 2, now())',
    [id, SHARD, `store ${id}`],
  );
}

/** The members, as the first voter that answers has them. */
async function recorded(): Promise<readonly string[]> {
  const [row] = await sql<{ members: string[] }>('a', "SELECT r.members FROM control.in_sync r WHERE r.zone = 'a'");
  return row?.members ?? [];
}

async function setting(): Promise<string[]> {
  const [row] = await sql<{ setting: string }>('a', "SELECT current_setting('synchronous_standby_names') AS setting");
  return [...(row?.setting ?? '').matchAll(/borough_(\w+)_from_a/g)].map(([, zone]) => zone ?? '').sort();
}

async function waiting(): Promise<number> {
  return (
    await sql('a', "SELECT 1 FROM pg_stat_activity s WHERE s.wait_event = 'SyncRep' AND s.usename = 'borough_api'")
  ).length;
}

async function storesAt(zone: 'a' | 'b' | 'c'): Promise<string[]> {
  return (await sql<{ name: string }>(zone, 'SELECT name FROM stores ORDER BY 1')).map(({ name }) => name);
}
