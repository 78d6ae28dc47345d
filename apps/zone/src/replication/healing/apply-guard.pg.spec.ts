import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  eventRow,
  hasPassed,
  keyRow,
  orderRow,
  type ReplicatedZone,
  ReplicatedZones,
  untilArrived,
  untilTrue,
  write,
} from '../../../../../test/support/replicated-zones.js';

const SHARD = 7;

let cluster: ReplicatedZones;
let a: ReplicatedZone;
let b: ReplicatedZone;

beforeEach(async () => {
  cluster = new ReplicatedZones();
  const [first, second] = await cluster.start(2);
  if (first === undefined || second === undefined) throw new Error('two zones were asked for');
  [a, b] = [first, second];
  await cluster.serve(SHARD, a, 2);
});

afterEach(() => cluster.stop());

describe('the apply guard', () => {
  it('lets changes of every kind through, with the empty search_path of apply workers', async () => {
    const order = orderRow({ shard: SHARD, epoch: 2 });
    await write(a, 'orders', order);
    await write(a, 'order_events', eventRow({ shard: SHARD, epoch: 2 }, { order_id: order.id }));
    await write(a, 'idempotency_keys', keyRow({ shard: SHARD, epoch: 2 }));
    await a.query("UPDATE orders SET status = 'accepted'");
    await untilArrived(a, b);

    expect(await b.query('SELECT status, version FROM orders')).toEqual([{ status: 'accepted', version: 2 }]);
    expect(await b.query('SELECT 1 FROM order_events')).toHaveLength(1);
    expect(await b.query('SELECT 1 FROM idempotency_keys')).toHaveLength(1);
    expect(await b.faultsFrom(a)).toBe(0);
    expect(await b.query('SELECT 1 FROM control.receipt')).toEqual([]);
  });

  it('skips an insert that came by healing before, and one that comes again', async () => {
    await b.stopStreamFrom(a);
    const order = orderRow({ shard: SHARD, epoch: 2 });
    await write(a, 'orders', order);
    await a.query("UPDATE orders SET status = 'accepted'");
    await b.plant('orders', { ...order, version: 2, status: 'accepted' });
    await b.startStreamFrom(a);
    await untilArrived(a, b);

    expect(await b.query('SELECT status, version FROM orders')).toEqual([{ status: 'accepted', version: 2 }]);
    expect(await b.faultsFrom(a)).toBe(0);
  });

  it('takes the later row of the same key and epoch over an earlier one', async () => {
    await b.stopStreamFrom(a);
    const order = orderRow({ shard: SHARD, epoch: 2, version: 3 }, { status: 'assigned' });
    await write(a, 'orders', order);
    await b.plant('orders', { ...order, version: 1, status: 'placed' });
    await b.startStreamFrom(a);
    await untilArrived(a, b);

    expect(await b.query('SELECT status, version FROM orders')).toEqual([{ status: 'assigned', version: 3 }]);
    expect(await b.faultsFrom(a)).toBe(0);
    expect(await b.query('SELECT 1 FROM control.receipt')).toEqual([]);
  });

  it('T13: keeps the tail of this zone as a receipt where the new owner has stored the same idempotency key', async () => {
    const tail = keyRow({ shard: SHARD, epoch: 1 }, { answer: 'told to nobody' });
    await b.plant('idempotency_keys', tail);
    await write(a, 'idempotency_keys', { ...tail, epoch: 2, answer: 'the order was placed' });
    await untilArrived(a, b);

    expect(await b.query('SELECT epoch, answer FROM idempotency_keys')).toEqual([
      { epoch: 2, answer: 'the order was placed' },
    ]);
    expect(
      await b.query('SELECT zone, found_by, table_name, row_key, epoch, document, replaced_by FROM control.receipt'),
    ).toMatchObject([
      {
        zone: b.zoneId,
        found_by: 'guard',
        table_name: 'idempotency_keys',
        row_key: { shard: SHARD, route: 'place-order', caller: 'somebody', key: tail.key },
        epoch: 1,
        document: { answer: 'told to nobody' },
        replaced_by: { answer: 'the order was placed' },
      },
    ]);
    expect(await b.faultsFrom(a)).toBe(0);
  });

  it('keeps a tail of this zone whose version the new owner gives to another change', async () => {
    const order = orderRow({ shard: SHARD, epoch: 2 });
    await write(a, 'orders', order);
    await untilArrived(a, b);
    await b.uproot('orders', 'true');
    await b.plant('orders', { ...order, epoch: 1, version: 4, status: 'cancelled' });
    await a.query("UPDATE orders SET status = 'accepted'");
    await untilArrived(a, b);

    expect(await b.query('SELECT status, epoch, version FROM orders')).toEqual([
      { status: 'accepted', epoch: 2, version: 2 },
    ]);
    expect(await b.query('SELECT epoch, version, document FROM control.receipt')).toMatchObject([
      { epoch: 1, version: 4, document: { status: 'cancelled' } },
    ]);
  });

  it('keeps a tail that collides on another unique key, on insert', async () => {
    const tail = eventRow({ shard: SHARD, epoch: 1 });
    await b.plant('order_events', tail);
    const incoming = eventRow({ shard: SHARD, epoch: 2 }, { order_id: tail.order_id });
    await write(a, 'order_events', incoming);
    await untilArrived(a, b);

    expect(await b.query('SELECT id FROM order_events')).toEqual([{ id: incoming.id }]);
    expect(await b.query('SELECT row_key FROM control.receipt')).toEqual([{ row_key: { id: tail.id } }]);
    expect(await b.faultsFrom(a)).toBe(0);
  });

  it('keeps a tail that collides on another unique key, on update', async () => {
    const event = eventRow({ shard: SHARD, epoch: 2 });
    await write(a, 'order_events', event);
    await untilArrived(a, b);
    const tail = eventRow({ shard: SHARD, epoch: 1 }, { order_id: event.order_id, order_version: 2 });
    await b.plant('order_events', tail);
    await a.query('UPDATE order_events SET order_version = 2');
    await untilArrived(a, b);

    expect(await b.query('SELECT id, order_version FROM order_events')).toEqual([{ id: event.id, order_version: 2 }]);
    expect(await b.query('SELECT row_key FROM control.receipt')).toEqual([{ row_key: { id: tail.id } }]);
    expect(await b.faultsFrom(a)).toBe(0);
  });

  it('keeps two tails that collide with one row, on its key and on another', async () => {
    const incoming = eventRow({ shard: SHARD, epoch: 2 });
    await b.plant('order_events', { ...incoming, epoch: 1, order_version: 5 });
    await b.plant('order_events', eventRow({ shard: SHARD, epoch: 1 }, { order_id: incoming.order_id }));
    await write(a, 'order_events', incoming);
    await untilArrived(a, b);

    expect(await b.query('SELECT id, order_version FROM order_events')).toEqual([
      { id: incoming.id, order_version: 1 },
    ]);
    expect(await b.query('SELECT 1 FROM control.receipt')).toHaveLength(2);
    expect(await b.faultsFrom(a)).toBe(0);
  });

  it('T1: never acknowledges the tail of a deposed owner', async () => {
    const order = orderRow({ shard: SHARD, epoch: 2 });
    await write(a, 'orders', order);
    await untilArrived(a, b);
    // b took the shard over and changed the order, a does not know it yet.
    await b.uproot('orders', 'true');
    await b.plant('orders', { ...order, epoch: 3, version: 2, status: 'cancelled' });
    await a.query("UPDATE orders SET status = 'accepted'");
    const [tail] = await a.query<{ position: string }>('SELECT pg_current_wal_flush_lsn()::text AS position');
    await untilTrue(async () => (await b.faultsFrom(a)) >= 3);

    expect(await hasPassed(a, b, tail?.position ?? '')).toBe(false);
    expect(await b.query('SELECT status, epoch FROM orders')).toEqual([{ status: 'cancelled', epoch: 3 }]);
  });

  it('T1: an older row that the later owner had is skipped, and acknowledged', async () => {
    await b.stopStreamFrom(a);
    const order = orderRow({ shard: SHARD, epoch: 2 });
    await write(a, 'orders', order);
    await b.plant('orders', { ...order, epoch: 3, version: 2, status: 'cancelled' });
    await b.startStreamFrom(a);
    await untilArrived(a, b);

    expect(await b.query('SELECT status, epoch FROM orders')).toEqual([{ status: 'cancelled', epoch: 3 }]);
    expect(await b.faultsFrom(a)).toBe(0);
  });

  it('T2: a worker that outlived the seal takes nothing in, and acknowledges nothing', async () => {
    await b.query(
      "INSERT INTO control.seal (zone, move_id, term_number, term_coordinator) VALUES ($1, 'mov_1', 1, 'test')",
      [a.zoneId],
    );
    await write(a, 'orders', orderRow({ shard: SHARD, epoch: 2 }));
    const [tail] = await a.query<{ position: string }>('SELECT pg_current_wal_flush_lsn()::text AS position');
    await untilTrue(async () => (await b.faultsFrom(a)) >= 2);

    expect(await hasPassed(a, b, tail?.position ?? '')).toBe(false);
    expect(await b.query('SELECT 1 FROM orders')).toEqual([]);
  });

  it('of every table knows every unique key it has', async () => {
    const sources = (): Promise<object[]> =>
      a.query("SELECT p.proname, p.prosrc FROM pg_proc p WHERE p.proname LIKE 'guard\\_%' ORDER BY 1");
    const made = await sources();
    await a.query('SELECT control.guard_table(s.table_id) FROM control.sharded_table s');

    expect(await sources()).toEqual(made);
    expect(await a.query('SELECT 1 FROM control.unguarded')).toEqual([]);
  });

  it('that is missing is found at start-up', async () => {
    await a.query('ALTER TABLE orders DISABLE TRIGGER borough_guard');
    expect(await a.query('SELECT table_name, trigger_name FROM control.unguarded')).toEqual([
      { table_name: 'orders', trigger_name: 'borough_guard' },
    ]);
  });
});
