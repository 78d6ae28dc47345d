import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { compareShards } from './compare-shards.js';
import { healUntilEqual } from './heal-from.js';
import {
  eventRow,
  idIn,
  keyRow,
  orderRow,
  type ReplicatedZone,
  ReplicatedZones,
  write,
} from '../../../../../test/support/replicated-zones.js';

const SHARD = 7;
/** The lost zone owned the shard at this epoch. */
const EPOCH = 2;
const LONG_AGO = new Date('2026-01-02T03:04:05.678Z');

let cluster: ReplicatedZones;
/** The heir, and another member: neither owns the shard yet. */
let heir: ReplicatedZone;
let member: ReplicatedZone;

beforeEach(async () => {
  cluster = new ReplicatedZones();
  const [first, second] = await cluster.start(2);
  if (first === undefined || second === undefined) throw new Error('two zones were asked for');
  [heir, member] = [first, second];
  for (const zone of cluster.zones) await zone.own(SHARD, { owner: 'lost', epoch: EPOCH });
});

afterEach(() => cluster.stop());

const since = (): Date => new Date(Date.now() - 10_000);

/** As a coordinator does it. */
async function healQuickly(isExact = true): Promise<number> {
  const [digests] = await member.query<{ known: unknown }>('SELECT control.recent_digests($1, $2) AS known', [
    [SHARD],
    since(),
  ]);
  return exchange(since(), isExact ? JSON.stringify(digests?.known) : null);
}

async function exchange(from: Date, known: string | null): Promise<number> {
  const [row] = await heir.query<{ recent: string }>('SELECT control.export_recent($1, $2, $3)::text AS recent', [
    [SHARD],
    from,
    known,
  ]);
  const [done] = await member.query<{ rows: number }>("SELECT control.import_healed(1, 'test', $1) AS rows", [
    row?.recent,
  ]);
  return done?.rows ?? 0;
}

async function plantAtBoth(table: string, row: object): Promise<void> {
  await heir.plant(table, row);
  await member.plant(table, row);
}

const areEqual = async (): Promise<boolean> => (await compareShards(heir.asReader, member.asReader, [SHARD])).isEqual;

describe('the quick healing of a failover', () => {
  it.each([true, false])(
    'brings what the lost zone had sent to the heir only (told what is known: %s)',
    async (isExact) => {
      const old = orderRow({ shard: SHARD, epoch: EPOCH }, { id: idIn(SHARD, LONG_AGO.getTime()) });
      await plantAtBoth('orders', old);
      await plantAtBoth('idempotency_keys', keyRow({ shard: SHARD, epoch: EPOCH }, { created_at: LONG_AGO }));
      const placed = orderRow({ shard: SHARD, epoch: EPOCH });
      await plantAtBoth('orders', placed);
      // Only at the heir: an order, a step of an old one, a key, a hold.
      await heir.plant('orders', orderRow({ shard: SHARD, epoch: EPOCH }));
      await heir.uproot('orders', `t.id = '${old.id}'`);
      await heir.plant('orders', { ...old, version: 2, status: 'accepted' });
      await heir.plant(
        'order_events',
        eventRow({ shard: SHARD, epoch: EPOCH }, { order_id: old.id, order_version: 2 }),
      );
      await heir.plant('idempotency_keys', keyRow({ shard: SHARD, epoch: EPOCH }));
      expect(await areEqual()).toBe(false);

      expect(await healQuickly(isExact)).toBe(4);
      expect(await areEqual()).toBe(true);
      expect(await member.query('SELECT 1 FROM control.receipt')).toEqual([]);
      expect(await healQuickly(isExact)).toBe(0);
    },
  );

  it('keeps what the lost zone had sent to the other member only as receipts', async () => {
    const event = eventRow({ shard: SHARD, epoch: EPOCH });
    await heir.plant('order_events', event);
    await member.plant('order_events', eventRow({ shard: SHARD, epoch: EPOCH }, { order_id: event.order_id }));
    await member.plant('orders', orderRow({ shard: SHARD, epoch: EPOCH }));
    await member.plant('idempotency_keys', keyRow({ shard: SHARD, epoch: EPOCH }));

    expect(await healQuickly()).toBe(4);
    expect(await areEqual()).toBe(true);
    expect(await member.query('SELECT table_name FROM control.receipt ORDER BY 1')).toEqual([
      { table_name: 'idempotency_keys' },
      { table_name: 'order_events' },
      { table_name: 'orders' },
    ]);
  });

  it('is refused under a term that is over', async () => {
    await member.query("SELECT control.promise_term(5, 'another')");
    await heir.plant('orders', orderRow({ shard: SHARD, epoch: EPOCH }));
    await expect(healQuickly()).rejects.toMatchObject({ code: 'BR410' });
    expect(await member.query('SELECT 1 FROM orders')).toEqual([]);
  });

  it('T17: misses what carries the time of long ago, and proves nothing: the comparison finds it, and healing brings it', async () => {
    const backdated = keyRow({ shard: SHARD, epoch: EPOCH }, { created_at: LONG_AGO });
    await heir.plant('idempotency_keys', backdated);
    expect(await healQuickly()).toBe(0);
    const comparison = await compareShards(heir.asReader, member.asReader, [SHARD]);
    expect(comparison).toMatchObject({ isEqual: false, differing: [{ table: 'idempotency_keys', right: undefined }] });

    await cluster.serve(SHARD, heir, EPOCH + 1);
    const healed = await healUntilEqual(heir.asReader, member.asOwner, [{ shard: SHARD, epoch: EPOCH + 1 }]);
    expect(healed).toMatchObject({ taken: 1, isEqual: true });
  });

  it('leaves the heir’s own writes to the stream, and lets it go on', async () => {
    await heir.plant('orders', orderRow({ shard: SHARD, epoch: EPOCH }));
    await healQuickly();
    await cluster.serve(SHARD, heir, EPOCH + 1);
    await write(heir, 'orders', orderRow({ shard: SHARD, epoch: EPOCH + 1 }));
    await heir.query("UPDATE orders SET status = 'accepted', epoch = $1", [EPOCH + 1]);
    await expect.poll(areEqual, { timeout: 10_000 }).toBe(true);
    expect(await member.query('SELECT DISTINCT status FROM orders')).toEqual([{ status: 'accepted' }]);
    expect(await member.faultsFrom(heir)).toBe(0);
  });

  it('may be called by the coordinator’s role, and leaves it without any right of its own', async () => {
    await heir.plant('orders', orderRow({ shard: SHARD, epoch: EPOCH }));
    const [row] = await heir.query<{ recent: string }>('SELECT control.export_recent($1, $2)::text AS recent', [
      [SHARD],
      since(),
    ]);
    await member.query('SET ROLE borough_control');
    await member.query("SELECT control.import_healed(1, 'test', $1)", [row?.recent]);
    await expect(member.query('DELETE FROM orders')).rejects.toMatchObject({ code: '42501' });
    await expect(member.query('SELECT control.begin_healing()')).rejects.toMatchObject({ code: '42501' });
    await member.query('RESET ROLE');
    expect(await member.query('SELECT 1 FROM orders')).toHaveLength(1);
  });
});
