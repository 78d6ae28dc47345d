import { createLogger, PostgresSession } from '@borough/server-kit';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  eventRow,
  idIn,
  keyRow,
  orderRow,
  type ReplicatedZone,
  ReplicatedZones,
  untilArrived,
  untilTrue,
  write,
} from '../../../../../test/support/replicated-zones.js';
import { type AuditPair } from './audit-pair.js';
import { AuditRunner } from './audit-runner.js';

/** Owned by a, and b, the zone that audits itself. */
const SHARD = 7;
const OWN_SHARD = 8;
const EPOCH = 2;
const STAMP = { epoch: EPOCH, version: 1 };
const AUDIT_ID = '019a0000-0000-7000-8000-000000000001';
const HOUR_MS = 3_600_000;

const logger = createLogger('test', 'silent');
let cluster: ReplicatedZones;
let a: ReplicatedZone;
let b: ReplicatedZone;
let runners: AuditRunner[];

beforeEach(async () => {
  runners = [];
  cluster = new ReplicatedZones();
  const [first, second] = await cluster.start(2);
  if (first === undefined || second === undefined) throw new Error('two zones were asked for');
  [a, b] = [first, second];
  await cluster.serve(SHARD, a, EPOCH);
  await cluster.serve(OWN_SHARD, b, EPOCH);
});

afterEach(async () => {
  for (const runner of runners) await runner.end();
  await cluster.stop();
});

function runnerOf(zone: ReplicatedZone, owner: { zoneId: string; url: string }, everyMs = 0): AuditRunner {
  const session = (url: string): PostgresSession => new PostgresSession(url, { name: 'test', logger });
  const runner = new AuditRunner({
    zoneId: zone.zoneId,
    own: session(zone.ownerUrl),
    peers: [{ zoneId: owner.zoneId, session: session(owner.url) }],
    everyMs,
    logger,
  });
  runners.push(runner);
  return runner;
}

/** The runner of b. */
const auditor = (everyMs?: number): AuditRunner => runnerOf(b, { zoneId: a.zoneId, url: a.replicationUrl }, everyMs);

async function ask(request: object, id = AUDIT_ID): Promise<void> {
  await b.query('SELECT control.request_audit(1, $1, $2, $3, $4)', ['test', id, request, 'ops']);
}

interface AuditDocument {
  readonly state: string;
  readonly isCancelled: boolean;
  readonly result?: { readonly pairs: readonly AuditPair[] };
}

async function documentOf(id = AUDIT_ID): Promise<AuditDocument | undefined> {
  const [row] = await b.query<{ document: AuditDocument }>('SELECT control.audit_of($1) AS document', [id]);
  return row?.document;
}

const never = (): AbortSignal => new AbortController().signal;

/** Asks, and carries it out. */
async function audit(request: object): Promise<AuditPair> {
  await ask(request);
  await auditor().round(never());
  const [pair] = (await documentOf())?.result?.pairs ?? [];
  if (pair === undefined) throw new Error('nothing was compared');
  return pair;
}

const rowsOf = (zone: ReplicatedZone): Promise<object[]> =>
  zone.query('SELECT o.*, o.xmin::text AS written_by FROM orders o ORDER BY o.id');

describe('an audit', () => {
  it('says that copies are equal, and when that was', async () => {
    await write(a, 'orders', ...Array.from({ length: 20 }, () => orderRow({ shard: SHARD, epoch: EPOCH })));
    await untilArrived(a, b);

    expect(await audit({ heal: false })).toEqual({
      owner: a.zoneId,
      copy: b.zoneId,
      rowsCompared: 20,
      rowsRead: 0,
      differing: [],
      undecided: 0,
      isComplete: true,
      taken: 0,
      receipts: 0,
    });
    const [work] = await b.query<{ work: object }>('SELECT control.zone_work() AS work');
    expect(work?.work).toEqual({
      lastAudit: {
        auditId: AUDIT_ID,
        endedAt: expect.stringMatching(/^\d{4}-.*Z$/) as unknown,
        ageMs: expect.any(Number) as unknown,
        rowsCompared: 20,
        differing: 0,
        undecided: 0,
      },
      healing: [],
    });
  });

  it('finds exactly what differs in any table, and writes no row', async () => {
    const [same, changed, gone] = [1, 2, 3].map(() => orderRow({ shard: SHARD, epoch: EPOCH }));
    await write(a, 'orders', same ?? {}, changed ?? {}, gone ?? {});
    await untilArrived(a, b);
    await b.uproot('orders', `t.id IN ('${changed?.id ?? ''}', '${gone?.id ?? ''}')`);
    await b.plant('orders', { ...changed, note: 'another' });
    const event = eventRow({ shard: SHARD, epoch: 1 });
    await b.plant('order_events', event);
    const key = keyRow({ shard: SHARD, epoch: EPOCH });
    await a.plant('idempotency_keys', key);
    // What this zone owns is for the others to audit.
    await b.plant('orders', orderRow({ shard: OWN_SHARD, epoch: EPOCH }));
    const before = await rowsOf(b);

    const { differing, ...rest } = await audit({ heal: false });
    expect(rest).toMatchObject({ undecided: 0, isComplete: true, taken: 0, receipts: 0 });
    const named = (table: string, id: string | undefined, stamps: object): object => ({
      table,
      key: table === 'idempotency_keys' ? (expect.arrayContaining([key.key]) as unknown) : [id],
      shard: SHARD,
      ...stamps,
    });
    expect(differing).toHaveLength(4);
    expect(differing).toEqual(
      expect.arrayContaining([
        named('orders', changed?.id, { owner: STAMP, copy: STAMP }),
        named('orders', gone?.id, { owner: STAMP }),
        named('order_events', event.id, { copy: { epoch: 1, version: 1 } }),
        named('idempotency_keys', key.key, { owner: STAMP }),
      ]),
    );
    expect(await rowsOf(b)).toEqual(before);
    expect(await b.query('SELECT 1 FROM control.receipt')).toEqual([]);
  });

  it('calls nothing different while the owner goes on writing', async () => {
    const orders = Array.from({ length: 200 }, () => orderRow({ shard: SHARD, epoch: EPOCH }));
    await write(a, 'orders', ...orders);
    const isDone = { value: false };
    const writing = (async () => {
      for (let n = 0; !isDone.value; n += 1) {
        await a.query('UPDATE orders SET version = version + 1 WHERE id = $1', [orders[n % orders.length]?.id]);
        await write(a, 'orders', orderRow({ shard: SHARD, epoch: EPOCH }));
      }
    })();
    const pair = await audit({ heal: false });
    isDone.value = true;
    await writing;

    expect(pair).toMatchObject({ differing: [], undecided: 0, isComplete: true });
    expect(pair.rowsCompared).toBeGreaterThanOrEqual(200);
  });

  it('cannot tell what differs from what is late while a stream stands still, and says so', async () => {
    await b.stopStreamFrom(a);
    await write(a, 'orders', orderRow({ shard: SHARD, epoch: EPOCH }));

    expect(await audit({ heal: false })).toMatchObject({
      differing: [],
      undecided: 1,
      problem: `what zone ${a.zoneId} wrote does not arrive here: is its stream held up?`,
    });
  });

  it('heals copies only: the owner keeps every row, and what it lacks of its own is a person’s to decide', async () => {
    const [changed, gone] = [1, 2].map(() => orderRow({ shard: SHARD, epoch: EPOCH }));
    await write(a, 'orders', changed ?? {}, gone ?? {});
    await untilArrived(a, b);
    await b.uproot('orders', `t.shard = ${String(SHARD)}`);
    await b.plant('orders', { ...changed, note: 'another' });
    const tail = orderRow({ shard: SHARD, epoch: 1 });
    await b.plant('orders', tail);
    const own = orderRow({ shard: OWN_SHARD, epoch: EPOCH });
    await b.plant('orders', own);
    const atOwner = await rowsOf(a);

    expect(await audit({ heal: true })).toMatchObject({ differing: [], undecided: 0, taken: 2, receipts: 2 });
    expect(await rowsOf(a)).toEqual(atOwner);
    expect(await b.query('SELECT id, note FROM orders WHERE shard = $1 ORDER BY id', [SHARD])).toEqual(
      await a.query('SELECT id, note FROM orders WHERE shard = $1 ORDER BY id', [SHARD]),
    );
    expect(await b.query('SELECT 1 FROM orders WHERE id = $1', [own.id])).toHaveLength(1);
    expect(await b.query("SELECT 1 FROM control.receipt r WHERE r.row_key->>'id' = $1", [tail.id])).toHaveLength(1);

    const lost = orderRow({ shard: SHARD, epoch: EPOCH });
    await b.plant('orders', lost);
    await ask({ heal: true }, idIn(0));
    const runner = auditor();
    await runner.round(never());
    const [last] = await b.query<{ result: { pairs: AuditPair[] } }>(
      'SELECT a.result FROM control.audit a ORDER BY a.requested_at DESC LIMIT 1',
    );
    expect(last?.result.pairs).toMatchObject([
      {
        differing: [{ key: [lost.id] }],
        taken: 0,
        receipts: 0,
        problem: expect.stringContaining('the owner lacks 1 rows') as unknown,
      },
    ]);
    expect(await b.query('SELECT 1 FROM orders WHERE id = $1', [lost.id])).toHaveLength(1);
  });

  it('looks only at rows that may have changed since, at the tables and at the zones it was asked for', async () => {
    const nowMs = Date.now();
    const old = orderRow({ shard: SHARD, epoch: EPOCH }, { id: idIn(SHARD, nowMs - 48 * HOUR_MS) });
    const recent = orderRow({ shard: SHARD, epoch: EPOCH });
    await b.plant('orders', { ...old, placed_at: new Date(nowMs - 48 * HOUR_MS).toISOString() });
    await b.plant('orders', recent);
    await b.plant('order_events', eventRow({ shard: SHARD, epoch: EPOCH }));

    const request = { since: new Date(nowMs - 24 * HOUR_MS).toISOString(), tables: ['orders'] };
    expect((await audit(request)).differing.map(({ key }) => key)).toEqual([[recent.id]]);

    await ask({ zones: [b.zoneId, 'elsewhere'] }, idIn(0));
    await auditor().round(never());
    expect(
      await b.query("SELECT 1 FROM control.audit a WHERE a.state = 'ended' AND a.result = '{\"pairs\": []}'"),
    ).toHaveLength(1);
  });

  it('names the owner that cannot be asked, and the one that is sealed off', async () => {
    await ask({});
    const gone = new URL(a.replicationUrl);
    gone.port = '1';
    await runnerOf(b, { zoneId: a.zoneId, url: gone.href }).round(never());
    expect((await documentOf())?.result?.pairs).toMatchObject([
      {
        owner: a.zoneId,
        rowsCompared: 0,
        isComplete: false,
        problem: expect.stringContaining('ECONNREFUSED') as unknown,
      },
    ]);

    await b.query(
      "INSERT INTO control.seal (zone, move_id, term_number, term_coordinator) VALUES ($1, 'mov_test', 1, 'test')",
      [a.zoneId],
    );
    await ask({}, idIn(0));
    await auditor().round(never());
    const [last] = await b.query<{ result: object }>(
      'SELECT a.result FROM control.audit a ORDER BY a.requested_at DESC LIMIT 1',
    );
    expect(last?.result).toMatchObject({ pairs: [{ problem: expect.stringContaining('sealed off here') as unknown }] });
  });

  it('ends when it is cancelled, and keeps that it did', async () => {
    // It waits for a stream that is held up in the middle.
    await write(a, 'orders', orderRow({ shard: SHARD, epoch: EPOCH }));
    await untilArrived(a, b);
    await b.query('BEGIN');
    await b.query('SELECT pg_advisory_xact_lock(9, $1)', [SHARD]);
    await write(a, 'orders', orderRow({ shard: SHARD, epoch: EPOCH }));
    await b.asOwner.session.query('SELECT control.request_audit(1, $1, $2, $3, $4)', ['test', AUDIT_ID, {}, 'ops']);
    const round = auditor().round(never());
    const stateOf = async (): Promise<string | undefined> =>
      (
        await b.asOwner.session.query<{ state: string; table: string }>(
          "SELECT a.state, a.progress->>'table' AS table FROM control.audit a WHERE a.id = $1",
          [AUDIT_ID],
        )
      )[0]?.state;
    await untilTrue(async () => (await stateOf()) === 'running');
    await b.asOwner.session.query('SELECT control.cancel_audit(1, $1, $2)', ['test', AUDIT_ID]);
    await round;
    await b.query('COMMIT');

    expect(await documentOf()).toMatchObject({ state: 'ended', isCancelled: true, result: { pairs: [] } });
  });

  it('is begun again when its process stopped in the middle', async () => {
    await b.stopStreamFrom(a);
    await write(a, 'orders', orderRow({ shard: SHARD, epoch: EPOCH }));
    await ask({});
    const stopping = new AbortController();
    const round = auditor().round(stopping.signal);
    await untilTrue(async () => (await documentOf())?.state === 'running');
    stopping.abort(new Error('the process stops'));
    await expect(round).rejects.toThrow('the process stops');
    expect(await documentOf()).toMatchObject({ state: 'running' });

    await b.startStreamFrom(a);
    await auditor().round(never());
    expect(await documentOf()).toMatchObject({
      state: 'ended',
      isCancelled: false,
      result: { pairs: [{ differing: [] }] },
    });
  });

  it('comes by itself now and then, after those that somebody asked for', async () => {
    const runner = auditor(1);
    await untilTrue(async () => {
      await runner.round(never());
      return (await b.query("SELECT 1 FROM control.audit a WHERE a.requested_by = 'schedule'")).length > 0;
    });
    await b.query("UPDATE control.audit SET state = 'waiting', ended_at = NULL");
    await ask({});
    await runnerOf(b, { zoneId: a.zoneId, url: a.replicationUrl }).round(never());
    expect(await b.query("SELECT a.requested_by FROM control.audit a WHERE a.state = 'ended'")).toEqual([
      { requested_by: 'ops' },
    ]);
    await runnerOf(b, { zoneId: a.zoneId, url: a.replicationUrl }).round(never());
    expect(await b.query("SELECT 1 FROM control.audit a WHERE a.state <> 'ended'")).toHaveLength(0);
  });
});
