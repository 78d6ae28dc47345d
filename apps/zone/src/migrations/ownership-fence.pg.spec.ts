import pg from 'pg';
import { newUuid } from '@borough/topology';
import { randomBytes } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createZoneDatabase, type ZoneDatabase } from '../../../../test/support/databases.js';

const OURS = 5;
const THEIRS = 6;
const NOBODYS = 7;

let database: ZoneDatabase;
let api: pg.Client;

beforeEach(async () => {
  database = await createZoneDatabase();
  await database.claim('a');
  await database.own(OURS, { owner: 'a', epoch: 3 });
  await database.own(THEIRS, { owner: 'b', epoch: 4 });
  await database.openTables();
  api = await connect(database.apiUrl);
});

afterEach(async () => {
  await api.end();
  await database.drop();
});

describe('the database lets a zone write', () => {
  it('rows of a shard it owns, at the epoch of that ownership', async () => {
    await insertStores(api, [{ shard: OURS, epoch: 3 }]);
    expect(await database.query('SELECT shard, epoch, version FROM stores')).toEqual([
      { shard: OURS, epoch: 3, version: 1 },
    ]);
  });

  it('and counts each change of a row in its version, whatever the writer says', async () => {
    await insertStores(api, [{ shard: OURS, epoch: 3 }]);
    await api.query("UPDATE stores SET name = 'x', version = 70");
    expect(await database.query('SELECT version FROM stores')).toEqual([{ version: 2 }]);
  });
});

describe('the database refuses (P2)', () => {
  it.each([
    ['a shard another zone owns', { shard: THEIRS, epoch: 4 }, 'BR421'],
    ['a shard nobody owns', { shard: NOBODYS, epoch: 1 }, 'BR404'],
    ['an epoch that is over', { shard: OURS, epoch: 2 }, 'BR409'],
    ['an epoch that has not come', { shard: OURS, epoch: 4 }, 'BR409'],
  ])('a row of %s', async (_what, row, sqlState) => {
    await expect(insertStores(api, [row])).rejects.toMatchObject({ code: sqlState });
    expect(await database.query('SELECT 1 FROM stores')).toEqual([]);
  });

  it.each(['moving', 'fenced', 'accepted'])('a row of an own shard that is %s', async (state) => {
    await database.own(OURS, { owner: 'a', epoch: 3, state });
    await expect(insertStores(api, [{ shard: OURS, epoch: 3 }])).rejects.toMatchObject({ code: 'BR503' });
  });

  it('a batch with one wrong row among right ones, as a whole', async () => {
    const rows = [OURS, OURS, THEIRS, OURS].map((shard) => ({ shard, epoch: 3 }));
    await expect(insertStores(api, rows)).rejects.toMatchObject({ code: 'BR421' });
    expect(await database.query('SELECT 1 FROM stores')).toEqual([]);
  });

  it('names owner and epoch, so that the caller can be sent there', async () => {
    const refusal = insertStores(api, [{ shard: THEIRS, epoch: 4 }]);
    await expect(refusal).rejects.toSatisfy((error: pg.DatabaseError) => {
      expect(JSON.parse(error.detail ?? '')).toEqual({ shard: THEIRS, owner: 'b', epoch: 4 });
      return true;
    });
  });

  it.each(['REPEATABLE READ', 'SERIALIZABLE'])('any write under %s', async (isolation) => {
    await api.query(`BEGIN ISOLATION LEVEL ${isolation}`);
    await expect(insertStores(api, [{ shard: OURS, epoch: 3 }])).rejects.toMatchObject({ code: 'BR400' });
    await api.query('ROLLBACK');
  });

  it('an update of a row another zone owns', async () => {
    await plantRowOf(THEIRS, 4);
    await expect(api.query("UPDATE stores SET name = 'mine now'")).rejects.toMatchObject({ code: 'BR421' });
  });

  it('an update that pulls a row out of another zone’s shard into an own one', async () => {
    await plantRowOf(THEIRS, 4);
    const id = newUuid(OURS, Date.now(), () => randomBytes(16));
    const pull = api.query('UPDATE stores SET id = $1, shard = $2, epoch = 3', [id, OURS]);
    await expect(pull).rejects.toMatchObject({ code: 'BR421' });
  });

  it('DELETE and TRUNCATE, also from the owner of the table', async () => {
    await insertStores(api, [{ shard: OURS, epoch: 3 }]);
    await expect(api.query('DELETE FROM stores')).rejects.toMatchObject({ code: '42501' });
    await expect(database.query('DELETE FROM stores')).rejects.toMatchObject({ code: 'BR405' });
    await expect(database.query('TRUNCATE stores')).rejects.toMatchObject({ code: 'BR405' });
  });

  it('a superuser who calls his session a replica (T18)', async () => {
    await database.query('SET session_replication_role = replica');
    const superuser = { query: database.query } as unknown as pg.Client;
    await expect(insertStores(superuser, [{ shard: THEIRS, epoch: 4 }])).rejects.toMatchObject({ code: 'BR421' });
  });

  it('a row whose id carries another shard', async () => {
    const id = newUuid(THEIRS, Date.now(), () => randomBytes(16));
    await expect(insertStores(api, [{ shard: OURS, epoch: 3, id }])).rejects.toMatchObject({ code: '23514' });
  });

  it('writes to a table that not every zone replicates yet (T14)', async () => {
    const fresh = await createZoneDatabase();
    const client = await connect(fresh.apiUrl);
    await fresh.claim('a');
    await fresh.own(OURS, { owner: 'a', epoch: 3 });
    await expect(insertStores(client, [{ shard: OURS, epoch: 3 }])).rejects.toMatchObject({ code: 'BR003' });
    await client.end();
    await fresh.drop();
  });
});

describe('a fence', () => {
  it('waits for the writer before it and stops the writer after it, who waited meanwhile', async () => {
    const fence = await connect(database.superuserUrl);
    const late = await connect(database.apiUrl);
    await api.query('BEGIN');
    await insertStores(api, [{ shard: OURS, epoch: 3 }]);

    await fence.query('BEGIN');
    const fenced = fence.query('SELECT pg_advisory_xact_lock(7, $1)', [OURS]);
    await someoneWaits(1);
    const lateWrite = insertStores(late, [{ shard: OURS, epoch: 3 }]);
    lateWrite.catch(() => undefined);
    await someoneWaits(2);

    await api.query('COMMIT');
    await fenced;
    await fence.query("UPDATE control.ownership SET state = 'fenced', heir = 'b', move_id = 'mov_1' WHERE shard = $1", [
      OURS,
    ]);
    await fence.query('COMMIT');
    await expect(lateWrite).rejects.toMatchObject({ code: 'BR503' });
    expect(await database.query('SELECT 1 FROM stores')).toHaveLength(1);
    await Promise.all([fence.end(), late.end()]);
  });

  it('of one shard stops no other', async () => {
    const OTHER = 8;
    await database.own(OTHER, { owner: 'a', epoch: 3 });
    await database.query('BEGIN');
    await database.query('SELECT pg_advisory_xact_lock(7, $1)', [OURS]);
    await insertStores(api, [{ shard: OTHER, epoch: 3 }]);
    await database.query('ROLLBACK');
    expect(await database.query('SELECT shard FROM stores')).toEqual([{ shard: OTHER }]);
  });
});

describe('start-up finds', () => {
  it('nothing amiss in a fresh database', async () => {
    expect(await database.query('SELECT 1 FROM control.unguarded')).toEqual([]);
  });

  it('a trigger that was dropped or switched off', async () => {
    await database.query('DROP TRIGGER borough_deleted ON orders');
    await database.query('ALTER TABLE stores ENABLE TRIGGER borough_inserted');
    expect(await database.query('SELECT table_name, trigger_name FROM control.unguarded ORDER BY 1')).toEqual([
      { table_name: 'orders', trigger_name: 'borough_deleted' },
      { table_name: 'stores', trigger_name: 'borough_inserted' },
    ]);
  });
});

async function connect(url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  return client;
}

interface Row {
  shard: number;
  epoch: number;
  id?: string;
}

/** All rows in one statement, as a batch would. */
async function insertStores(client: pg.Client, rows: readonly Row[]): Promise<void> {
  const values = rows.map(({ shard, epoch, id }) => ({
    id: id ?? newUuid(shard, Date.now(), () => randomBytes(16)),
    shard,
    epoch,
  }));
  await client.query(
    `INSERT INTO stores (id, shard, epoch, name, latitude, longitude, created_at)
     SELECT v.id, v.shard, v.epoch, 'a store', 1, 2, now()
       FROM jsonb_to_recordset($1::jsonb) AS v (id uuid, shard integer, epoch bigint)`,
    [JSON.stringify(values)],
  );
}

/** As replication brings it: rows of other zones are here too. */
async function plantRowOf(shard: number, epoch: number): Promise<void> {
  await database.query('ALTER TABLE stores DISABLE TRIGGER ALL');
  const superuser = { query: database.query } as unknown as pg.Client;
  await insertStores(superuser, [{ shard, epoch }]);
  await database.query('ALTER TABLE stores ENABLE TRIGGER ALL');
  await database.query('ALTER TABLE stores ENABLE REPLICA TRIGGER borough_guard');
  for (const trigger of ['inserted', 'updated', 'deleted', 'truncated']) {
    await database.query(`ALTER TABLE stores ENABLE ALWAYS TRIGGER borough_${trigger}`);
  }
}

async function someoneWaits(count: number): Promise<void> {
  await expect
    .poll(() =>
      database.query("SELECT 1 FROM pg_locks l WHERE l.locktype = 'advisory' AND NOT l.granted AND l.classid = 7"),
    )
    .toHaveLength(count);
}
