import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';

type Query = <Row extends pg.QueryResultRow>(sql: string, parameters?: readonly unknown[]) => Promise<Row[]>;

/** How to reach the database that tests are cloned from, on a server of the run. */
interface ServerUrls {
  readonly superuserUrl: string;
  readonly ownerUrl: string;
  readonly apiUrl: string;
  readonly controlUrl: string;
}

/** Longest wait for a server to take up a setting, in ms. */
const SETTING_LIMIT_MS = 5_000;

/** A migrated database on a server whose in-sync setting a test may change: it holds for the whole server. */
export interface LoneServer {
  readonly ownerUrl: string;
  readonly apiUrl: string;
  /** As the superuser, never waiting for members. */
  readonly query: Query;
  /** As the coordinator's role. */
  readonly asControl: Query;
  /** `FIRST 1 (nobody)` makes every commit wait for ever; the empty text lets all go. */
  waitFor(setting: string): Promise<void>;
  /** Signals the server's first process: stopped, it hands no new setting on, while open sessions work. */
  signal(signal: 'SIGSTOP' | 'SIGCONT'): void;
  drop(): Promise<void>;
}

/**
 * A database of a test's own; `drop()` it afterwards. Take the second or third server of the run, which no other spec
 * uses, and only one spec file for each, since files run side by side.
 */
export async function createLoneServer(server: ServerUrls | undefined): Promise<LoneServer> {
  if (server === undefined) throw new Error('the global set-up started no such server');
  const { superuserUrl, ownerUrl, apiUrl, controlUrl } = server;
  const name = `test_${randomBytes(6).toString('hex')}`;
  const urlOf = (url: string, database = name): string =>
    Object.assign(new URL(url), { pathname: `/${database}` }).href;
  await once(urlOf(superuserUrl, 'postgres'), `CREATE DATABASE ${name} TEMPLATE borough OWNER borough_owner`);

  const superuser = await connect(`${urlOf(superuserUrl)}?options=-csynchronous_commit%3Dlocal`);
  const control = await connect(urlOf(controlUrl));
  const query = queryOn(superuser);
  const [first] = await query<{ pid: number }>(
    "SELECT split_part(pg_read_file('postmaster.pid'), E'\\n', 1)::int AS pid",
  );
  if (first === undefined) throw new Error('the server has no first process');
  const waitFor = async (setting: string): Promise<void> => {
    await query(`ALTER SYSTEM SET synchronous_standby_names = '${setting}'`);
    await query('SELECT pg_reload_conf()');
    const limit = performance.now() + SETTING_LIMIT_MS;
    const isInForce = "SELECT 1 WHERE current_setting('synchronous_standby_names') = $1";
    while ((await query(isInForce, [setting])).length === 0) {
      if (performance.now() > limit) throw new Error('the server did not take up synchronous_standby_names');
      await sleep(5);
    }
  };
  return {
    ownerUrl: urlOf(ownerUrl),
    apiUrl: urlOf(apiUrl),
    query,
    asControl: queryOn(control),
    waitFor,
    signal: (signal) => process.kill(first.pid, signal),
    drop: async () => {
      await waitFor('');
      await Promise.all([superuser.end(), control.end()]);
      await once(urlOf(superuserUrl, 'postgres'), `DROP DATABASE ${name}`);
    },
  };
}

function queryOn(client: pg.Client): Query {
  return async <Row extends pg.QueryResultRow>(sql: string, parameters: readonly unknown[] = []) =>
    (await client.query<Row>(sql, [...parameters])).rows;
}

async function connect(connectionString: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString });
  await client.connect();
  return client;
}

async function once(url: string, sql: string): Promise<void> {
  const client = await connect(url);
  await client.query(sql);
  await client.end();
}
