/**
 * Real Postgres, NATS and Redis from a directory of their own, with a blank in its path. The tests build on one another: each goes
 * on with the data the one before it left.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest';
import { CHECKOUT } from './checkout.js';
import { readClusterAddresses } from './cluster-addresses.js';
import { type Cluster, startCluster } from './cluster.js';
import { layoutOf } from './layout.js';
import { birthOf } from './os-process.js';
import { freeBaseAfter } from './ports.js';
import { postgresFiles } from './postgres-data.js';
import { type StepReport } from './report.js';
import { waitUntil } from './wait-until.js';

const directory = join(mkdtempSync(join(tmpdir(), 'borough cluster ')), 'of tests');
// Away from those of npm start and of other runs, and spread, as several may begin at the same moment.
const portBase = await freeBaseAfter(20_000 + (process.pid % 100) * 100);
const notices: string[] = [];
let cluster: Cluster | undefined;

async function start(signal?: AbortSignal): Promise<Cluster> {
  notices.length = 0;
  const report = (step: StepReport) => {
    if (step.state === 'notice') notices.push(step.text);
  };
  return startCluster({ directory, portBase, services: 'infrastructure', report, ...(signal ? { signal } : {}) });
}

async function query(url: string, sql: string): Promise<unknown[]> {
  const client = new pg.Client({ connectionString: url, ssl: false });
  client.on('error', () => undefined);
  await client.connect();
  try {
    return (await client.query<Record<string, unknown>>({ text: sql })).rows;
  } finally {
    await client.end();
  }
}

const ownerUrl = (of: Cluster) => of.addresses.zones[0]?.postgres.ownerUrl ?? '';
const pidOf = (of: Cluster, name: string) => of.processes().find((process) => process.name === name)?.pid ?? 0;

beforeAll(() => {
  vi.stubEnv('NATS_URL', '');
  vi.stubEnv('REDIS_URLS', '');
});

afterEach(async () => {
  await cluster?.stop();
  cluster = undefined;
});

afterAll(() => {
  vi.unstubAllEnvs();
  rmSync(join(directory, '..'), { recursive: true, force: true });
});

test('a cluster starts in a folder with a blank in its name, and every role opens every zone', async () => {
  cluster = await start();
  for (const { postgres } of cluster.addresses.zones) {
    const urls = [postgres.ownerUrl, postgres.apiUrl, postgres.controlUrl, postgres.replicationUrl, postgres.auditUrl];
    for (const url of urls) expect(await query(url, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
  }
  expect(readClusterAddresses(directory)).toEqual(cluster.addresses);
  expect(statSync(layoutOf(directory).addressesFile).mode & 0o777).toBe(0o600);
  await query(ownerUrl(cluster), 'CREATE TABLE kept (id int PRIMARY KEY)');
});

test('the data is there again at the next start, and after a stop nothing runs', async () => {
  cluster = await start();
  expect(await query(ownerUrl(cluster), 'SELECT count(*)::int AS kept FROM kept')).toEqual([{ kept: 0 }]);
  const pids = cluster.processes().map(({ pid }) => pid ?? 0);
  expect(pids).toHaveLength(7);
  await cluster.stop();
  expect(pids.filter((pid) => birthOf(pid) !== undefined)).toEqual([]);
  expect(readClusterAddresses(directory)).toBeUndefined();
});

test('a second starter of the same directory is refused, and harms nothing', async () => {
  cluster = await start();
  await expect(start()).rejects.toThrow(new RegExp(`starter is process ${process.pid}`));
  expect(await query(ownerUrl(cluster), 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
});

test('a Postgres or a Redis that dies is started again by itself', async () => {
  const running = (cluster = await start());
  const before = { postgres: pidOf(running, 'postgres-a'), redis: pidOf(running, 'redis-b') };
  process.kill(before.postgres, 'SIGKILL');
  process.kill(before.redis, 'SIGKILL');
  const isBack = async () => {
    const pids = { postgres: pidOf(running, 'postgres-a'), redis: pidOf(running, 'redis-b') };
    if (pids.postgres === before.postgres || pids.redis === before.redis) return false;
    return query(ownerUrl(running), 'SELECT').then(
      () => true,
      () => false,
    );
  };
  expect(await waitUntil(isBack, { withinMs: 15_000 })).toBe(true);
  expect(notices.join('\n')).toMatch(/postgres-a {2}died \(SIGKILL\)/);
});

test('a service that a test kills stays down until the test starts it', async () => {
  cluster = await start();
  await cluster.killService('postgres-a', 'SIGKILL');
  expect(pidOf(cluster, 'postgres-a')).toBe(0);
  await expect(query(ownerUrl(cluster), 'SELECT')).rejects.toThrow(/ECONNREFUSED/);
  await cluster.startService('postgres-a');
  expect(await query(ownerUrl(cluster), 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
  await expect(cluster.killService('postgres-z', 'SIGKILL')).rejects.toThrow(
    /There is no service postgres-z; there are nats/,
  );
});

test('a zone that is killed dies whole, and starts again with its data', async () => {
  cluster = await start();
  await cluster.killZone('a', 'SIGKILL');
  expect([pidOf(cluster, 'postgres-a'), pidOf(cluster, 'redis-a')]).toEqual([0, 0]);
  expect([pidOf(cluster, 'postgres-b'), pidOf(cluster, 'redis-b')]).not.toContain(0);
  await cluster.startZone('a');
  expect(await query(ownerUrl(cluster), 'SELECT count(*)::int AS kept FROM kept')).toEqual([{ kept: 0 }]);
});

test('a frozen Postgres answers nobody, not even in an open session, until it goes on', async () => {
  cluster = await start();
  const client = new pg.Client({ connectionString: ownerUrl(cluster), ssl: false });
  await client.connect();
  try {
    await cluster.killService('postgres-a', 'SIGSTOP');
    let answers = 0;
    const answered = client.query('SELECT 1').then(() => (answers += 1));
    // Longer than a query takes by far; a process that goes on would have answered.
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(answers).toBe(0);
    await cluster.killService('postgres-a', 'SIGCONT');
    expect(await answered).toBe(1);
  } finally {
    await client.end();
  }
});

test('a frozen zone can be stopped all the same', async () => {
  cluster = await start();
  const pids = cluster.processes().map(({ pid }) => pid ?? 0);
  await cluster.killZone('b', 'SIGSTOP');
  await cluster.stop();
  expect(pids.filter((pid) => birthOf(pid) !== undefined)).toEqual([]);
});

test('what a killed starter left running is ended by the next start, and nothing else', async () => {
  const program = `
    const { startCluster } = await import(${JSON.stringify(join(CHECKOUT, 'dist/infra/local/cluster.js'))});
    const [directory, portBase] = process.argv.slice(1);
    const report = () => {};
    const cluster = await startCluster({ directory, portBase: Number(portBase), services: 'infrastructure', report });
    console.log(JSON.stringify(cluster.processes().map(({ pid }) => pid)));`;
  const args = ['--input-type=module', '-e', program, directory, String(portBase)];
  const starter = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const [line] = (await once(starter.stdout, 'data')) as [Buffer];
  const orphans = JSON.parse(line.toString()) as number[];
  starter.kill('SIGKILL');
  await once(starter, 'exit');
  expect(orphans.filter((pid) => birthOf(pid) !== undefined)).toHaveLength(7);
  expect(readClusterAddresses(directory)).toBeUndefined();

  cluster = await start();
  expect(orphans.filter((pid) => birthOf(pid) !== undefined)).toEqual([]);
  expect(notices.join('\n')).toMatch(/stopped what an earlier run left behind: .*nats \(\d+\), postgres-a \(\d+\)/);
});

test('a zone that lost its disk starts again with an empty database, which every role opens', async () => {
  cluster = await start();
  expect(() => {
    cluster?.wipeZone('a');
  }).toThrow(/postgres-a runs/);
  await cluster.killZone('a', 'SIGKILL');
  cluster.wipeZone('a');
  await cluster.startZone('a');
  const postgres = cluster.addresses.zones[0]?.postgres;
  for (const url of [postgres?.ownerUrl, postgres?.apiUrl, postgres?.auditUrl]) {
    expect(await query(url ?? '', "SELECT to_regclass('kept') AS kept")).toEqual([{ kept: null }]);
  }
  await query(ownerUrl(cluster), 'CREATE TABLE kept (id int PRIMARY KEY)');
});

test('a data directory that was only half made is made anew', async () => {
  const files = postgresFiles(layoutOf(directory).serviceFolder('postgres-a'));
  rmSync(files.mark);
  cluster = await start();
  expect(await query(ownerUrl(cluster), "SELECT to_regclass('kept') AS kept")).toEqual([{ kept: null }]);
  expect(existsSync(files.mark)).toBe(true);
});

test('a port somebody else listens on stops the start before anything runs', async () => {
  const stranger = createServer().listen(portBase + 22, '127.0.0.1');
  await once(stranger, 'listening');
  try {
    await expect(start()).rejects.toThrow(`Port ${portBase + 22}, meant for Redis of zone b, is in use`);
  } finally {
    stranger.close();
  }
  expect(existsSync(layoutOf(directory).starterFile)).toBe(false);
});

test('a start that is aborted leaves no process and no claim behind', async () => {
  const abort = new AbortController();
  setTimeout(() => {
    abort.abort(new Error('enough'));
  }, 60);
  await expect(start(abort.signal)).rejects.toThrow('enough');
  expect(existsSync(layoutOf(directory).starterFile)).toBe(false);
  expect(existsSync(layoutOf(directory).runFolder)).toBe(false);
});
