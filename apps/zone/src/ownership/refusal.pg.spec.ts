import { newUuid } from '@borough/topology';
import { randomBytes } from 'node:crypto';
import { type DataSource } from 'typeorm';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createZoneDatabase, type ZoneDatabase } from '../../../../test/support/databases.js';
import { requestPool } from '../database.js';
import { ConfirmedStatements } from './confirmed-statements.js';

const SHARD = 5;

let database: ZoneDatabase;
let pool: DataSource;
let statements: ConfirmedStatements;

beforeEach(async () => {
  database = await createZoneDatabase();
  await database.claim('a');
  pool = await requestPool(database.apiUrl, 2).initialize();
  statements = new ConfirmedStatements(pool);
});

afterEach(async () => {
  await pool.destroy();
  await database.drop();
});

describe('a late write is refused with what the router needs to send it on', () => {
  beforeEach(() => database.openTables());

  it.each([
    ['another zone owns the shard', { owner: 'b', epoch: 4 }, 'wrong-zone', 421],
    ['another zone is about to own it', { owner: 'b', epoch: 4, state: 'accepted' }, 'wrong-zone', 421],
    ['it moves away', { owner: 'a', epoch: 3, state: 'moving' }, 'shard-moving', 503],
    ['it is fenced', { owner: 'a', epoch: 3, state: 'fenced' }, 'shard-moving', 503],
    ['it is about to come here', { owner: 'a', epoch: 4, state: 'accepted' }, 'shard-moving', 503],
    ['it went away and came back', { owner: 'a', epoch: 5 }, 'stale-epoch', 409],
  ])('when %s', async (_when, ownership, code, status) => {
    await database.own(SHARD, ownership);
    await expect(writeAtEpoch(3)).rejects.toMatchObject({
      code,
      status,
      facts: {
        members: { shard: SHARD, owner: ownership.owner, epoch: ownership.epoch },
        ...(status === 503 ? { retryAfterSeconds: 1 } : {}),
      },
    });
    // What each batch asks first says the same, but for the epoch, which nothing here remembers.
    const begun = statements.run({ name: 'begin', text: 'SELECT control.begin_write($1) AS epoch' }, [SHARD]);
    if (code === 'stale-epoch') expect(await begun).toEqual([{ epoch: 5 }]);
    else await expect(begun).rejects.toMatchObject({ code, facts: { members: { owner: ownership.owner } } });
    expect(await database.query('SELECT 1 FROM stores')).toEqual([]);
  });

  it('when no zone owns the shard', async () => {
    await expect(writeAtEpoch(3)).rejects.toMatchObject({
      code: 'area-not-served',
      status: 404,
      facts: { members: { shard: SHARD } },
    });
  });

  it('and is no longer refused the moment the zone owns the shard again: nothing of it is remembered', async () => {
    for (const epoch of [4, 6, 8]) {
      await database.own(SHARD, { owner: 'b', epoch: epoch - 1 });
      await expect(writeAtEpoch(epoch)).rejects.toMatchObject({ code: 'wrong-zone' });
      await database.own(SHARD, { owner: 'a', epoch });
      await writeAtEpoch(epoch);
    }
    expect(await database.query('SELECT epoch FROM stores ORDER BY 1')).toEqual([4, 6, 8].map((epoch) => ({ epoch })));
  });
});

describe('a write is put off', () => {
  it('while a table is closed', async () => {
    await database.own(SHARD, { owner: 'a', epoch: 3 });
    await expect(writeAtEpoch(3)).rejects.toMatchObject({
      code: 'zone-starting',
      status: 503,
      facts: { retryAfterSeconds: 1 },
    });
  });
});

/** As a process would that had its epoch from before it was frozen. */
async function writeAtEpoch(epoch: number): Promise<void> {
  await statements.run(
    {
      name: 'insert-store',
      text: `INSERT INTO stores (id, shard, epoch, name, latitude, longitude, created_at)
             VALUES ($1, $2, $3, 'late', 1, 2, now())`,
    },
    [newUuid(SHARD, Date.now(), () => randomBytes(16)), SHARD, epoch],
  );
}
