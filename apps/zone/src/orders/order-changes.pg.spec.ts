import { type OrderView } from '@borough/contracts';
import { newUuid } from '@borough/topology';
import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { type DataSource } from 'typeorm';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createZoneDatabase, type ZoneDatabase } from '../../../../test/support/databases.js';
import { requestPool } from '../database.js';
import { ConfirmedStatements } from '../ownership/confirmed-statements.js';
import { commitBatch } from '../writes/commit-batch.js';
import { newRow } from '../writes/new-rows.js';
import { type Outcome, type PendingChange, type PendingWrite } from '../writes/pending-write.js';
import { orderChange } from './order-change.js';
import { orderEventEntity } from './order-event.entity.js';
import { type OrderTransition } from './order-status.js';
import { orderEntity, type OrderRow } from './order.entity.js';
import { orderView } from './order.view.js';

const SHARD = 5;

let database: ZoneDatabase;
let pool: DataSource;
let statements: ConfirmedStatements;

beforeEach(async () => {
  database = await createZoneDatabase();
  await database.claim('a');
  await database.own(SHARD, { owner: 'a', epoch: 3 });
  await database.openTables();
  pool = await requestPool(database.apiUrl, 8).initialize();
  statements = new ConfirmedStatements(pool);
});

afterEach(async () => {
  await pool.destroy();
  await database.drop();
});

describe('an order change', () => {
  it('writes the order, one event of its new version, and its key, all at the epoch of the owner', async () => {
    const order = await place();
    await database.own(SHARD, { owner: 'a', epoch: 7 });
    const [answer] = await commit(change(order, 'accept', 'k', 'the kitchen is ready'));
    const placed = orderView(order);
    const accepted = { ...placed, status: 'accepted', version: 2 };
    expect(viewOf(answer)).toEqual(accepted);
    expect(await database.query('SELECT status, version, epoch FROM orders')).toEqual([
      { status: 'accepted', version: 2, epoch: 7 },
    ]);
    expect(
      await database.query(
        `SELECT e.kind, e.before, e.after, e.actor, e.reason, e.epoch FROM order_events e
          WHERE e.order_version = 2 AND e.order_id = $1`,
        [order.id],
      ),
    ).toEqual([
      {
        kind: 'order-accepted',
        before: placed,
        after: accepted,
        actor: 'anonymous',
        reason: 'the kitchen is ready',
        epoch: 7,
      },
    ]);
    expect(await keyRows('k')).toEqual([{ status: 200, replays: 0, epoch: 7 }]);
  });

  it('answers the view that the row has from then on', async () => {
    const order = await place();
    const [answer] = await commit(change(order, 'cancel', 'k'));
    const row = await pool.manager.findOneByOrFail(orderEntity, { id: order.id });
    expect(viewOf(answer)).toEqual(JSON.parse(JSON.stringify(orderView(row))));
  });

  it('is replayed by its key, byte for byte, in a write that the ownership trigger checks (D6)', async () => {
    const order = await place();
    const [first] = await commit(change(order, 'accept', 'k'));
    await commit(change(order, 'cancel', 'other'));
    const [again] = await commit(change(order, 'accept', 'k'));
    expect(again).toEqual({ kind: 'answered', answer: { ...answerOf(first), isReplay: true } });
    expect(await keyRows('k')).toEqual([{ status: 200, replays: 1, epoch: 3 }]);
    await database.own(SHARD, { owner: 'b', epoch: 4 });
    await expect(commit(change(order, 'accept', 'k'))).rejects.toMatchObject({ code: 'wrong-zone' });
    expect(await keyRows('k')).toEqual([{ status: 200, replays: 1, epoch: 3 }]);
  });

  it('is refused with another request under its key', async () => {
    const [one, two] = [await place(), await place()];
    await commit(change(one, 'accept', 'k'));
    expect(await commit(change(two, 'accept', 'k'))).toMatchObject([
      { kind: 'refused', problem: { code: 'idempotency-key-reused' } },
    ]);
    expect(await statusesOf(two)).toEqual(['placed']);
  });

  it('that the status forbids says the status and what is allowed, and stores nothing under its key', async () => {
    const order = await place();
    await commit(change(order, 'accept', '1'));
    const [refused] = await commit(change(order, 'accept', '2'));
    expect(refused).toMatchObject({
      kind: 'refused',
      problem: {
        code: 'illegal-transition',
        facts: { members: { orderStatus: 'accepted', allowedTransitions: ['cancel'] } },
      },
    });
    expect(await keyRows('2')).toEqual([]);
    expect(await eventsOf(order)).toEqual(['order-placed', 'order-accepted']);
  });

  it.each(['moving', 'fenced', 'accepted'])('is locked out while its shard is %s (P5)', async (state) => {
    const order = await place();
    await database.own(SHARD, { owner: 'a', epoch: 3, state });
    await expect(commit(change(order, 'accept', 'k'))).rejects.toMatchObject({
      code: 'shard-moving',
      facts: { members: { shard: SHARD, owner: 'a', epoch: 3 } },
    });
    expect(await keyRows('k')).toEqual([]);
    expect(await statusesOf(order)).toEqual(['placed']);
  });
});

describe('a batch of order changes', () => {
  it('answers each on its own: done, illegal, not there, replayed, key reused, and new orders beside them', async () => {
    const orders = await Promise.all(Array.from({ length: 5 }, () => place()));
    const [fine, cancelled, replayed, reused, last] = orders as [OrderRow, OrderRow, OrderRow, OrderRow, OrderRow];
    await commit(change(cancelled, 'cancel', 'c'), change(replayed, 'accept', 'r'));
    const missing = { ...fine, id: freshId() };
    const placing = placement();
    const outcomes = await commit(
      change(cancelled, 'accept', '1'),
      change(fine, 'accept', '2'),
      placing.write,
      change(missing, 'accept', '3'),
      change(replayed, 'accept', 'r'),
      change(reused, 'cancel', 'c'),
      change(last, 'cancel', '4'),
    );
    expect(outcomes).toMatchObject([
      { kind: 'refused', problem: { code: 'illegal-transition' } },
      { kind: 'answered', answer: { status: 200, isReplay: false } },
      { kind: 'answered', answer: { status: 201, isReplay: false } },
      { kind: 'refused', problem: { code: 'order-not-found' } },
      { kind: 'answered', answer: { status: 200, isReplay: true } },
      { kind: 'refused', problem: { code: 'idempotency-key-reused' } },
      { kind: 'answered', answer: { status: 200, isReplay: false } },
    ]);
    expect(await statusesOf(fine, cancelled, replayed, reused, last, placing.order)).toEqual([
      'accepted',
      'cancelled',
      'accepted',
      'placed',
      'cancelled',
      'placed',
    ]);
  });

  it('lets the changes of one order take turns, in the order they came', async () => {
    const [one, two] = [await place(), await place()];
    const outcomes = await commit(
      change(one, 'accept', '1'),
      change(two, 'cancel', '2'),
      change(one, 'cancel', '3'),
      change(one, 'accept', '4'),
      change(two, 'accept', '5'),
    );
    expect(
      outcomes.map((outcome) => (outcome.kind === 'answered' ? viewOf(outcome).version : outcome.problem.code)),
    ).toEqual([2, 2, 3, 'illegal-transition', 'illegal-transition']);
    expect(await eventsOf(one)).toEqual(['order-placed', 'order-accepted', 'order-cancelled']);
    expect(await eventsOf(two)).toEqual(['order-placed', 'order-cancelled']);
  });

  it('that races with another process over the same orders has one winner per order, and never gets stuck', async () => {
    const orders = await Promise.all(Array.from({ length: 12 }, () => place()));
    for (const [round, transition] of (['accept', 'cancel'] as const).entries()) {
      const batches = await Promise.all(
        ['p', 'q', 'r'].map((process, at) => {
          const writes = orders.map((order, n) => change(order, transition, `${process}${round}-${n}`));
          return commit(...(at === 1 ? writes.toReversed() : writes));
        }),
      );
      const outcomes = batches.flat();
      expect(outcomes.filter(({ kind }) => kind === 'answered')).toHaveLength(orders.length);
      expect(
        outcomes.filter((outcome) => outcome.kind === 'refused' && outcome.problem.code === 'illegal-transition'),
      ).toHaveLength(2 * orders.length);
    }
    for (const order of orders) {
      expect(await eventsOf(order)).toEqual(['order-placed', 'order-accepted', 'order-cancelled']);
    }
  });

  it('that races with the same keys has one effect per key, and both are told the same', async () => {
    const orders = await Promise.all(Array.from({ length: 6 }, () => place()));
    const writes = orders.map((order, n) => change(order, 'accept', `k${n}`));
    const [one, two] = await Promise.all([commit(...writes), commit(...writes.toReversed())]);
    expect(one.map(viewOf)).toEqual(two.toReversed().map(viewOf));
    for (const order of orders) expect(await eventsOf(order)).toEqual(['order-placed', 'order-accepted']);
  });

  it('with a key that another transaction is using for another order waits for it, and leaves its own order alone', async () => {
    const [one, two] = [await place(), await place()];
    const other = new pg.Client({ connectionString: database.apiUrl });
    await other.connect();
    await other.query('BEGIN');
    await other.query(
      `INSERT INTO idempotency_keys (shard, route, caller, key, epoch, fingerprint, status, answer, created_at)
       VALUES ($1, $2, 'anonymous', 'k', 3, '\\x00', 200, '{}', now())`,
      [SHARD, ROUTES.accept],
    );
    const waiting = commit(change(one, 'accept', 'k'), change(two, 'accept', 'fine'));
    await expect.poll(() => database.query('SELECT 1 FROM pg_locks l WHERE NOT l.granted')).toHaveLength(1);
    await other.query('COMMIT');
    expect(await waiting).toMatchObject([
      { kind: 'refused', problem: { code: 'idempotency-key-reused' } },
      { kind: 'answered' },
    ]);
    expect(await statusesOf(one, two)).toEqual(['placed', 'accepted']);
    await other.end();
  });

  it('reads no whole table, with plans that were made when the tables were empty', async () => {
    const session = new pg.Client({ connectionString: database.superuserUrl });
    await session.connect();
    const none = JSON.stringify([sentChange(freshId(), 'warm')]);
    for (let n = 0; n < 10; n += 1) await session.query('SELECT * FROM change_orders($1, $2)', [SHARD, none]);
    const orders = await Promise.all(Array.from({ length: 300 }, () => place()));
    const rowsRead = `SELECT sum(s.seq_tup_read + s.idx_tup_fetch)::int AS count FROM pg_stat_xact_user_tables s
                       WHERE s.relname IN ('orders', 'order_events', 'idempotency_keys')`;
    await session.query('BEGIN');
    const sent = JSON.stringify(orders.slice(0, 8).map(({ id }, n) => sentChange(id, `k${n}`)));
    const { rows } = await session.query('SELECT * FROM change_orders($1, $2)', [SHARD, sent]);
    expect(rows.map(({ outcome }: { outcome: string }) => outcome)).toEqual(Array.from({ length: 8 }, () => 'done'));
    const [read] = (await session.query<{ count: number }>(rowsRead)).rows;
    expect(read?.count).toBeLessThan(100);
    await session.query('COMMIT');
    await session.end();
  });
});

const ROUTES: Readonly<Record<OrderTransition, string>> = {
  accept: 'POST /v1/orders/:orderId/accept',
  cancel: 'POST /v1/orders/:orderId/cancel',
};

function commit(...writes: PendingWrite[]): Promise<Outcome[]> {
  return commitBatch(statements, SHARD, writes);
}

function change(order: OrderRow, transition: OrderTransition, key: string, reason?: string): PendingChange {
  return {
    kind: 'order-change',
    // One scope for all, so that a test can use a key twice.
    route: ROUTES.accept,
    caller: 'anonymous',
    key,
    fingerprint: Buffer.from(`${transition} ${order.id}`).toString('hex'),
    status: 200,
    change: orderChange(order.id, transition, 'anonymous', reason),
  };
}

function sentChange(orderId: string, key: string): object {
  const { steps, event } = orderChange(orderId, 'accept', 'anonymous', undefined);
  return { route: ROUTES.accept, caller: 'anonymous', key, fingerprint: '00', status: 200, orderId, steps, event };
}

async function place(): Promise<OrderRow> {
  const { order, write } = placement();
  expect(await commit(write)).toMatchObject([{ kind: 'answered' }]);
  return order;
}

function placement(): { order: OrderRow; write: PendingWrite } {
  const order: OrderRow = {
    id: freshId(),
    shard: SHARD,
    epoch: 0,
    version: 1,
    storeId: freshId(),
    customerId: freshId(),
    status: 'placed',
    items: [{ name: 'Rye bread', quantity: 2 }],
    dropOffLatitude: 53.1,
    dropOffLongitude: 8.8000001,
    note: 'ring twice 🔔 "soft"',
    readyAt: new Date(),
    expectedDropOffAt: null,
    placedAt: new Date(),
  };
  const view = orderView(order);
  const event = {
    id: freshId(),
    shard: SHARD,
    epoch: 0,
    version: 1,
    orderId: order.id,
    orderVersion: 1,
    kind: 'order-placed' as const,
    before: null,
    after: view,
    actor: 'anonymous',
    reason: null,
    occurredAt: order.placedAt,
  };
  return {
    order,
    write: {
      kind: 'new-rows',
      route: 'POST /v1/orders',
      caller: 'anonymous',
      key: order.id,
      fingerprint: '00',
      answer: { status: 201, body: JSON.stringify(view), isReplay: false },
      rows: { ...newRow(orderEntity, order), ...newRow(orderEventEntity, event) },
    },
  };
}

function freshId(): string {
  return newUuid(SHARD, Date.now(), () => randomBytes(16));
}

function answerOf(outcome: Outcome | undefined): { status: number; body: string } {
  if (outcome?.kind !== 'answered') throw new Error(`not answered: ${outcome?.problem.code ?? 'nothing'}`);
  return outcome.answer;
}

function viewOf(outcome: Outcome | undefined): OrderView {
  return JSON.parse(answerOf(outcome).body) as OrderView;
}

async function statusesOf(...orders: OrderRow[]): Promise<string[]> {
  const ids = orders.map(({ id }) => id);
  const rows = await database.query<{ status: string }>(
    'SELECT o.status FROM orders o WHERE o.id = ANY ($1) ORDER BY array_position($1, o.id)',
    [ids],
  );
  return rows.map(({ status }) => status);
}

async function eventsOf({ id }: OrderRow): Promise<string[]> {
  const rows = await database.query<{ kind: string }>(
    'SELECT e.kind FROM order_events e WHERE e.order_id = $1 ORDER BY e.order_version',
    [id],
  );
  return rows.map(({ kind }) => kind);
}

function keyRows(key: string): Promise<object[]> {
  return database.query('SELECT k.status, k.replays, k.epoch FROM idempotency_keys k WHERE k.key = $1', [key]);
}
