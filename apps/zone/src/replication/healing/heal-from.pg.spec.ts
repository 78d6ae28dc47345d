import { compareStamps, judgeHealing, type RowStamp } from '@borough/topology';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { compareShards } from './compare-shards.js';
import { healFrom, healUntilEqual } from './heal-from.js';
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
/** a owns both shards, at this epoch. */
const EPOCH = 3;
const SHARDS = [
  { shard: SHARD, epoch: EPOCH },
  { shard: OTHER, epoch: EPOCH },
];

let cluster: ReplicatedZones;
let a: ReplicatedZone;
let b: ReplicatedZone;

beforeEach(async () => {
  cluster = new ReplicatedZones();
  const [first, second] = await cluster.start(2);
  if (first === undefined || second === undefined) throw new Error('two zones were asked for');
  [a, b] = [first, second];
  for (const { shard } of SHARDS) await cluster.serve(shard, a, EPOCH);
});

afterEach(() => cluster.stop());

const statuses = (zone: ReplicatedZone): Promise<object[]> =>
  zone.query('SELECT id, status, epoch, version FROM orders ORDER BY id');

describe('healing', () => {
  it('T6: brings back a row whose update was dropped, though its position was flushed past', async () => {
    const order = orderRow({ shard: SHARD, epoch: EPOCH });
    await write(a, 'orders', order);
    await untilArrived(a, b);
    await b.uproot('orders', 'true');
    await a.query("UPDATE orders SET status = 'accepted'");
    await untilArrived(a, b);
    expect(await b.query('SELECT 1 FROM orders')).toEqual([]);
    expect(await compareShards(a.asReader, b.asOwner, [SHARD])).toMatchObject({
      isEqual: false,
      differing: [{ table: 'orders', key: [order.id], left: { epoch: EPOCH, version: 2 }, right: undefined }],
    });

    expect(await healUntilEqual(a.asReader, b.asOwner, SHARDS)).toMatchObject({ taken: 1, receipts: 0, isEqual: true });
    expect(await statuses(b)).toEqual([{ id: order.id, status: 'accepted', epoch: EPOCH, version: 2 }]);
    // And the stream goes on from there.
    await a.query("UPDATE orders SET status = 'assigned'");
    await untilArrived(a, b);
    expect(await statuses(b)).toMatchObject([{ status: 'assigned', version: 3 }]);
    expect(await b.query('SELECT control.is_healed($1, $2)', [SHARD, EPOCH])).toEqual([{ is_healed: true }]);
    expect(await b.query('SELECT control.is_healed($1, $2)', [SHARD, EPOCH + 1])).toEqual([{ is_healed: false }]);
  });

  it('replaces a deposed owner’s row of a higher version and an older epoch, and keeps it as a receipt', async () => {
    await b.stopStreamFrom(a);
    const order = orderRow({ shard: SHARD, epoch: EPOCH, version: 4 }, { status: 'accepted' });
    await write(a, 'orders', order);
    await b.plant('orders', { ...order, epoch: 1, version: 9, status: 'cancelled' });

    expect(await healUntilEqual(a.asReader, b.asOwner, SHARDS)).toMatchObject({ taken: 1, receipts: 1, isEqual: true });
    expect(await statuses(b)).toEqual([{ id: order.id, status: 'accepted', epoch: EPOCH, version: 4 }]);
    expect(
      await b.query(
        'SELECT zone, found_by, table_name, row_key, shard, epoch, version, document, replaced_by FROM control.receipt',
      ),
    ).toMatchObject([
      {
        zone: b.zoneId,
        found_by: 'healing',
        table_name: 'orders',
        row_key: { id: order.id },
        shard: SHARD,
        epoch: 1,
        version: 9,
        document: { status: 'cancelled' },
        replaced_by: { status: 'accepted' },
      },
    ]);
    await b.startStreamFrom(a);
    await untilArrived(a, b);
    expect(await b.faultsFrom(a)).toBe(0);
  });

  it('moves what only the deposed owner has out of the way of what the owner has, and keeps it', async () => {
    await b.stopStreamFrom(a);
    const [event, key] = [eventRow({ shard: SHARD, epoch: EPOCH }), keyRow({ shard: SHARD, epoch: EPOCH })];
    await write(a, 'order_events', event);
    await write(a, 'idempotency_keys', key);
    const tail = orderRow({ shard: SHARD, epoch: 2 });
    await b.plant('orders', tail);
    await b.plant('order_events', eventRow({ shard: SHARD, epoch: 2 }, { order_id: event.order_id }));
    await b.plant('idempotency_keys', { ...key, epoch: 2, answer: 'told to nobody' });

    const healed = await healUntilEqual(a.asReader, b.asOwner, SHARDS);
    expect(healed).toMatchObject({ taken: 2, receipts: 3, isEqual: true });
    expect(
      await b.query('SELECT table_name, replaced_by IS NOT NULL AS is_replaced FROM control.receipt ORDER BY 1, 2'),
    ).toEqual([
      { table_name: 'idempotency_keys', is_replaced: true },
      { table_name: 'order_events', is_replaced: false },
      { table_name: 'orders', is_replaced: false },
    ]);
    expect(await healUntilEqual(a.asReader, b.asOwner, SHARDS)).toMatchObject({ taken: 0, receipts: 0, isEqual: true });
  });

  it('judges every pair of ages as judgeHealing does', async () => {
    await b.stopStreamFrom(a);
    const ages: (RowStamp | undefined)[] = [undefined];
    for (let epoch = 1; epoch <= EPOCH; epoch += 1) {
      for (let version = 1; version <= 3; version += 1) ages.push({ epoch, version });
    }
    const pairs = ages.flatMap((owners) => ages.map((local) => ({ id: idIn(SHARD), owners, local })));
    for (const { id, owners, local } of pairs) {
      // One shape of row, so that rows of one age are one write.
      const rowOf = ({ epoch, version }: RowStamp): object =>
        orderRow(
          { shard: SHARD, epoch, version },
          { id, store_id: id, customer_id: id, placed_at: '2026-01-01T00:00:00Z', note: `${epoch}.${version}` },
        );
      if (owners !== undefined) await a.plant('orders', rowOf(owners));
      if (local !== undefined) await b.plant('orders', rowOf(local));
    }
    await healFrom(a.asReader, b.asOwner, SHARDS);

    const stampsAtB = new Map(
      (await b.query<{ id: string } & RowStamp>('SELECT id, epoch, version FROM orders')).map((row) => [row.id, row]),
    );
    const receipts = new Set(
      (await b.query<{ id: string }>("SELECT row_key->>'id' AS id FROM control.receipt")).map(({ id }) => id),
    );
    for (const { id, owners, local } of pairs) {
      const verdict = judgeHealing({ owners, local, ownerEpoch: EPOCH });
      const expected = verdict === 'keep' ? local : verdict === 'receipt' ? undefined : owners;
      const now = stampsAtB.get(id);
      const name = JSON.stringify({ owners, local, verdict });
      expect(
        now === undefined || expected === undefined ? now === expected : compareStamps(now, expected) === 0,
        name,
      ).toBe(true);
      expect(receipts.has(id), name).toBe(verdict.startsWith('receipt'));
    }
  });

  it('repairs a row of the same age with another content', async () => {
    const order = orderRow({ shard: SHARD, epoch: EPOCH });
    await write(a, 'orders', order);
    await untilArrived(a, b);
    await b.uproot('orders', 'true');
    await b.plant('orders', { ...order, note: 'damaged' });

    expect(await healUntilEqual(a.asReader, b.asOwner, SHARDS)).toMatchObject({ taken: 1, receipts: 1, isEqual: true });
    expect(await b.query('SELECT note FROM orders')).toEqual([{ note: null }]);
  });

  it('says what differs for good: a row the owner lost of its own epoch, which no healing touches', async () => {
    const order = orderRow({ shard: SHARD, epoch: EPOCH });
    await b.plant('orders', order);

    expect(await healUntilEqual(a.asReader, b.asOwner, SHARDS)).toMatchObject({
      taken: 0,
      receipts: 0,
      isEqual: false,
      differing: [{ table: 'orders', key: [order.id], left: undefined }],
    });
    expect(await b.query('SELECT control.is_healed($1, $2)', [SHARD, EPOCH])).toEqual([{ is_healed: false }]);
  });

  it('leaves rows of shards it was not asked for', async () => {
    await b.plant('orders', orderRow({ shard: OTHER, epoch: 1 }));
    expect(await healUntilEqual(a.asReader, b.asOwner, [{ shard: SHARD, epoch: EPOCH }])).toMatchObject({
      receipts: 0,
      isEqual: true,
    });
    expect(await b.query('SELECT 1 FROM orders')).toHaveLength(1);
  });

  it('copies everything to a fresh disk, with closed tables, in batches, while the owner goes on writing', async () => {
    await b.query(`CREATE TRIGGER borough_closed BEFORE INSERT OR UPDATE ON orders
                   FOR EACH STATEMENT EXECUTE FUNCTION control.refuse_closed()`);
    await b.stopStreamFrom(a);
    const before = Array.from({ length: 700 }, () => orderRow({ shard: SHARD, epoch: EPOCH }));
    await write(a, 'orders', ...before);
    // As after the loss of a disk: what was written before is sent to nobody.
    await b.query(
      `SELECT pg_replication_origin_advance('pg_' || s.oid, $1) FROM pg_subscription s
                    WHERE s.subname LIKE 'borough_' || $2 || '%'`,
      [(await a.query<{ at: string }>('SELECT pg_current_wal_lsn()::text AS at'))[0]?.at, b.zoneId],
    );
    await b.startStreamFrom(a);
    const isDone = { value: false };
    const writing = (async () => {
      for (let n = 0; !isDone.value; n += 1) {
        await write(a, 'orders', orderRow({ shard: OTHER, epoch: EPOCH }));
        await a.query("UPDATE orders SET status = 'accepted' WHERE id = $1", [before[n % before.length]?.id]);
      }
    })();
    const progress: number[] = [];
    const healed = await healUntilEqual(a.asReader, b.asOwner, SHARDS, {
      batchRows: 100,
      onProgress: ({ taken }) => progress.push(taken),
    });
    isDone.value = true;
    await writing;

    expect(healed.isEqual).toBe(true);
    expect(healed.taken).toBeGreaterThanOrEqual(700);
    expect(new Set(progress).size).toBeGreaterThan(5);
    expect(await compareShards(a.asReader, b.asOwner, [SHARD, OTHER])).toMatchObject({ isEqual: true, differing: [] });
    expect(await b.query('SELECT 1 FROM control.receipt')).toEqual([]);
  });

  it('ends when it is told to, between two batches', async () => {
    await b.stopStreamFrom(a);
    await write(a, 'orders', ...Array.from({ length: 50 }, () => orderRow({ shard: SHARD, epoch: EPOCH })));
    const controller = new AbortController();
    const healing = healFrom(a.asReader, b.asOwner, SHARDS, {
      batchRows: 10,
      onProgress: ({ taken }) => {
        if (taken > 0) controller.abort(new Error('enough'));
      },
      signal: controller.signal,
    });

    await expect(healing).rejects.toThrow('enough');
    expect(await b.query('SELECT 1 FROM orders')).toHaveLength(10);
  });
});

describe('healing beside the stream', () => {
  const HEAL = 'SELECT h.taken FROM control.heal_rows($1, $2, $3, $4, $5::jsonb, $6::jsonb) h';
  const healOrder = (order: object): [string, unknown[]] => [
    HEAL,
    [a.zoneId, 'orders', [SHARD], [EPOCH], JSON.stringify([order]), '[]'],
  ];

  it('an insert that comes while healing writes the same row waits, and is skipped', async () => {
    const order = orderRow({ shard: SHARD, epoch: EPOCH });
    await b.query('BEGIN');
    await b.query(...healOrder(order));
    await write(a, 'orders', order);
    await untilTrue(
      async () =>
        (
          await b.asOwner.session.query(
            "SELECT 1 FROM pg_locks l WHERE l.locktype = 'advisory' AND l.classid = 9 AND NOT l.granted",
          )
        ).length === 1,
    );
    await b.query('COMMIT');
    await untilArrived(a, b);

    expect(await statuses(b)).toHaveLength(1);
    expect(await b.faultsFrom(a)).toBe(0);
  });

  it('a healing that comes while the stream writes the same row waits, and keeps it', async () => {
    const order = orderRow({ shard: SHARD, epoch: EPOCH });
    // The worker is stopped in the middle: it has the order, and waits for the event's row.
    await b.query('BEGIN');
    await b.query('SELECT pg_advisory_xact_lock(9, $1)', [OTHER]);
    await a.query('BEGIN');
    await write(a, 'orders', order);
    await write(a, 'orders', orderRow({ shard: OTHER, epoch: EPOCH }));
    await a.query('COMMIT');
    const waiting = async (count: number): Promise<void> =>
      untilTrue(async () => {
        const locks = "SELECT 1 FROM pg_locks l WHERE l.locktype = 'advisory' AND l.classid = 9 AND NOT l.granted";
        return (await b.asReader.session.query(locks)).length === count;
      });
    await waiting(1);
    const healing = b.asOwner.session.query<{ taken: string }>(...healOrder({ ...order, status: 'accepted' }), 10_000);
    await waiting(2);
    await b.query('COMMIT');

    expect(await healing).toMatchObject([{ taken: expect.anything() as unknown }]);
    await untilArrived(a, b);
    expect(await statuses(b)).toHaveLength(2);
    expect(await b.faultsFrom(a)).toBe(0);
  });
});

describe('healing is refused', () => {
  it('from a zone that is sealed off here (T30), and the session is not left past the fence', async () => {
    await b.query(
      "INSERT INTO control.seal (zone, move_id, term_number, term_coordinator) VALUES ($1, 'mov_1', 1, 'test')",
      [a.zoneId],
    );
    await b.stopStreamFrom(a);
    await write(a, 'orders', orderRow({ shard: SHARD, epoch: EPOCH }));
    await expect(healFrom(a.asReader, b.asOwner, SHARDS)).rejects.toMatchObject({ code: 'BR409' });
    await expectFenced();
  });

  it('where this zone owns the shard itself, or knows a later epoch', async () => {
    await b.stopStreamFrom(a);
    await write(a, 'orders', orderRow({ shard: SHARD, epoch: EPOCH }));
    await b.own(SHARD, { owner: b.zoneId, epoch: EPOCH });
    await expect(healFrom(a.asReader, b.asOwner, SHARDS)).rejects.toMatchObject({ code: 'BR409' });
    await b.own(SHARD, { owner: a.zoneId, epoch: EPOCH + 1 });
    await expect(healFrom(a.asReader, b.asOwner, SHARDS)).rejects.toMatchObject({ code: 'BR409' });
    expect(await b.query('SELECT 1 FROM orders')).toEqual([]);
  });

  it('when it fails in the middle, with the session back behind the fence', async () => {
    const bad = { ...orderRow({ shard: SHARD, epoch: EPOCH }), status: null };
    await expect(
      b.asOwner.session.query('SELECT * FROM control.heal_rows($1, $2, $3, $4, $5::jsonb, $6::jsonb)', [
        a.zoneId,
        'orders',
        [SHARD],
        [EPOCH],
        JSON.stringify([bad]),
        '[]',
      ]),
    ).rejects.toMatchObject({ code: '23502' });
    await expectFenced();
  });

  it('to everybody but the owner role', async () => {
    await expect(
      b.asReader.session.query('SELECT * FROM control.heal_rows($1, $2, $3, $4, $5::jsonb, $6::jsonb)', [
        a.zoneId,
        'orders',
        [SHARD],
        [EPOCH],
        '[]',
        '[]',
      ]),
    ).rejects.toMatchObject({ code: '42501' });
  });

  async function expectFenced(): Promise<void> {
    const insert = `INSERT INTO public.orders SELECT * FROM jsonb_populate_recordset(NULL::public.orders, $1::jsonb)`;
    await expect(
      b.asOwner.session.query(insert, [JSON.stringify([orderRow({ shard: SHARD, epoch: EPOCH })])]),
    ).rejects.toMatchObject({ code: 'BR421' });
  }
});
