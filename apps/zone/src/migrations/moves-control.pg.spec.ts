import { newUuid } from '@borough/topology';
import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createZoneDatabase, type ZoneDatabase } from '../../../../test/support/databases.js';

const SHARD = 9;
const OTHER = 10;
const UNKNOWN = 11;
const ONE: Term = [1, 'x'];
const TWO: Term = [2, 'y'];
type Term = readonly [number, string];

let database: ZoneDatabase;
let coordinator: pg.Client;
const clients: pg.Client[] = [];

beforeEach(async () => {
  database = await createZoneDatabase();
  await database.claim('a');
  await database.own(SHARD, { owner: 'a', epoch: 3 });
  await database.openTables();
  coordinator = await connect(database.controlUrl);
});

afterEach(async () => {
  await Promise.all(clients.splice(0).map((client) => client.end()));
  await database.drop();
});

describe('an intent (M1, M2)', () => {
  it('makes a serving copy moving, with the heir and the move, and the owner refuses writes from then on', async () => {
    await intend(ONE);
    expect(await copy()).toEqual({ epoch: 3, state: 'moving', owner: 'a', heir: 'b', move_id: 'mov_1', cut: null });
    await expect(beginWrite()).rejects.toMatchObject({ code: 'BR503' });
    await expect(insertStore(await connect(database.apiUrl))).rejects.toMatchObject({ code: 'BR503' });
  });

  it('lets a write go on whose rows were let in before', async () => {
    const writer = await writerOf(SHARD);
    await insertStore(writer);
    await intend(ONE);
    await writer.query('COMMIT');
    expect(await database.query('SELECT shard, epoch FROM stores')).toEqual([{ shard: SHARD, epoch: 3 }]);
  });

  it('may be repeated, also under a newer term, and stays as old as it was: pauses are measured from it', async () => {
    await intend(ONE);
    const began = await changedAt();
    await intend(ONE);
    await intend(TWO);
    expect(await copy()).toMatchObject({ state: 'moving', heir: 'b', move_id: 'mov_1' });
    expect(await changedAt()).toEqual(began);
    await fence(TWO);
    await intend(TWO);
    expect(await copy()).toMatchObject({ state: 'fenced' });
  });

  it.each([
    ['of an epoch that is over', { epoch: 2 }],
    ['of an epoch that has not come', { epoch: 4 }],
    ['of a shard this voter has not heard of', { shard: UNKNOWN, epoch: 1 }],
    ['to the zone that owns it', { heir: 'a' }],
  ])('%s is refused, and changes nothing', async (_what, wrong) => {
    const before = await copy();
    await expect(intend(ONE, wrong)).rejects.toMatchObject({ code: 'BR409' });
    expect(await copy()).toEqual(before);
  });

  it('of a copy that is only accepted is refused: nobody may build on what was perhaps not chosen', async () => {
    await database.own(SHARD, { owner: 'a', epoch: 3, state: 'accepted' });
    await expect(intend(ONE)).rejects.toMatchObject({ code: 'BR409' });
    expect(await copy()).toMatchObject({ state: 'accepted' });
  });

  it.each([
    ['another move', { move: 'mov_2' }],
    ['the same move with another heir', { heir: 'c' }],
  ])('of %s is refused while one has the shard, moving or fenced', async (_what, other) => {
    await intend(ONE);
    await expect(intend(ONE, other)).rejects.toMatchObject({ code: 'BR409' });
    await fence(ONE);
    await expect(intend(ONE, other)).rejects.toMatchObject({ code: 'BR409' });
    expect(await copy()).toMatchObject({ state: 'fenced', heir: 'b', move_id: 'mov_1' });
  });

  it('is kept by a voter that is not the owner as well', async () => {
    await database.own(OTHER, { owner: 'c', epoch: 5 });
    await intend(ONE, { shard: OTHER, epoch: 5 });
    expect(await copy(OTHER)).toMatchObject({ state: 'moving', owner: 'c', heir: 'b' });
  });
});

describe('a fence (M4)', () => {
  it('waits for the writer before it, whose commit stands before the cut, and stops the one after it', async () => {
    const slot = await temporarySlot();
    const writer = await writerOf(SHARD);
    const lateWriter = await connect(database.apiUrl);
    await insertStore(writer);
    const fenced = heard(fence(ONE));
    await lockWaits(1);
    const late = heard(insertStore(lateWriter));
    await lockWaits(2);
    await writer.query('COMMIT');

    const cut = await fenced;
    await expect(late).rejects.toMatchObject({ code: 'BR503' });
    expect(await slot.commits()).toEqual([{ isBefore: true }]);
    expect(await copy()).toEqual({ epoch: 3, state: 'fenced', owner: 'a', heir: 'b', move_id: 'mov_1', cut });

    async function temporarySlot(): Promise<{ commits(): Promise<object[]> }> {
      const client = await connect(database.superuserUrl);
      const name = `spec_${randomBytes(6).toString('hex')}`;
      await client.query("SELECT pg_create_logical_replication_slot($1, 'pgoutput', true)", [name]);
      // The last line of a transaction stands at the end of its commit.
      const sql = `SELECT max(c.lsn) <= (SELECT o.cut FROM control.ownership o WHERE o.shard = $2) AS "isBefore"
                     FROM pg_logical_slot_peek_binary_changes($1, NULL, NULL,
                            'proto_version', '4', 'publication_names', 'borough') c
                    GROUP BY c.xid::text`;
      return { commits: async () => (await client.query<{ isBefore: boolean }>(sql, [name, SHARD])).rows };
    }
  });

  it('needs no intent at the owner, which may be the voter that was away', async () => {
    await fence(ONE);
    expect(await copy()).toMatchObject({ state: 'fenced', heir: 'b', move_id: 'mov_1' });
  });

  it('repeated, also under a newer term, answers with the same cut', async () => {
    await intend(ONE);
    const cut = await fence(ONE);
    await insertElsewhere();
    expect(await fence(ONE)).toBe(cut);
    expect(await fence(TWO)).toBe(cut);
  });

  it('gives up behind a writer that stays, and nothing of it stays queued (T21)', async () => {
    const writer = await writerOf(SHARD);
    await insertStore(writer);
    await expect(fence(ONE)).rejects.toMatchObject({ code: '55P03' });
    await lockWaits(0);
    const newcomer = await connect(database.apiUrl);
    await newcomer.query("SET lock_timeout = '1ms'");
    await insertStore(newcomer);
    await writer.query('COMMIT');
    expect(await copy()).toMatchObject({ state: 'serving', cut: null });
    await fence(ONE);
  });

  it.each([
    ['of an epoch that is over', { epoch: 2 }],
    ['of an epoch that has not come', { epoch: 4 }],
    ['of a shard nobody has', { shard: UNKNOWN, epoch: 1 }],
    ['of a shard another zone owns', { shard: OTHER, epoch: 3 }],
  ])('%s is refused', async (_what, wrong) => {
    await database.own(OTHER, { owner: 'b', epoch: 3 });
    const before = [await copy(), await copy(OTHER)];
    await expect(fence(ONE, wrong)).rejects.toMatchObject({ code: 'BR409' });
    expect([await copy(), await copy(OTHER)]).toEqual(before);
  });

  it('of a copy that is only accepted is refused', async () => {
    await database.own(SHARD, { owner: 'a', epoch: 3, state: 'accepted' });
    await expect(fence(ONE)).rejects.toMatchObject({ code: 'BR409' });
  });

  it.each(['moving', 'fenced'])('by another move is refused while the shard is %s', async (state) => {
    await database.own(SHARD, { owner: 'a', epoch: 3, state });
    await expect(fence(ONE)).rejects.toMatchObject({ code: 'BR409' });
    expect(await copy()).toMatchObject({ state, move_id: 'mov_test' });
  });

  it('is forgotten, heir, move and cut, by the next epoch', async () => {
    await fence(ONE);
    await call('accept_ownership', ONE, SHARD, 4, 'b');
    expect(await copy()).toEqual({ epoch: 4, state: 'accepted', owner: 'b', heir: null, move_id: null, cut: null });
  });
});

describe('ending writers', () => {
  it('ends those that hold the shard, nothing else, and the fence stands then; what they had begun is gone', async () => {
    await database.own(OTHER, { owner: 'a', epoch: 3 });
    const elsewhere = await createZoneDatabase();
    await elsewhere.claim('b');
    await elsewhere.own(SHARD, { owner: 'b' });
    const [first, second, ofOther] = [await writerOf(SHARD), await writerOf(SHARD), await writerOf(OTHER)];
    const ofOtherZone = await writerOf(SHARD, elsewhere.apiUrl);
    await insertStore(first);
    const ends = [first, second].map((writer) => new Promise((resolve) => writer.once('end', resolve)));

    expect(await call('end_writers', ONE, SHARD)).toEqual([{ end_writers: 2 }]);
    await Promise.all(ends);
    await fence(ONE);
    expect(await database.query('SELECT 1 FROM stores')).toEqual([]);
    expect((await ofOther.query('SELECT 1')).rowCount).toBe(1);
    expect((await ofOtherZone.query('SELECT 1')).rowCount).toBe(1);
    await ofOtherZone.end();
    clients.splice(clients.indexOf(ofOtherZone), 1);
    await elsewhere.drop();
  });

  it('leaves a fence alone that waits or stands: it holds the lock otherwise', async () => {
    await call('promise_term', ONE);
    await writerOf(SHARD);
    const fencing = await connect(database.controlUrl);
    const fenced = heard(fencing.query("SELECT control.fence_shard(1, 'x', $1, 3, 'b', 'mov_1')", [SHARD]));
    await lockWaits(1);
    expect(await call('end_writers', ONE, SHARD)).toEqual([{ end_writers: 1 }]);
    await fenced;
    expect(await call('end_writers', ONE, SHARD)).toEqual([{ end_writers: 0 }]);
  });
});

describe('a copy of an in-sync record (R1 to R3)', () => {
  it('is promised to each ballot once, and to none that is lower', async () => {
    expect(await promise(3)).toMatchObject({ is_granted: true, promised: 3, ballot: 0, members: [], version: 0 });
    expect(await promise(3)).toMatchObject({ is_granted: false, promised: 3 });
    expect(await promise(2)).toMatchObject({ is_granted: false, promised: 3 });
    expect(await promise(5)).toMatchObject({ is_granted: true, promised: 5 });
  });

  it('is taken from whoever has the highest promise, again and again, and from nobody below it', async () => {
    await promise(5);
    expect(await accept(4, ['b'])).toBe(false);
    expect(await accept(5, ['b', 'c'])).toBe(true);
    expect(await accept(5, ['b', 'c'])).toBe(true);
    expect(await promise(6)).toMatchObject({ is_granted: true, ballot: 5, members: ['b', 'c'], frozen_by: ['mov_1'] });
    expect(await accept(5, ['b'])).toBe(false);
  });

  it('may be taken where nothing was promised: the majority is elsewhere', async () => {
    expect(await accept(7, ['b'])).toBe(true);
    expect(await promise(7)).toMatchObject({ is_granted: false, promised: 7, ballot: 7, members: ['b'] });
  });

  it('is neither promised nor taken by a database that forgot what it said', async () => {
    await database.query('UPDATE control.voter SET is_voting = false');
    await expect(promise(1)).rejects.toMatchObject({ code: 'BR503' });
    await expect(accept(1, ['b'])).rejects.toMatchObject({ code: 'BR503' });
    await expect(call('promise_term', ONE)).rejects.toMatchObject({ code: 'BR503' });
    await database.query('UPDATE control.voter SET is_voting = true');
  });
});

describe('the record of a move', () => {
  it('is replaced by a newer version, and by nothing else', async () => {
    await put(ONE, 5, true, { step: 'five' }, 'key');
    await put(ONE, 4, true, { step: 'four' });
    await put(TWO, 5, true, { step: 'five again' });
    expect(await records()).toEqual([record(5, true, 'five', 1)]);

    await put(TWO, 7, false, { step: 'seven' });
    await put(TWO, 6, true, { step: 'six, late' });
    // The key of the request that began it stays.
    expect(await records()).toEqual([record(7, false, 'seven', 2)]);

    function record(version: number, isRunning: boolean, step: string, term: number): object {
      return { version, is_running: isRunning, request_key: 'key', document: { step }, term_number: term };
    }
  });
});

describe('the tables', () => {
  it.each(['moving', 'fenced'])('hold no copy that is %s and names no heir or no move', async (state) => {
    const plant = (heir: string | null, move: string | null): Promise<unknown> =>
      database.query(
        `INSERT INTO control.ownership (shard, epoch, state, owner, heir, move_id, term_number, term_coordinator)
         VALUES ($1, 1, $2, 'a', $3, $4, 1, 'x')`,
        [OTHER, state, heir, move],
      );
    await expect(plant(null, 'mov_1')).rejects.toMatchObject({ code: '23514' });
    await expect(plant('b', null)).rejects.toMatchObject({ code: '23514' });
    await plant('b', 'mov_1');
  });
});

describe('a look', () => {
  it('counts the orders that are neither delivered nor cancelled, by shard', async () => {
    await database.own(OTHER, { owner: 'a', epoch: 3 });
    for (const status of ['placed', 'accepted', 'assigned', 'picked-up', 'delivered', 'cancelled'])
      await insertOrder(SHARD, status);
    await insertOrder(OTHER, 'placed');
    const ask = 'SELECT shard, orders FROM control.in_process_orders($1) ORDER BY 1';
    expect((await coordinator.query(ask, [[SHARD, OTHER, UNKNOWN]])).rows).toEqual([
      { shard: SHARD, orders: 4 },
      { shard: OTHER, orders: 1 },
    ]);
    expect((await coordinator.query(ask, [[OTHER]])).rows).toEqual([{ shard: OTHER, orders: 1 }]);
  });

  it('at a zone finds tables that are closed or not guarded, and whom it does not wait for', async () => {
    expect(await facts(['a', 'b'])).toEqual({
      zone: 'a',
      waitsFor: [],
      behindBytes: {},
      unguardedTables: [],
      closedTables: [],
    });
    await database.query('DROP TRIGGER borough_deleted ON orders');
    const fresh = await createZoneDatabase();
    await fresh.claim('b');
    const [row] = await fresh.query<{ facts: object }>("SELECT control.zone_facts('{a,b}') AS facts");
    await fresh.drop();
    expect(await facts(['a', 'b'])).toMatchObject({ unguardedTables: ['orders'], closedTables: [] });
    expect(row?.facts).toMatchObject({
      zone: 'b',
      unguardedTables: [],
      closedTables: expect.arrayContaining(['orders']) as [],
    });
  });

  it('at what has been applied names a zone that never had a link, and does not wait past its bound', async () => {
    const ask = "SELECT control.wait_applied('{d,e}', pg_current_wal_insert_lsn(), 20) AS late";
    expect((await coordinator.query(ask)).rows).toEqual([{ late: ['d', 'e'] }]);
    expect((await coordinator.query("SELECT control.wait_applied('{}', '0/0', 20) AS late")).rows).toEqual([
      { late: [] },
    ]);
  });
});

async function connect(url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url });
  // Some are ended by the server on purpose.
  client.on('error', () => undefined);
  await client.connect();
  clients.push(client);
  return client;
}

async function call(name: string, term: Term, ...more: readonly unknown[]): Promise<unknown[]> {
  const all = [...term, ...more];
  const places = all.map((_, at) => `$${at + 1}`).join(', ');
  return (await coordinator.query<Record<string, unknown>>(`SELECT * FROM control.${name}(${places})`, all)).rows;
}

interface Intent {
  shard?: number;
  epoch?: number;
  heir?: string;
  move?: string;
}

async function intend(
  term: Term,
  { shard = SHARD, epoch = 3, heir = 'b', move = 'mov_1' }: Intent = {},
): Promise<void> {
  await call('intend_move', term, shard, epoch, heir, move);
}

async function fence(
  term: Term,
  { shard = SHARD, epoch = 3, heir = 'b', move = 'mov_1' }: Intent = {},
): Promise<string | undefined> {
  const [row] = (await call('fence_shard', term, shard, epoch, heir, move)) as { fence_shard: string }[];
  return row?.fence_shard;
}

async function put(term: Term, version: number, isRunning: boolean, document: object, key?: string): Promise<void> {
  await call('put_move', term, 'mov_1', version, isRunning, key ?? null, JSON.stringify(document));
}

function records(): Promise<object[]> {
  return database.query('SELECT m.version, m.is_running, m.request_key, m.document, m.term_number FROM control.move m');
}

async function promise(ballot: number): Promise<object | undefined> {
  return (await coordinator.query<object>("SELECT * FROM control.promise_in_sync('a', $1)", [ballot])).rows[0];
}

async function accept(ballot: number, members: string[]): Promise<boolean | undefined> {
  const sql = "SELECT control.accept_in_sync('a', $1, $2, 9, '{mov_1}') AS is_taken";
  return (await coordinator.query<{ is_taken: boolean }>(sql, [ballot, members])).rows[0]?.is_taken;
}

async function facts(zones: string[]): Promise<object | undefined> {
  const { rows } = await coordinator.query<{ facts: object }>('SELECT control.zone_facts($1) AS facts', [zones]);
  return rows[0]?.facts;
}

async function copy(shard = SHARD): Promise<object | undefined> {
  const [row] = await database.query(
    'SELECT o.epoch, o.state, o.owner, o.heir, o.move_id, o.cut FROM control.ownership o WHERE o.shard = $1',
    [shard],
  );
  return row;
}

async function changedAt(): Promise<unknown> {
  const [row] = await database.query('SELECT o.changed_at::text FROM control.ownership o WHERE o.shard = $1', [SHARD]);
  return row;
}

/** A writer in the middle of its transaction, holding the shard. */
async function writerOf(shard: number, url = database.apiUrl): Promise<pg.Client> {
  const writer = await connect(url);
  await writer.query('BEGIN');
  await writer.query('SELECT control.begin_write($1)', [shard]);
  return writer;
}

async function beginWrite(): Promise<void> {
  await (await connect(database.apiUrl)).query('SELECT control.begin_write($1)', [SHARD]);
}

async function insertStore(client: pg.Client): Promise<void> {
  await client.query(
    `INSERT INTO stores (id, shard, epoch, name, latitude, longitude, created_at) VALUES ($1, $2, 3, 'a store', 1, 2, now())`,
    [idIn(SHARD), SHARD],
  );
}

/** Awaited later: its failure is not unheard meanwhile. */
function heard<Result>(asked: Promise<Result>): Promise<Result> {
  asked.catch(() => undefined);
  return asked;
}

/** So that the log has grown since. */
async function insertElsewhere(): Promise<void> {
  await database.own(OTHER, { owner: 'a', epoch: 3 });
}

async function insertOrder(shard: number, status: string): Promise<void> {
  await database.query(
    `INSERT INTO orders (id, shard, epoch, store_id, customer_id, status, items, drop_off_latitude, drop_off_longitude, placed_at)
     VALUES ($1, $2, 3, $3, $4, $5, '[]', 1, 2, now())`,
    [idIn(shard), shard, idIn(shard), idIn(shard), status],
  );
}

function idIn(shard: number): string {
  return newUuid(shard, Date.now(), () => randomBytes(16));
}

/** Advisory locks that are waited for in this database; looked at often, since a fence waits for 300 ms at most. */
async function lockWaits(count: number): Promise<void> {
  const waiting = `SELECT 1 FROM pg_locks l
                    WHERE l.locktype = 'advisory' AND NOT l.granted
                      AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())`;
  await expect.poll(() => database.query(waiting), { timeout: 10_000, interval: 5 }).toHaveLength(count);
}
