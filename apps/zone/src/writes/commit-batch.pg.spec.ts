import { newUuid } from '@borough/topology';
import { randomBytes } from 'node:crypto';
import { type DataSource } from 'typeorm';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createZoneDatabase, type ZoneDatabase } from '../../../../test/support/databases.js';
import { requestPool } from '../database.js';
import { ConfirmedStatements } from '../ownership/confirmed-statements.js';
import { storeEntity } from '../stores/store.entity.js';
import { commitBatch } from './commit-batch.js';
import { newRow } from './new-rows.js';
import { type PendingWrite } from './pending-write.js';

const SHARD = 5;

let database: ZoneDatabase;
let pool: DataSource;
let statements: ConfirmedStatements;

beforeEach(async () => {
  database = await createZoneDatabase();
  await database.claim('a');
  await database.own(SHARD, { owner: 'a', epoch: 3 });
  await database.openTables();
  pool = await requestPool(database.apiUrl, 8).initialize();
  statements = new ConfirmedStatements(pool);
});

afterEach(async () => {
  await pool.destroy();
  await database.drop();
});

describe('a batch', () => {
  it('writes every effect once, at the epoch of the owner, and answers in order', async () => {
    const outcomes = await commitBatch(
      statements,
      SHARD,
      ['1', '2', '3'].map((key) => storeWrite(key)),
    );
    expect(outcomes).toMatchObject(
      ['1', '2', '3'].map((key) => ({ kind: 'answered', answer: { body: key, isReplay: false } })),
    );
    expect(await database.query('SELECT name, epoch, version FROM stores ORDER BY name')).toEqual(
      ['1', '2', '3'].map((name) => ({ name, epoch: 3, version: 1 })),
    );
  });

  it('mixes new writes, replays and refusals without one spoiling another', async () => {
    await commitBatch(statements, SHARD, [storeWrite('1'), storeWrite('2')]);
    const outcomes = await commitBatch(statements, SHARD, [
      storeWrite('2', 'another body'),
      storeWrite('3'),
      storeWrite('1'),
    ]);
    expect(outcomes).toMatchObject([
      { kind: 'refused', problem: { code: 'idempotency-key-reused' } },
      { kind: 'answered', answer: { body: '3', isReplay: false } },
      { kind: 'answered', answer: { body: '1', isReplay: true } },
    ]);
    expect(await database.query('SELECT name FROM stores ORDER BY name')).toEqual(
      ['1', '2', '3'].map((name) => ({ name })),
    );
  });

  it('of another process with the same keys, in another order, at the same moment has one effect per key', async () => {
    for (let round = 0; round < 20; round += 1) {
      const keys = ['x', 'y', 'z'].map((key) => `${key}${round}`);
      const [one, two] = await Promise.all([
        commitBatch(
          statements,
          SHARD,
          keys.map((key) => storeWrite(key)),
        ),
        commitBatch(
          statements,
          SHARD,
          keys.toReversed().map((key) => storeWrite(key)),
        ),
      ]);
      expect([...one, ...two].every(({ kind }) => kind === 'answered')).toBe(true);
    }
    expect(await database.query('SELECT name FROM stores')).toHaveLength(60);
  });

  it('is refused as a whole when the shard is not ours, and leaves nothing', async () => {
    await database.own(SHARD, { owner: 'b', epoch: 4 });
    await expect(commitBatch(statements, SHARD, [storeWrite('1'), storeWrite('2')])).rejects.toMatchObject({
      code: 'wrong-zone',
      facts: { members: { shard: SHARD, owner: 'b', epoch: 4 } },
    });
    expect(await database.query('SELECT 1 FROM idempotency_keys')).toEqual([]);
  });

  it('whose session is ended in the middle is unknown, and not called failed', async () => {
    const outcome = statements.run({ name: 'sleep', text: 'SELECT pg_sleep(60)' }, []).catch((error: unknown) => error);
    await expect.poll(endSleepers).toHaveLength(1);
    expect(await outcome).toMatchObject({ code: 'outcome-unknown' });
  });

  it('that comes the moment another was ended gets a connection that works', async () => {
    // One connection: the next write takes what the ended one gives back.
    const single = await requestPool(database.apiUrl, 1).initialize();
    const alone = new ConfirmedStatements(single);
    for (let round = 0; round < 10; round += 1) {
      const next = alone
        .run({ name: 'sleep', text: 'SELECT pg_sleep(60)' }, [])
        .then(() => ['not ended'])
        .catch(() => commitBatch(alone, SHARD, [storeWrite(`after ${round}`)]));
      await expect.poll(endSleepers).toHaveLength(1);
      expect(await next).toMatchObject([{ kind: 'answered' }]);
    }
    await single.destroy();
  });

  it('whose commit ends with a warning is not reported as written: its wait for other zones was cancelled', async () => {
    const text = "DO $$ BEGIN RAISE WARNING 'canceling wait for synchronous replication'; END $$";
    await expect(statements.run({ name: 'warn', text }, [])).rejects.toMatchObject({ code: 'outcome-unknown' });
  });
});

function endSleepers(): Promise<object[]> {
  return database.query(
    `SELECT pg_terminate_backend(a.pid) FROM pg_stat_activity a
      WHERE a.application_name = 'borough-zone' AND a.datname = current_database() AND a.wait_event = 'PgSleep'`,
  );
}

function storeWrite(key: string, body = `body of ${key}`): PendingWrite {
  return {
    kind: 'new-rows',
    route: 'POST /v1/stores',
    caller: 'anonymous',
    key,
    fingerprint: Buffer.from(body).toString('hex'),
    answer: { status: 201, body: key, isReplay: false },
    rows: newRow(storeEntity, {
      id: newUuid(SHARD, Date.now(), () => randomBytes(16)),
      shard: SHARD,
      epoch: 0,
      version: 1,
      name: key,
      latitude: 1,
      longitude: 2,
      createdAt: new Date(),
    }),
  };
}
