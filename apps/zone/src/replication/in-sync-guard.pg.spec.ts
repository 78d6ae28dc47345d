import { type Logger, PostgresSession } from '@borough/server-kit';
import pg from 'pg';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest';
import { createLoneServer, type LoneServer } from '../lone-server.js';
import { InSyncGuard } from './in-sync-guard.js';
import { inSyncSetting } from './links.js';

const LINK = 'borough_b_from_a';
const FREEZE = "SELECT control.freeze_in_sync(1, 'c1', $1::text[], 'mov_1')";
const THAW = "SELECT control.thaw_in_sync(1, 'c1', 'mov_1')";
const COVERED: ReadonlySet<string> = new Set([LINK]);

interface LogLine {
  level: number;
  moveId?: string;
}

let server: LoneServer;
let session: PostgresSession;
let guard: InSyncGuard;
let said: LogLine[];

beforeEach(async () => {
  server = await createLoneServer(inject('infrastructure').zones[1]?.postgres);
  await server.query("INSERT INTO control.zone (id) VALUES ('a')");
  said = [];
  const logger: Logger = pino({ level: 'info' }, { write: (line: string) => said.push(JSON.parse(line) as LogLine) });
  session = new PostgresSession(server.ownerUrl, { name: 'test', logger });
  // b is a member that never connects: silent from the first look on, and to be dropped from the second on.
  guard = new InSyncGuard(session, new Map([[LINK, 'b']]), 0.001, logger);
  await server.waitFor(inSyncSetting([LINK]));
  expect(await guard.round(COVERED)).toEqual([LINK]);
});

afterEach(async () => {
  await session.end();
  await server.drop();
});

describe('while a move has frozen its set, a zone', () => {
  it('does not drop a silent member, and says so once; thawed, it drops it and lets go who waited', async () => {
    await server.asControl(FREEZE, [['a', 'c']]);
    const writer = new pg.Client({ connectionString: server.ownerUrl });
    await writer.connect();
    const waiting = writer.query('CREATE TABLE waits ()');
    await expect.poll(waiters).toBe(1);
    // Until it has said that it takes long.
    await expect.poll(roundUntilSaid(40), { timeout: 10_000 }).toBe(true);
    for (let round = 0; round < 5; round += 1) expect(await guard.round(COVERED)).toEqual([LINK]);
    expect(await setting()).toBe(inSyncSetting([LINK]));
    expect(await waiters()).toBe(1);
    expect(said.map(({ level, moveId }) => [level, moveId])).toEqual([
      [30, 'mov_1'],
      [40, 'mov_1'],
    ]);

    await server.asControl(THAW);
    expect(await guard.round(COVERED)).toEqual([]);
    expect(await setting()).toBe('');
    await waiting;
    await writer.end();
    expect(said.map(({ level }) => level)).toEqual([30, 40, 50]);
  });

  it('is not kept from a change by the freeze of another zone', async () => {
    await server.asControl(FREEZE, [['b']]);
    expect(await guard.round(COVERED)).toEqual([]);
    expect(await setting()).toBe('');
  });
});

describe('a freeze and a change', () => {
  it('exclude each other: the change is put off while a freeze is being written, and then seen to be frozen', async () => {
    await server.query('BEGIN');
    await server.query('SELECT pg_advisory_xact_lock(8, 2)');
    await server.query("INSERT INTO control.in_sync_freeze VALUES ('a', 'mov_1', 1, 'c1')");
    expect(await guard.round(COVERED)).toEqual([LINK]);
    await server.query('COMMIT');
    expect(await guard.round(COVERED)).toEqual([LINK]);
    expect(await setting()).toBe(inSyncSetting([LINK]));
  });

  it('exclude each other: a freeze in the middle of a change fails until the change is in force', async () => {
    server.signal('SIGSTOP');
    try {
      await expect(guard.round(COVERED)).rejects.toThrow(/did not take up/);
      // Written, and not in force: whoever froze the set now would see it change later.
      await expect(server.asControl(FREEZE, [['a']])).rejects.toMatchObject({ code: '55P03' });
    } finally {
      server.signal('SIGCONT');
    }
    expect(await guard.round(COVERED)).toEqual([]);
    await server.asControl(FREEZE, [['a']]);
    expect(await setting()).toBe('');
  });

  it('leave no lock behind, whatever came of them', async () => {
    await server.asControl(FREEZE, [['a']]);
    await guard.round(COVERED);
    await guard.round(COVERED);
    await server.asControl(THAW);
    await guard.round(COVERED);
    await guard.round(COVERED);
    expect(
      await server.query("SELECT 1 FROM pg_locks l WHERE l.locktype = 'advisory' AND l.classid = 8 AND l.objid = 2"),
    ).toEqual([]);
  });
});

function roundUntilSaid(level: number): () => Promise<boolean> {
  return async () => {
    await guard.round(COVERED);
    return said.some((line) => line.level === level);
  };
}

async function setting(): Promise<string | undefined> {
  const [row] = await server.query<{ setting: string }>(
    "SELECT current_setting('synchronous_standby_names') AS setting",
  );
  return row?.setting;
}

async function waiters(): Promise<number> {
  return (await server.query("SELECT 1 FROM pg_stat_activity a WHERE a.wait_event = 'SyncRep'")).length;
}
