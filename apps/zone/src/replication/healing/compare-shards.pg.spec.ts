import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { compareShards } from './compare-shards.js';
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

const SHARD = 7;
const OTHER = 8;

let cluster: ReplicatedZones;
let a: ReplicatedZone;
let b: ReplicatedZone;

beforeEach(async () => {
  cluster = new ReplicatedZones();
  const [first, second] = await cluster.start(2);
  if (first === undefined || second === undefined) throw new Error('two zones were asked for');
  [a, b] = [first, second];
  await cluster.serve(SHARD, a, 1);
  await cluster.serve(OTHER, a, 1);
});

afterEach(() => cluster.stop());

/** Many rows in both zones, without the stream. */
async function fill(rows: number): Promise<void> {
  for (const zone of [a, b]) {
    await zone.query('SELECT control.begin_healing()');
    await zone.query(
      `INSERT INTO orders (id, shard, epoch, store_id, customer_id, status, items, drop_off_latitude, drop_off_longitude,
                           note, placed_at)
       SELECT (lpad(to_hex(1700000000000 + n), 12, '0') || '7007' || '8000' || lpad(to_hex(n), 12, '0'))::uuid, $2, 1, $3, $3,
              'placed', '[{"name": "bread", "quantity": 1}]', 1, 2, 'order ' || n, 'epoch'::timestamptz + n * interval '1 s'
         FROM generate_series(1, $1) n`,
      [rows, SHARD, '00000000-0000-7007-8000-000000000000'],
    );
    await zone.query('SELECT pg_replication_origin_session_reset()');
    await zone.query('ANALYZE orders');
  }
}

/** The order of `fill` with this number. */
const orderId = (n: number): string =>
  `(lpad(to_hex(1700000000000 + ${n}), 12, '0') || '7007' || '8000' || lpad(to_hex(${n}), 12, '0'))::uuid`;

async function damage(zone: ReplicatedZone, n: number): Promise<string> {
  const [row] = await zone.query<{ id: string }>(`SELECT * FROM orders WHERE id = ${orderId(n)}`);
  await zone.uproot('orders', `t.id = ${orderId(n)}`);
  await zone.plant('orders', { ...row, note: 'damaged' });
  return row?.id ?? '';
}

describe('a comparison', () => {
  it('finds exactly the rows that differ among many, and reads few others', async () => {
    const rows = 20_000;
    await fill(rows);
    const damaged = [await damage(b, 1), await damage(b, 9_999), await damage(a, 10_000), await damage(b, rows)];
    await b.uproot('orders', `t.id = ${orderId(12_345)}`);
    await a.uproot('orders', `t.id = ${orderId(4_096)}`);
    const extra = orderRow({ shard: SHARD, epoch: 1 });
    await b.plant('orders', extra);

    const comparison = await compareShards(a.asReader, b.asReader, [SHARD]);
    expect(comparison).toMatchObject({ isEqual: false, isComplete: true, undecided: [] });
    const found = comparison.differing.map(({ key, left, right }) => ({ id: key[0], left, right }));
    const stamp = { epoch: 1, version: 1 };
    expect(
      found
        .filter(({ left, right }) => left && right)
        .map(({ id }) => id)
        .sort(),
    ).toEqual(damaged.sort());
    expect(found.filter(({ left }) => left === undefined)).toMatchObject([
      { right: stamp },
      { id: extra.id, right: stamp },
    ]);
    expect(found.filter(({ right }) => right === undefined)).toMatchObject([{ left: stamp }]);
    expect(comparison.rowsRead).toBeLessThan(rows * 0.05);
    expect(comparison.rowsDigested).toBeGreaterThanOrEqual(rows);
  });

  it('looks into every table, with keys of every kind, and only at the shards it was asked for', async () => {
    const event = eventRow({ shard: SHARD, epoch: 1 });
    const key = keyRow({ shard: SHARD, epoch: 1 }, { key: `it's "quoted", {and} \\ odd` });
    await a.plant('order_events', event);
    await b.plant('idempotency_keys', key);
    await b.plant('orders', orderRow({ shard: OTHER, epoch: 1 }));

    const { differing } = await compareShards(a.asReader, b.asReader, [SHARD]);
    expect(differing).toEqual([
      {
        table: 'idempotency_keys',
        key: [String(SHARD), 'place-order', 'somebody', key.key],
        shard: SHARD,
        left: undefined,
        right: { epoch: 1, version: 1 },
      },
      { table: 'order_events', key: [event.id], shard: SHARD, left: { epoch: 1, version: 1 }, right: undefined },
    ]);
    expect((await compareShards(a.asReader, b.asReader, [SHARD], { tables: ['orders'] })).isEqual).toBe(true);
    expect((await compareShards(a.asReader, b.asReader, [])).isEqual).toBe(true);
  });

  it('waits for the stream, and calls nothing different that is only late', async () => {
    await write(a, 'orders', ...Array.from({ length: 30 }, () => orderRow({ shard: SHARD, epoch: 1 })));
    await untilArrived(a, b);
    // The worker at b is held up in the middle of what a writes next.
    await b.query('BEGIN');
    await b.query('SELECT pg_advisory_xact_lock(9, $1)', [SHARD]);
    await write(a, 'orders', orderRow({ shard: SHARD, epoch: 1 }));
    await a.query("UPDATE orders SET status = 'accepted'");
    await untilTrue(
      async () =>
        (
          await b.asOwner.session.query(
            "SELECT 1 FROM pg_locks l WHERE l.locktype = 'advisory' AND l.classid = 9 AND NOT l.granted",
          )
        ).length === 1,
    );
    let isDone = false;
    const comparing = compareShards(a.asReader, b.asReader, [SHARD]).finally(() => (isDone = true));
    await untilTrue(async () => {
      const looks = await a.query(
        "SELECT 1 FROM pg_stat_activity s WHERE s.datname = current_database() AND s.query LIKE '%confirmed_flush_lsn >= $2%' AND s.pid <> pg_backend_pid()",
      );
      return looks.length > 0;
    });
    expect(isDone).toBe(false);
    await b.query('COMMIT');

    expect(await comparing).toMatchObject({ isEqual: true, differing: [], undecided: [] });
  });

  it('says nothing of rows whose stream is stuck', async () => {
    await b.query('BEGIN');
    await b.query('SELECT pg_advisory_xact_lock(9, $1)', [SHARD]);
    await write(a, 'orders', orderRow({ shard: SHARD, epoch: 1 }));
    const comparison = await compareShards(a.asReader, b.asReader, [SHARD], { lagMaxMs: 300 });
    await b.query('COMMIT');

    expect(comparison).toMatchObject({ isEqual: false, differing: [] });
    expect(comparison.undecided).toHaveLength(1);
  });

  it('waits for no stream that does not run', async () => {
    await b.stopStreamFrom(a);
    await write(a, 'orders', orderRow({ shard: SHARD, epoch: 1 }));
    const comparison = await compareShards(a.asReader, b.asReader, [SHARD]);
    expect(comparison.differing).toHaveLength(1);
    await b.startStreamFrom(a);
  });

  it('goes on while both write, and ends equal', async () => {
    await fill(3_000);
    const comparing = new AbortController();
    let written = 0;
    const writing = (async () => {
      while (!comparing.signal.aborted) {
        await write(a, 'orders', orderRow({ shard: SHARD, epoch: 1 }));
        await a.query(`UPDATE orders SET note = 'again' WHERE id = ${orderId((written % 3_000) + 1)}`);
        written += 1;
      }
    })();
    const comparison = await compareShards(a.asReader, b.asReader, [SHARD]);
    comparing.abort();
    await writing;

    expect(written).toBeGreaterThan(0);
    expect(comparison).toMatchObject({ differing: [], undecided: [], isEqual: true });
  });

  it('stops at as many differences as were asked for, and when it is told to', async () => {
    await a.plant('stores', {
      id: idIn(SHARD),
      shard: SHARD,
      epoch: 1,
      version: 1,
      name: 'x',
      latitude: 1,
      longitude: 2,
      created_at: 'now',
    });
    for (let n = 0; n < 5; n += 1) await a.plant('orders', orderRow({ shard: SHARD, epoch: 1 }));
    const comparison = await compareShards(a.asReader, b.asReader, [SHARD], { maxDifferences: 3 });
    expect(comparison).toMatchObject({ isComplete: false, isEqual: false });
    expect(comparison.differing).toHaveLength(3);

    await expect(
      compareShards(a.asReader, b.asReader, [SHARD], { signal: AbortSignal.abort(new Error('enough')) }),
    ).rejects.toThrow('enough');
  });
});
