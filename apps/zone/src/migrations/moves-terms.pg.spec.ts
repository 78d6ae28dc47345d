import { newUuid } from '@borough/topology';
import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createZoneDatabase, type ZoneDatabase } from '../../../../test/support/databases.js';

const SHARD = 9;
const FREE = 10;
const ONE: Term = [1, 'x'];
const TWO: Term = [2, 'x'];
type Term = readonly [number, string];

const ORDER = newUuid(SHARD, Date.now(), () => randomBytes(16));
const AUDIT = newUuid(0, Date.now(), () => randomBytes(16));

/**
 * Every function that takes a term, with what follows the term: a call that does something in the database below.
 * One that is added without a line here fails the first test.
 */
const CALLS: Readonly<Record<string, readonly unknown[]>> = {
  accept_ownership: [FREE, 1, 'b'],
  serve_ownership: [SHARD, 3, 'a'],
  put_area: [FREE, 'north', ['85283473fffffff']],
  beat: [],
  intend_move: [SHARD, 3, 'b', 'mov_1'],
  fence_shard: [SHARD, 3, 'b', 'mov_1'],
  end_writers: [SHARD],
  put_move: ['mov_1', 1, true, null, '{}'],
  seal_zone: ['b', 'mov_1', [SHARD], [3]],
  end_apply_workers: ['c', 10],
  take_epochs: [[FREE], [1], ['b']],
  pass_tail_and_unseal: ['b', 0],
  serve_ownership_held: [SHARD, 3, 'a', 'mov_1', 'failover'],
  release_holds: ['mov_1'],
  release_order: [ORDER, 'ana', 'a test'],
  seal_for_rejoin: ['c', 'mov_1'],
  import_healed: ['{}'],
  request_audit: [AUDIT, '{}', 'ana'],
  cancel_audit: [AUDIT],
};
const NAMES = Object.keys(CALLS);
/** What a coordinator may call besides, which changes nothing. */
const LOOKS = [
  'wait_applied',
  'zone_facts',
  'in_process_orders',
  'zone_look',
  'applied_from',
  'log_position',
  'old_backends',
  'is_healed',
  'export_recent',
  'held_orders',
  'link_health',
  'receipts',
  'receipt_of',
  'what_was_voted',
  'audits',
  'audit_of',
  'zone_work',
];

let database: ZoneDatabase;
let coordinator: pg.Client;
const clients: pg.Client[] = [];

beforeAll(async () => {
  database = await createZoneDatabase();
  await database.claim('a');
  await database.openTables();
  await database.own(SHARD, { owner: 'a', epoch: 3 });
  const place = `INSERT INTO orders (id, shard, epoch, customer_id, store_id, status, items, drop_off_latitude,
                                     drop_off_longitude, placed_at)
                 VALUES ($1, $2, 3, gen_random_uuid(), $1, 'placed', '[]', 1, 2, now())`;
  await database.query(place, [ORDER, SHARD]);
});

beforeEach(async () => {
  await database.query(
    'TRUNCATE control.ownership, control.area, control.move, control.in_sync, control.seal, control.audit',
  );
  await database.query(
    "INSERT INTO control.seal (zone, move_id, term_number, term_coordinator) VALUES ('c', 'mov_0', 1, 'x')",
  );
  await database.query("UPDATE control.term SET number = 0, coordinator = ''");
  await database.query('UPDATE control.leader_pulse SET beats = 0');
  await database.own(SHARD, { owner: 'a', epoch: 3 });
  coordinator = await connect(database.controlUrl);
});

afterEach(async () => {
  await Promise.all(clients.splice(0).map((client) => client.end()));
});

afterAll(async () => {
  await database.drop();
});

describe('a term (O2)', () => {
  it('is taken by these functions, each of which stands in this table', async () => {
    const rows = await database.query<{ name: string }>(
      `SELECT p.proname AS name FROM pg_proc p
        WHERE p.pronamespace = 'control'::regnamespace AND 'given_number' = ANY (p.proargnames) AND p.proname <> 'require_term'`,
    );
    expect(rows.map(({ name }) => name).sort()).toEqual([...NAMES].sort());
  });

  it.each(NAMES)('that is over makes %s fail, and nothing of it is kept', async (name) => {
    await promise(TWO);
    const before = await everything();
    await expect(call(coordinator, name, ONE)).rejects.toMatchObject({ code: 'BR410' });
    await expect(call(coordinator, name, [2, 'w'])).rejects.toMatchObject({ code: 'BR410' });
    expect(await everything()).toEqual(before);
  });

  it.each(NAMES)('that is newer is promised by %s', async (name) => {
    await promise(ONE);
    await call(coordinator, name, TWO);
    expect(await promise(ONE)).toBe(false);
    expect(await promise(TWO)).toBe(true);
  });

  it.each(NAMES)('lets %s run beside another call of it that has not ended', async (name) => {
    await promise(ONE);
    const other = await connect(database.controlUrl);
    await other.query('BEGIN');
    await call(other, 'end_writers', ONE);
    await coordinator.query("SET lock_timeout = '2s'");
    await call(coordinator, name, ONE);
    await other.query('ROLLBACK');
  });

  // A beat waits for nobody and keeps nobody waiting: it decides nothing.
  it.each(NAMES.filter((name) => name !== 'beat'))('that is newer is promised only when %s has ended', async (name) => {
    await promise(ONE);
    const other = await connect(database.controlUrl);
    await other.query('BEGIN');
    await call(other, name, ONE);
    const promised = promise(TWO);
    await someoneWaitsForATransaction();
    await other.query('COMMIT');

    expect(await promised).toBe(true);
    await expect(call(other, name, ONE)).rejects.toMatchObject({ code: 'BR410' });
  });

  it.each<[string, Term, Term]>([
    ['the same term', TWO, TWO],
    ['two terms of two coordinators', [2, 'x'], [2, 'y']],
    ['a newer and an older one', [3, 'x'], [2, 'y']],
  ])('is promised by two calls at once without a deadlock: %s', async (_what, first, second) => {
    const holder = await connect(database.superuserUrl);
    const other = await connect(database.controlUrl);
    await holder.query('BEGIN');
    await holder.query('UPDATE control.term SET number = 1');
    const calls = Promise.allSettled([call(coordinator, 'end_writers', first), call(other, 'end_writers', second)]);
    await someoneWaitsForATransaction(2);
    await holder.query('COMMIT');

    const refusals = (await calls).flatMap((outcome) =>
      outcome.status === 'rejected' ? [(outcome.reason as pg.DatabaseError).code] : [],
    );
    // The lesser one may have been first.
    expect(refusals.filter((code) => code !== 'BR410')).toEqual([]);
    expect(refusals.length).toBeLessThanOrEqual(1);
    const [greater] = [first, second].sort((a, b) => b[0] - a[0] || (a[1] < b[1] ? 1 : -1));
    expect(await promised()).toEqual(greater);
  });
});

describe('a beat', () => {
  it('is counted under the promised term, and waits for no other call of it', async () => {
    await promise(ONE);
    const other = await connect(database.controlUrl);
    await other.query('BEGIN');
    await other.query('SELECT 1 FROM control.term');
    await call(coordinator, 'beat', ONE);
    await call(coordinator, 'beat', ONE);
    await other.query('COMMIT');
    expect(await beats()).toBe(2);
  });
});

describe('a control change never waits for another zone (O9, T15)', () => {
  it('every function commits at local, whatever its session says', async () => {
    const session = await connect(`${database.superuserUrl}?options=-csynchronous_commit%3Don`);
    for (const name of NAMES) {
      await session.query('BEGIN');
      await call(session, name, TWO);
      expect(await synchronousCommit(session), name).toBe('local');
      await session.query('ROLLBACK');
      expect(await synchronousCommit(session), name).toBe('on');
    }
  });

  it('nor a promise; and a beat under the promised term waits for no disk either', async () => {
    const session = await connect(`${database.superuserUrl}?options=-csynchronous_commit%3Don`);
    await session.query('BEGIN');
    await session.query("SELECT control.promise_term(2, 'x')");
    expect(await synchronousCommit(session)).toBe('local');
    await session.query('COMMIT');
    await session.query('BEGIN');
    await call(session, 'beat', TWO);
    expect(await synchronousCommit(session)).toBe('off');
    await session.query('COMMIT');
  });
});

describe('the coordinator’s role', () => {
  it('calls these functions, the looks, and a promise; no other function of ours', async () => {
    expect(await callable('borough_control')).toEqual(
      [...NAMES, ...LOOKS, 'promise_term', 'promise_in_sync', 'accept_in_sync', 'recent_digests'].sort(),
    );
  });

  it('reads what voters know and no row of a customer, and writes to no table and column', async () => {
    const rows = await database.query<{ readable: string[] | null; writable: string[] | null }>(
      `SELECT array_agg(c.oid::regclass::text ORDER BY 1) FILTER
                (WHERE has_any_column_privilege('borough_control', c.oid, 'SELECT')) AS readable,
              array_agg(c.oid::regclass::text) FILTER
                (WHERE has_any_column_privilege('borough_control', c.oid, 'INSERT, UPDATE, REFERENCES')
                    OR has_table_privilege('borough_control', c.oid, 'DELETE, TRUNCATE, TRIGGER, MAINTAIN')) AS writable
         FROM pg_class c
        WHERE c.relnamespace IN ('control'::regnamespace, 'public'::regnamespace) AND c.relkind IN ('r', 'p', 'v', 'm', 'S')`,
    );
    expect(rows[0]?.readable?.sort()).toEqual(
      [
        ...['zone', 'term', 'ownership', 'area', 'leader_pulse', 'in_sync', 'move', 'voter', 'seal', 'healed'].map(
          (table) => `control.${table}`,
        ),
        'zone_beats',
      ].sort(),
    );
    expect(rows[0]?.writable).toBeNull();
  });

  it('makes nothing, is nobody else, and owns nothing', async () => {
    const [rights] = await database.query(
      `SELECT has_database_privilege('borough_control', 'borough', 'CREATE, TEMPORARY') AS in_database,
              has_schema_privilege('borough_control', 'control', 'CREATE') AS in_control,
              has_schema_privilege('borough_control', 'public', 'CREATE') AS in_public,
              (SELECT count(*) FROM pg_auth_members m WHERE m.member = 'borough_control'::regrole) AS memberships,
              (SELECT count(*) FROM pg_class c WHERE c.relowner = 'borough_control'::regrole) AS tables,
              (SELECT r.rolsuper OR r.rolcreaterole OR r.rolcreatedb OR r.rolreplication OR r.rolbypassrls
                 FROM pg_roles r WHERE r.rolname = 'borough_control') AS powers`,
    );
    expect(rights).toEqual({
      in_database: false,
      in_control: false,
      in_public: false,
      memberships: 0,
      tables: 0,
      powers: false,
    });
  });

  it('cannot be made to run foreign code: every function that lends it rights names its search path', async () => {
    const rows = await database.query(
      `SELECT p.proname FROM pg_proc p
        WHERE p.pronamespace = 'control'::regnamespace AND p.prosecdef
          AND NOT coalesce('search_path=pg_catalog, pg_temp' = ANY (p.proconfig), false)`,
    );
    expect(rows).toEqual([]);
  });

  it('is refused where it tries all the same', async () => {
    const api = await connect(database.apiUrl);
    const pidOfApi = (await api.query<{ pid: number }>('SELECT pg_backend_pid() AS pid')).rows[0]?.pid ?? 0;
    for (const sql of [
      "UPDATE control.term SET number = 9, coordinator = 'z'",
      'UPDATE control.leader_pulse SET beats = 9',
      'DELETE FROM control.in_sync',
      "INSERT INTO control.move VALUES ('m', 1, true, null, '{}', 1, 'x')",
      'SELECT * FROM orders',
      "SELECT control.open_table('orders')",
      "SELECT control.require_term(9, 'z')",
      `SELECT control.begin_write(${SHARD})`,
      `SELECT pg_terminate_backend(${pidOfApi})`,
    ])
      await expect(coordinator.query(sql), sql).rejects.toMatchObject({ code: '42501' });
  });
});

describe('other roles', () => {
  it('call no control function but these', async () => {
    expect(await callable('borough_api')).toEqual(['begin_write']);
    // The agent of another zone changes in-sync records, and a new disk asks what was voted.
    expect(await callable('borough_replication')).toEqual(['accept_in_sync', 'promise_in_sync', 'what_was_voted']);
    for (const role of ['borough_audit', 'public']) expect(await callable(role), role).toEqual([]);
  });

  it('are refused where they try all the same: the one that serves requests', async () => {
    const api = await connect(database.apiUrl);
    for (const name of NAMES) await expect(call(api, name, ONE), name).rejects.toMatchObject({ code: '42501' });
    for (const look of ["wait_applied('{b}', '0/0', 1)", "zone_facts('{a}')", "in_process_orders('{1}')"])
      await expect(api.query(`SELECT control.${look}`), look).rejects.toMatchObject({ code: '42501' });
  });
});

async function connect(url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  clients.push(client);
  return client;
}

async function call(client: pg.Client, name: string, term: Term): Promise<void> {
  const all = [...term, ...(CALLS[name] ?? [])];
  await client.query(`SELECT * FROM control.${name}(${all.map((_, at) => `$${at + 1}`).join(', ')})`, all);
}

async function promise([number, name]: Term): Promise<boolean> {
  const client = await connect(database.controlUrl);
  const { rows } = await client.query<{ granted: boolean }>('SELECT granted FROM control.promise_term($1, $2)', [
    number,
    name,
  ]);
  return rows[0]?.granted === true;
}

async function promised(): Promise<Term | undefined> {
  const [row] = await database.query<{ number: number; coordinator: string }>('SELECT * FROM control.term');
  return row === undefined ? undefined : [row.number, row.coordinator];
}

async function beats(): Promise<number | undefined> {
  return (await database.query<{ beats: number }>('SELECT p.beats FROM control.leader_pulse p'))[0]?.beats;
}

/** All that control functions may change. */
async function everything(): Promise<unknown[]> {
  const rows: unknown[] = [];
  for (const table of ['term', 'ownership', 'area', 'leader_pulse', 'in_sync', 'move', 'seal', 'audit'])
    rows.push(await database.query(`SELECT * FROM control.${table} ORDER BY 1`));
  return rows;
}

async function synchronousCommit(client: pg.Client): Promise<string | undefined> {
  return (await client.query<{ synchronous_commit: string }>('SHOW synchronous_commit')).rows[0]?.synchronous_commit;
}

/** Functions of ours that a role may call, by name; trigger functions are called by nobody. */
async function callable(role: string): Promise<string[]> {
  const rows = await database.query<{ name: string }>(
    `SELECT p.proname AS name FROM pg_proc p
      WHERE p.pronamespace = 'control'::regnamespace AND has_function_privilege($1, p.oid, 'EXECUTE')`,
    [role],
  );
  return rows.map(({ name }) => name).sort();
}

async function someoneWaitsForATransaction(count = 1): Promise<void> {
  const waiting = `SELECT 1 FROM pg_stat_activity a
                    WHERE a.datname = current_database() AND a.wait_event_type = 'Lock'
                      AND a.wait_event IN ('transactionid', 'tuple')`;
  await expect.poll(() => database.query(waiting), { timeout: 10_000, interval: 5 }).toHaveLength(count);
}
