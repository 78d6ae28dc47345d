import { randomBytes } from 'node:crypto';
import { createLogger, PostgresSession } from '@borough/server-kit';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createZoneDatabase, type ZoneDatabase } from '../../../../test/support/databases.js';
import { idIn, keyRow, untilTrue } from '../../../../test/support/replicated-zones.js';
import { SelfHealing } from './agent/self-healing.js';
import { linkName } from './links.js';
import { Mesh } from './mesh.js';

const SHARD = 7;
const logger = createLogger('test', 'silent');

let ours: ZoneDatabase;
let theirs: ZoneDatabase;
/** Servers have one name space for the slots of all tests. */
let a: string;
let b: string;
let link: string;
let ends: (() => Promise<void>)[];

beforeEach(async () => {
  ends = [];
  const run = randomBytes(3).toString('hex');
  [a, b] = [`m${run}a`, `m${run}b`];
  link = linkName(a, b);
  ours = await createZoneDatabase();
  theirs = await createZoneDatabase(1);
  await ours.claim(a);
  await theirs.claim(b);
  for (const zone of [ours, theirs]) await zone.own(SHARD, { owner: b });
});

afterEach(async () => {
  for (const end of ends.reverse()) await end();
  await unsubscribe();
  await dropSlot();
  await ours.drop();
  await theirs.drop();
});

describe('a new database, beside a zone that holds rows', () => {
  it('takes in what comes from now on, and has the rest by healing', async () => {
    await theirs.openTables();
    await placeAtTheirs(3);

    expect(await meshTo(b).repair()).toEqual([]);
    await placeAtTheirs(1);
    await heal();

    expect(await keysOf(ours)).toEqual(await keysOf(theirs));
    expect(await keysOf(ours)).toHaveLength(4);
    await placeAtTheirs(1);
    await untilTrue(async () => (await keysOf(ours)).length === 5);
  });

  it('does not go on from the slot that a lost disk of its zone left', async () => {
    await theirs.openTables();
    await theirs.query("SELECT pg_create_logical_replication_slot($1, 'pgoutput')", [link]);
    const before = await slotStart();
    await placeAtTheirs(3);

    expect(await meshTo(b).repair()).toEqual([]);

    expect(await slotStart()).not.toBe(before);
  });
});

describe('a peer with a new database', () => {
  it('is recognised by its instance, and subscribed to anew', async () => {
    await ours.openTables();
    await theirs.openTables();
    const mesh = meshTo(b);
    expect(await mesh.repair()).toEqual([]);
    const before = await subscriptionId();
    expect(await mesh.repair()).toEqual([]);
    expect(await subscriptionId()).toBe(before);
    await endAll();
    await loseTheirDisk();

    expect(await meshTo(b).repair()).toEqual([]);

    expect(await subscriptionId()).not.toBe(before);
    await theirs.openTables();
    await placeAtTheirs(1);
    await untilTrue(async () => (await keysOf(ours)).length === 1);
  });
});

describe('a slot that is lost at the peer', () => {
  beforeEach(async () => {
    await ours.openTables();
    await theirs.openTables();
    expect(await meshTo(b).repair()).toEqual([]);
    await placeAtTheirs(2);
    await untilTrue(async () => (await keysOf(ours)).length === 2);
    await ours.query('SELECT control.note_healed($1, $2)', [[SHARD], [1]]);
    await endAll();
    await ours.query(`ALTER SUBSCRIPTION ${link} DISABLE`);
    await dropSlot();
    await placeAtTheirs(3);
  });

  it('leads to a link seeded anew, and to the rows that were lost on the way', async () => {
    expect(await meshTo(b).repair()).toEqual([]);
    await placeAtTheirs(1);

    await untilTrue(async () => (await keysOf(ours)).length === 3);
    expect(await ours.query('SELECT 1 FROM control.healed')).toEqual([]);
    await heal();
    expect(await keysOf(ours)).toEqual(await keysOf(theirs));
    expect(await keysOf(ours)).toHaveLength(6);
    expect(await ours.query('SELECT h.shard FROM control.healed h')).toEqual([{ shard: SHARD }]);
  });

  it('is left alone while the peer is sealed off', async () => {
    await ours.query(
      "INSERT INTO control.seal (zone, move_id, term_number, term_coordinator) VALUES ($1, 'mov_test', 1, 'test')",
      [b],
    );
    const before = await subscriptionId();

    expect(await meshTo(b).repair()).toEqual([]);

    expect(await subscriptionId()).toBe(before);
    expect(await slotStart()).toBeUndefined();
  });

  it('is made good also by a zone that was killed between two steps of it', async () => {
    await unsubscribe();

    expect(await meshTo(b).repair()).toEqual([]);

    expect(await ours.query('SELECT 1 FROM control.healed')).toEqual([]);
    await heal();
    expect(await keysOf(ours)).toHaveLength(5);
  });
});

it('a zone does not join to a database that was made for another zone than it is called', async () => {
  expect(await meshTo('c').repair()).toEqual([
    expect.stringMatching(new RegExp(`names it c, but that database was made for zone ${b}`)),
  ]);
});

function meshTo(peerId: string): Mesh {
  const peer = { zoneId: peerId, url: theirs.replicationUrl, session: session(theirs.replicationUrl) };
  const mesh = new Mesh(a, session(ours.ownerUrl), [peer], logger);
  ends.push(() => mesh.end());
  return mesh;
}

function session(url: string): PostgresSession {
  return new PostgresSession(url, { name: 'test', logger });
}

async function heal(): Promise<void> {
  const peer = { zoneId: b, session: session(theirs.replicationUrl) };
  const healing = new SelfHealing(a, session(ours.ownerUrl), [peer], logger);
  await healing.round(new AbortController().signal);
  await healing.end();
}

async function endAll(): Promise<void> {
  for (const end of ends.splice(0)) await end();
}

async function placeAtTheirs(count: number): Promise<void> {
  const rows = Array.from({ length: count }, () => keyRow({ shard: SHARD, epoch: 1 }, { key: idIn(SHARD) }));
  await theirs.query(
    'INSERT INTO public.idempotency_keys SELECT * FROM jsonb_populate_recordset(NULL::public.idempotency_keys, $1)',
    [JSON.stringify(rows)],
  );
}

function keysOf(zone: ZoneDatabase): Promise<{ key: string }[]> {
  return zone.query('SELECT k.key FROM public.idempotency_keys k ORDER BY 1');
}

async function subscriptionId(): Promise<number | undefined> {
  const [row] = await ours.query<{ oid: number }>(
    `SELECT s.oid FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid AND d.datname = current_database()`,
  );
  return row?.oid;
}

async function slotStart(): Promise<string | undefined> {
  const [row] = await theirs.query<{ at: string }>(
    'SELECT s.restart_lsn::text AS at FROM pg_replication_slots s WHERE s.slot_name = $1',
    [link],
  );
  return row?.at;
}

/** Another database of the same zone takes its place, at another address. */
async function loseTheirDisk(): Promise<void> {
  await ours.query(`ALTER SUBSCRIPTION ${link} DISABLE`);
  await dropSlot();
  await theirs.drop();
  theirs = await createZoneDatabase(1);
  await theirs.claim(b);
  await theirs.own(SHARD, { owner: b });
}

async function unsubscribe(): Promise<void> {
  if ((await subscriptionId()) === undefined) return;
  await ours.query(`ALTER SUBSCRIPTION ${link} DISABLE`);
  await ours.query(`ALTER SUBSCRIPTION ${link} SET (slot_name = NONE)`);
  await ours.query(`DROP SUBSCRIPTION ${link}`);
}

async function dropSlot(): Promise<void> {
  await untilTrue(async () => {
    await theirs.query(
      'SELECT pg_drop_replication_slot(s.slot_name) FROM pg_replication_slots s WHERE s.slot_name = $1 AND NOT s.active',
      [link],
    );
    return (await slotStart()) === undefined;
  });
}
