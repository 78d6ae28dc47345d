import pg from 'pg';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createZoneDatabase, type ZoneDatabase } from '../../../../test/support/databases.js';

let database: ZoneDatabase;
let coordinator: pg.Client;

beforeEach(async () => {
  database = await createZoneDatabase();
  await database.claim('a');
  coordinator = new pg.Client({ connectionString: database.controlUrl });
  await coordinator.connect();
});

afterEach(async () => {
  await coordinator.end();
  await database.drop();
});

describe('the list of receipts', () => {
  it('is newest first, and says all but what stood in the rows', async () => {
    await keep({ table: 'orders', shard: 5, replacedBy: { id: 'x', status: 'accepted' } });
    await keep({ table: 'stores', shard: 6 });

    expect(await receipts()).toEqual([
      { ...RECEIPT, id: 2, table: 'stores', shard: 6, foundBy: 'healing', isReplaced: false },
      { ...RECEIPT, id: 1, table: 'orders', shard: 5, foundBy: 'healing', isReplaced: true },
    ]);
  });

  it('is empty where nothing is kept', async () => {
    expect(await receipts()).toEqual([]);
  });

  it('is asked for by table, by shard, and page by page', async () => {
    for (const [table, shard] of [
      ['orders', 5],
      ['stores', 5],
      ['orders', 6],
      ['orders', 5],
    ] as const) {
      await keep({ table, shard });
    }

    expect(idsOf(await receipts({ table: 'orders' }))).toEqual([4, 3, 1]);
    expect(idsOf(await receipts({ shard: 5 }))).toEqual([4, 2, 1]);
    expect(idsOf(await receipts({ table: 'orders', shard: 5 }))).toEqual([4, 1]);
    expect(idsOf(await receipts({ upTo: 2 }))).toEqual([4, 3]);
    expect(idsOf(await receipts({ before: 3, upTo: 2 }))).toEqual([2, 1]);
    expect(idsOf(await receipts({ before: 1 }))).toEqual([]);
  });
});

describe('one receipt', () => {
  it('has the row as it stood, and the row in its place', async () => {
    await keep({ table: 'orders', shard: 5, replacedBy: { id: 'x', status: 'accepted' } });
    expect(await receiptOf(1)).toEqual({
      ...RECEIPT,
      id: 1,
      table: 'orders',
      shard: 5,
      foundBy: 'healing',
      document: { id: 'x', status: 'placed' },
      replacedBy: { id: 'x', status: 'accepted' },
    });
  });

  it('says so where the owner has no such row, and is null where there is none of the number', async () => {
    await keep({ table: 'orders', shard: 5 });
    expect(await receiptOf(1)).toMatchObject({ replacedBy: null });
    expect(await receiptOf(2)).toBeNull();
  });
});

it('is for coordinators alone: receipts hold rows of customers', async () => {
  for (const url of [database.apiUrl, database.replicationUrl]) {
    const client = new pg.Client({ connectionString: url });
    await client.connect();
    try {
      for (const call of ['control.receipts(NULL, NULL, NULL, 1)', 'control.receipt_of(1)']) {
        await expect(client.query(`SELECT ${call}`)).rejects.toMatchObject({ code: '42501' });
      }
    } finally {
      await client.end();
    }
  }
  await expect(coordinator.query('SELECT r.document FROM control.receipt r')).rejects.toMatchObject({ code: '42501' });
});

const RECEIPT = {
  key: { id: 'x' },
  epoch: 3,
  version: 2,
  foundAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/) as string,
};

async function keep({ table, shard, replacedBy }: { table: string; shard: number; replacedBy?: object }) {
  await database.query(`SELECT control.keep_receipt('healing', $1, '{"id": "x"}', $2, 3, 2, $3, $4)`, [
    table,
    shard,
    JSON.stringify({ id: 'x', status: 'placed' }),
    replacedBy === undefined ? null : JSON.stringify(replacedBy),
  ]);
}

async function receipts(filter: { table?: string; shard?: number; before?: number; upTo?: number } = {}) {
  const { rows } = await coordinator.query<{ receipts: unknown[] }>(
    'SELECT control.receipts($1, $2, $3, $4) AS receipts',
    [filter.table ?? null, filter.shard ?? null, filter.before ?? null, filter.upTo ?? 100],
  );
  return rows[0]?.receipts;
}

async function receiptOf(id: number): Promise<unknown> {
  const { rows } = await coordinator.query<{ receipt: unknown }>('SELECT control.receipt_of($1) AS receipt', [id]);
  return rows[0]?.receipt;
}

function idsOf(list: unknown[] | undefined): unknown[] {
  return (list ?? []).map((entry) => (entry as { id: number }).id);
}
