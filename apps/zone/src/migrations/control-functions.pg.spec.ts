import pg from 'pg';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createZoneDatabase, type ZoneDatabase } from '../../../../test/support/databases.js';

const SHARD = 9;
const ONE: Term = [1, 'x'];
const TWO: Term = [2, 'x'];
type Term = readonly [number, string];

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

describe('a promise of a term', () => {
  it('is given to a greater one and refused to a smaller', async () => {
    expect(await promise(TWO)).toBe(true);
    expect(await promise(ONE)).toBe(false);
    expect(await promise([2, 'y'])).toBe(true);
  });

  it('is given again to the same coordinator', async () => {
    await promise(TWO);
    expect(await promise(TWO)).toBe(true);
  });

  it.each(['accept_ownership', 'serve_ownership', 'put_area'])('makes %s of an older term fail (O2)', async (name) => {
    await accept(ONE, 1, 'a');
    await promise(TWO);
    const call =
      name === 'put_area' ? area(ONE) : name === 'serve_ownership' ? serve(ONE, 1, 'a') : accept(ONE, 2, 'a');
    await expect(call).rejects.toMatchObject({ code: 'BR410' });
  });

  it('is implied by a call with a greater one', async () => {
    await accept(TWO, 1, 'a');
    expect(await promise(ONE)).toBe(false);
  });
});

describe('an install', () => {
  it('lets nobody write until the second phase (O3)', async () => {
    await accept(ONE, 1, 'a');
    await expect(beginWrite()).rejects.toMatchObject({ code: 'BR503' });
    await serve(ONE, 1, 'a');
    expect(await beginWrite()).toBe(1);
  });

  it('may be repeated at every step, also under a newer term', async () => {
    await accept(ONE, 1, 'a');
    await accept(ONE, 1, 'a');
    await accept(TWO, 1, 'a');
    await serve(TWO, 1, 'a');
    await serve(TWO, 1, 'a');
    await accept(TWO, 1, 'a');
    expect(await stored()).toEqual({ epoch: 1, state: 'serving', owner: 'a' });
  });

  it('is not served by a zone that did not accept it', async () => {
    await expect(serve(ONE, 1, 'a')).rejects.toMatchObject({ code: 'BR409' });
    await accept(ONE, 1, 'a');
    await expect(serve(ONE, 1, 'b')).rejects.toMatchObject({ code: 'BR409' });
  });

  it('replaces what an older term left accepted, and never what is served', async () => {
    await accept(ONE, 1, 'b');
    await accept(TWO, 1, 'c');
    expect(await stored()).toEqual({ epoch: 1, state: 'accepted', owner: 'c' });
    await serve(TWO, 1, 'c');
    await expect(accept(TWO, 1, 'b')).rejects.toMatchObject({ code: 'BR409' });
  });

  it('does not go back to an epoch that is over', async () => {
    await accept(ONE, 2, 'b');
    await expect(accept(ONE, 1, 'a')).rejects.toMatchObject({ code: 'BR409' });
  });

  it('takes no shard away from a zone that still serves it: the fence comes first', async () => {
    await accept(ONE, 1, 'a');
    await serve(ONE, 1, 'a');
    await expect(accept(TWO, 2, 'b')).rejects.toMatchObject({ code: 'BR409' });
    await database.own(SHARD, { owner: 'a', state: 'fenced' });
    await accept(TWO, 2, 'b');
    await serve(TWO, 2, 'b');
    await expect(beginWrite()).rejects.toMatchObject({ code: 'BR421' });
  });

  it('gives up behind a writer that does not end, leaving nothing queued (T21)', async () => {
    await database.query('BEGIN');
    await database.query('SELECT pg_advisory_xact_lock_shared(7, $1)', [SHARD]);
    await expect(accept(ONE, 1, 'a')).rejects.toMatchObject({ code: '55P03' });
    await database.query('ROLLBACK');
    await accept(ONE, 1, 'a');
  });
});

describe('the coordinator’s role', () => {
  it('changes ownership through the functions and not otherwise', async () => {
    await expect(coordinator.query('UPDATE control.ownership SET epoch = 9')).rejects.toMatchObject({ code: '42501' });
    await expect(coordinator.query('SELECT * FROM orders')).rejects.toMatchObject({ code: '42501' });
  });

  it('commits without waiting for other zones (T15)', async () => {
    const [setting] = (await coordinator.query<{ synchronous_commit: string }>('SHOW synchronous_commit')).rows;
    expect(setting).toEqual({ synchronous_commit: 'local' });
  });
});

describe('the role that serves requests', () => {
  it('calls no control function', async () => {
    const api = new pg.Client({ connectionString: database.apiUrl });
    await api.connect();
    await expect(api.query("SELECT control.promise_term(9, 'x')")).rejects.toMatchObject({ code: '42501' });
    await expect(api.query("SELECT control.open_table('orders')")).rejects.toMatchObject({ code: '42501' });
    await expect(api.query('UPDATE control.ownership SET epoch = 9')).rejects.toMatchObject({ code: '42501' });
    await api.end();
  });
});

async function promise([number, name]: Term): Promise<boolean> {
  const answer = await coordinator.query<{ granted: boolean }>('SELECT * FROM control.promise_term($1, $2)', [
    number,
    name,
  ]);
  return answer.rows[0]?.granted === true;
}

async function accept(term: Term, epoch: number, owner: string): Promise<void> {
  await coordinator.query('SELECT control.accept_ownership($1, $2, $3, $4, $5)', [...term, SHARD, epoch, owner]);
}

async function serve(term: Term, epoch: number, owner: string): Promise<void> {
  await coordinator.query('SELECT control.serve_ownership($1, $2, $3, $4, $5)', [...term, SHARD, epoch, owner]);
}

async function area(term: Term): Promise<void> {
  await coordinator.query('SELECT control.put_area($1, $2, $3, $4, $5)', [...term, SHARD, 'n', ['85283473fffffff']]);
}

async function beginWrite(): Promise<number | undefined> {
  const [row] = await database.query<{ epoch: number }>('SELECT control.begin_write($1) AS epoch', [SHARD]);
  return row?.epoch;
}

async function stored(): Promise<unknown> {
  const [row] = await database.query('SELECT o.epoch, o.state, o.owner FROM control.ownership o WHERE o.shard = $1', [
    SHARD,
  ]);
  return row;
}
