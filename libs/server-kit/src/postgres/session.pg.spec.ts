import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { pino } from 'pino';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest';
import { WayToServer } from '../way-to-server.js';
import { PostgresSession } from './session.js';

const logger = pino({ level: 'silent' });
const sessions: PostgresSession[] = [];
let superuserUrl: string;
let observer: pg.Client;
let name: string;

beforeAll(async () => {
  const [zone] = inject('infrastructure').zones;
  const url = new URL(zone?.postgres.superuserUrl ?? '');
  url.pathname = '/postgres';
  superuserUrl = url.href;
  observer = new pg.Client({ connectionString: superuserUrl });
  await observer.connect();
});

beforeEach(() => {
  name = `spec-${randomUUID()}`;
});

afterEach(async () => {
  await Promise.all(sessions.splice(0).map((session) => session.end()));
  await expect.poll(backends).toEqual([]);
});

afterAll(async () => {
  await observer.end();
});

function newSession(url = superuserUrl): PostgresSession {
  const session = new PostgresSession(url, { name, logger });
  sessions.push(session);
  return session;
}

/** The server's processes for this test's sessions. */
async function backends(): Promise<number[]> {
  const { rows } = await observer.query<{ pid: number }>(
    'SELECT a.pid FROM pg_stat_activity a WHERE a.application_name = $1',
    [name],
  );
  return rows.map(({ pid }) => pid);
}

async function backendsAsleep(pid: number | undefined): Promise<number | null> {
  const sql = `SELECT FROM pg_stat_activity a WHERE a.pid = $1 AND a.wait_event = 'PgSleep'`;
  return (await observer.query(sql, [pid])).rowCount;
}

async function pidOf(session: PostgresSession): Promise<number | undefined> {
  const [row] = await session.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
  return row?.pid;
}

describe('a session', () => {
  it('opens with its first query and stays on one connection, under its name', async () => {
    const session = newSession();
    expect(await backends()).toEqual([]);

    const pids = await Promise.all([pidOf(session), pidOf(session)]);
    pids.push(await pidOf(session));

    expect(await backends()).toEqual([pids[0]]);
    expect(new Set(pids).size).toBe(1);
  });

  it('gives the parameters to the server, and the rows back', async () => {
    const rows = await newSession().query('SELECT $1::text AS name, $2::int AS age', ["Ada'; --", 36]);

    expect(rows).toEqual([{ name: "Ada'; --", age: 36 }]);
  });

  it('keeps its connection when the server refuses a query, and says it as the server did', async () => {
    const session = newSession();
    const pid = await pidOf(session);

    await expect(session.query('SELECT 1/0')).rejects.toMatchObject({ name: 'error', code: '22012' });

    expect(await pidOf(session)).toBe(pid);
  });

  it('ends its connection, and may be used again', async () => {
    const session = newSession();
    const pid = await pidOf(session);
    await session.end();
    await expect.poll(backends).toEqual([]);

    expect(await pidOf(session)).not.toBe(pid);
  });
});

describe('a lost connection', () => {
  it('is opened again by the next query', async () => {
    const session = newSession();
    const pid = await pidOf(session);
    await observer.query('SELECT pg_terminate_backend($1)', [pid]);
    await expect.poll(backends).toEqual([]);

    await expect.poll(() => pidOf(session).catch(() => pid)).not.toBe(pid);
    expect(await backends()).toHaveLength(1);
  });

  it('fails the query under way, and no query after it', async () => {
    const session = newSession();
    const pid = await pidOf(session);
    const asleep = session.query('SELECT pg_sleep(60)', [], 30_000);
    const failure = expect(asleep).rejects.toMatchObject({ code: '57P01' });
    await expect.poll(() => backendsAsleep(pid)).toBe(1);
    await observer.query('SELECT pg_terminate_backend($1)', [pid]);
    await failure;
    await expect.poll(backends).toEqual([]);

    expect(await pidOf(session)).not.toBe(pid);
  });
});

describe('a query past its deadline', () => {
  it('fails, and its connection is thrown away: nothing is known of it any more', async () => {
    const session = newSession();
    const pid = await pidOf(session);

    await expect(session.query('SELECT pg_sleep(60)', [], 50)).rejects.toThrow(/gave no answer within 50 ms/);

    expect(await pidOf(session)).not.toBe(pid);
    await observer.query('SELECT pg_terminate_backend($1)', [pid]);
  });

  it('is not the end of those behind it: they share one new connection', async () => {
    const session = newSession();
    const pid = await pidOf(session);
    const late = session.query('SELECT pg_sleep(60)', [], 50).catch((error: unknown) => error);
    const behind = [pidOf(session), pidOf(session)];

    expect(await late).toBeInstanceOf(Error);
    const pids = [...(await Promise.all(behind)), await pidOf(session)];

    expect(new Set(pids).size).toBe(1);
    expect(pids[0]).not.toBe(pid);
    await observer.query('SELECT pg_terminate_backend($1)', [pid]);
    await expect.poll(backends).toEqual([pids[0]]);
  });
});

it('what still waits for its turn when the session ends is refused, and opens no connection any more', async () => {
  const session = newSession();
  const pid = await pidOf(session);
  const outcomes = Promise.allSettled([session.query('SELECT pg_sleep(60)', [], 30_000), session.query('SELECT 1')]);
  await expect.poll(() => backendsAsleep(pid)).toBe(1);
  await session.end();

  expect((await outcomes).map(({ status }) => status)).toEqual(['rejected', 'rejected']);
  await observer.query('SELECT pg_terminate_backend($1)', [pid]);
  await expect.poll(backends).toEqual([]);
});

it('a session ends although its server is frozen', async () => {
  const way = new WayToServer(superuserUrl);
  await way.mend();
  const session = newSession(way.url);
  await pidOf(session);
  way.freeze();
  await session.end();
  await way.cut();
});

describe('a server that cannot be reached', () => {
  it('refuses the query, and the next one tries again', async () => {
    const server = createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    server.close();
    await once(server, 'close');
    const session = newSession(`postgres://nobody:x@127.0.0.1:${port}/none`);

    await expect(session.query('SELECT 1')).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    await expect(session.query('SELECT 1')).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  });

  it('that takes connections and never answers is given up too', async () => {
    const sockets: Socket[] = [];
    const frozen: Server = createServer((socket) => sockets.push(socket));
    frozen.listen(0, '127.0.0.1');
    await once(frozen, 'listening');
    const { port } = frozen.address() as AddressInfo;
    const session = new PostgresSession(`postgres://nobody:x@127.0.0.1:${port}/none`, {
      name,
      logger,
      connectTimeoutMs: 50,
    });

    await expect(session.query('SELECT 1')).rejects.toThrow(/timeout/);

    for (const socket of sockets) socket.destroy();
    frozen.close();
    await once(frozen, 'close');
  });
});
