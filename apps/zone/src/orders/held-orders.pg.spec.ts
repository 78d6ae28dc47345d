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
import { type Outcome, type PendingChange, type PendingRows, type PendingWrite } from '../writes/pending-write.js';
import { orderChange } from './order-change.js';
import { orderEventEntity } from './order-event.entity.js';
import { type OrderTransition } from './order-status.js';
import { orderEntity, type OrderRow } from './order.entity.js';
import { orderView } from './order.view.js';

const SHARD = 5;
const OTHER = 6;
const TERM = [9, 'coordinator'];

let database: ZoneDatabase;
let pool: DataSource;
let statements: ConfirmedStatements;
let coordinator: pg.Client;

/** Zone b owned the shard and is lost; this is zone a, which was chosen to be the heir. */
beforeEach(async () => {
  database = await createZoneDatabase();
  await database.claim('a');
  await database.own(SHARD, { owner: 'a', epoch: 3 });
  await database.own(OTHER, { owner: 'a', epoch: 1 });
  await database.openTables();
  pool = await requestPool(database.apiUrl, 8).initialize();
  statements = new ConfirmedStatements(pool);
  coordinator = new pg.Client({ connectionString: database.controlUrl });
  await coordinator.connect();
});

afterEach(async () => {
  await coordinator.end();
  await pool.destroy();
  await database.drop();
});

describe('an order that was in process at a failover (M8)', () => {
  it('takes no step, says why and since when, and stores nothing under the key', async () => {
    const [placed, accepted] = [await place(), await place()];
    await commit(change(accepted, 'accept', 'before'));
    await failOver();
    const [since] = await database.query<{ since: Date }>('SELECT h.since FROM shard_holds h');
    for (const order of [placed, accepted]) {
      for (const step of ['accept', 'cancel'] as const) {
        expect(await commit(change(order, step, 'after'))).toMatchObject([
          {
            kind: 'refused',
            problem: {
              code: 'order-held',
              facts: { members: { reason: 'failover', since: since?.since.toISOString() }, retryAfterSeconds: 1 },
            },
          },
        ]);
      }
    }
    expect(await database.query("SELECT FROM idempotency_keys k WHERE k.key = 'after'")).toEqual([]);
    expect(await database.query('SELECT o.status FROM orders o ORDER BY o.status')).toEqual([
      { status: 'accepted' },
      { status: 'placed' },
    ]);
  });

  it('shows the hold to whoever reads it, and no more once it is released', async () => {
    const order = await place();
    expect(await viewOf(order)).not.toHaveProperty('hold');
    await failOver();
    const [since] = await database.query<{ since: Date }>('SELECT h.since FROM shard_holds h');
    expect(await viewOf(order)).toMatchObject({ hold: { reason: 'failover', since: since?.since.toISOString() } });
    await release();
    expect(await viewOf(order)).not.toHaveProperty('hold');
  });

  it('is free again after the release, and its change is written as ever', async () => {
    const order = await place();
    await failOver();
    expect(await release()).toBe(0);
    expect(await commit(change(order, 'accept', 'k'))).toMatchObject([{ kind: 'answered', answer: { status: 200 } }]);
    expect(await database.query('SELECT o.status, o.epoch FROM orders o')).toEqual([{ status: 'accepted', epoch: 4 }]);
  });

  it('answers a change that was made before, byte for byte', async () => {
    const order = await place();
    const [first] = await commit(change(order, 'accept', 'k'));
    await failOver();
    const [again] = await commit(change(order, 'accept', 'k'));
    expect(again).toEqual({ kind: 'answered', answer: { ...answerOf(first), isReplay: true } });
  });

  it('that has ended is refused by its status, as ever', async () => {
    const order = await place();
    await commit(change(order, 'cancel', 'k'));
    await failOver();
    expect(await commit(change(order, 'accept', 'l'))).toMatchObject([
      { kind: 'refused', problem: { code: 'illegal-transition' } },
    ]);
    expect(await viewOf(order)).not.toHaveProperty('hold');
  });

  it('is in nobody else’s way: new orders, orders placed since, other shards and other orders of a batch', async () => {
    const [held, elsewhere] = [await place(), await place(OTHER)];
    await failOver();
    const fresh = await place();
    expect(await commit(change(held, 'accept', '1'), placement().write, change(fresh, 'accept', '2'))).toMatchObject([
      { kind: 'refused', problem: { code: 'order-held' } },
      { kind: 'answered', answer: { status: 201 } },
      { kind: 'answered', answer: { status: 200 } },
    ]);
    expect(await commitBatch(statements, OTHER, [change(elsewhere, 'accept', '3')])).toMatchObject([
      { kind: 'answered' },
    ]);
  });
});

describe('serving with a hold', () => {
  it('may be repeated: one hold, and one that was released stays so', async () => {
    const order = await place();
    await failOver();
    await failOver();
    await release();
    await failOver();
    expect(await database.query('SELECT h.held_epoch, h.move_id FROM shard_holds h')).toEqual([
      { held_epoch: 4, move_id: 'mov_1' },
    ]);
    expect(await commit(change(order, 'accept', 'k'))).toMatchObject([{ kind: 'answered' }]);
  });

  it('is refused, and holds nothing, for what was not accepted or under an older term', async () => {
    await expect(serveHeld(9)).rejects.toMatchObject({ code: 'BR409' });
    await coordinator.query('SELECT * FROM control.promise_term(10, $1)', ['other']);
    await expect(failOver()).rejects.toMatchObject({ code: 'BR410' });
    expect(await database.query('SELECT FROM shard_holds')).toEqual([]);
  });

  it('at a zone that only keeps its copy writes no hold: that comes from the heir', async () => {
    await database.own(SHARD, { owner: 'b', epoch: 4, state: 'accepted' });
    await call('serve_ownership_held', SHARD, 4, 'b', 'mov_1', 'failover');
    expect(await database.query('SELECT FROM shard_holds')).toEqual([]);
  });

  it('serves without one while its table waits to be replicated: an upgrade must not stop a failover', async () => {
    await database.query(
      `CREATE TRIGGER borough_closed BEFORE INSERT OR UPDATE ON shard_holds
         FOR EACH STATEMENT EXECUTE FUNCTION control.refuse_closed()`,
    );
    await failOver();
    expect(await database.query('SELECT o.state FROM control.ownership o WHERE o.epoch = 4')).toEqual([
      { state: 'serving' },
    ]);
  });

  it('is the only way to a hold', async () => {
    const api = new pg.Client({ connectionString: database.apiUrl });
    await api.connect();
    const insert = api.query(
      `INSERT INTO shard_holds (shard, held_epoch, epoch, reason, move_id, since) VALUES (${SHARD}, 3, 3, 'failover', 'x', now())`,
    );
    await expect(insert).rejects.toMatchObject({ code: '42501' });
    await api.end();
  });
});

describe('a release', () => {
  it('ends the holds of its move and earlier ones of the same shards; those of other shards stay', async () => {
    const [here, there] = [await place(), await place(OTHER)];
    await failOver();
    await failOver({ shard: OTHER, epoch: 2, move: 'mov_other' });
    await failOver({ epoch: 5, move: 'mov_2' });
    expect(await release('mov_2')).toBe(0);
    expect(await viewOf(here)).not.toHaveProperty('hold');
    expect(await viewOf(there)).toHaveProperty('hold');
    expect(await release('mov_1')).toBe(0);
  });

  it('of an earlier move leaves what a later one holds', async () => {
    const order = await place();
    await failOver();
    await failOver({ epoch: 5, move: 'mov_2' });
    await release('mov_1');
    expect(await viewOf(order)).toHaveProperty('hold');
  });

  it('says how many holds it could not end, in shards that have another owner by now; those come with the shard', async () => {
    const order = await place();
    await failOver();
    await database.own(SHARD, { owner: 'c', epoch: 5 });
    expect(await release()).toBe(1);
    await database.own(SHARD, { owner: 'a', epoch: 6 });
    expect(await release()).toBe(0);
    expect(await viewOf(order)).not.toHaveProperty('hold');
    expect(await database.query('SELECT h.epoch, h.held_epoch, h.version FROM shard_holds h')).toEqual([
      { epoch: 6, held_epoch: 4, version: 2 },
    ]);
  });

  it('leaves what was declared lost, whichever move it is of', async () => {
    const order = await place();
    await failOver({ reason: 'declared-loss' });
    await release();
    await failOver({ epoch: 5, move: 'mov_2' });
    await release('mov_2');
    expect(await viewOf(order)).toMatchObject({ hold: { reason: 'declared-loss' } });
    expect(await commit(change(order, 'accept', 'k'))).toMatchObject([
      {
        kind: 'refused',
        problem: { code: 'order-held', facts: { members: { reason: 'declared-loss' }, retryAfterSeconds: 60 } },
      },
    ]);
  });
});

describe('an order whose lost writes were declared', () => {
  it('is released by itself, with who did it and why; the others stay held', async () => {
    const [one, two] = [await place(), await place()];
    await failOver({ reason: 'declared-loss' });
    expect(await releaseOrder(one)).toBe(true);
    expect(await releaseOrder(one)).toBe(false);
    expect(await commit(change(one, 'cancel', '1'), change(two, 'cancel', '2'))).toMatchObject([
      { kind: 'answered' },
      { kind: 'refused', problem: { code: 'order-held' } },
    ]);
    expect(await database.query('SELECT r.order_id, r.epoch, r.actor, r.reason FROM order_releases r')).toEqual([
      { order_id: one.id, epoch: 4, actor: 'ana', reason: 'asked the store' },
    ]);
  });

  it('is held again by a later loss, and released again', async () => {
    const order = await place();
    await failOver({ reason: 'declared-loss' });
    await releaseOrder(order);
    await failOver({ epoch: 5, move: 'mov_2', reason: 'declared-loss' });
    expect(await viewOf(order)).toHaveProperty('hold');
    expect(await releaseOrder(order)).toBe(true);
    expect(await viewOf(order)).not.toHaveProperty('hold');
  });

  it('stays held while a failover that came on top still runs', async () => {
    const order = await place();
    await failOver({ reason: 'declared-loss' });
    await failOver({ epoch: 5, move: 'mov_2' });
    expect(await releaseOrder(order)).toBe(true);
    expect(await viewOf(order)).toMatchObject({ hold: { reason: 'failover' } });
    await release('mov_2');
    expect(await viewOf(order)).not.toHaveProperty('hold');
  });

  it('is released by the owner of its shard only, and only when it is held for that', async () => {
    const order = await place();
    expect(await releaseOrder(order)).toBe(false);
    await failOver();
    expect(await releaseOrder(order)).toBe(false);
    await expect(releaseOrder({ id: freshId() })).rejects.toMatchObject({ code: 'BR404' });
    await database.own(SHARD, { owner: 'c', epoch: 5 });
    await expect(releaseOrder(order)).rejects.toMatchObject({ code: 'BR421' });
  });
});

it('held orders are listed, those of the oldest hold first, with how many there are in all', async () => {
  const [later, early, ended] = [await place(OTHER), await place(), await place()];
  await commit(change(ended, 'cancel', 'k'));
  await failOver({ reason: 'declared-loss' });
  await failOver({ shard: OTHER, epoch: 2, move: 'mov_2' });
  await place();
  const listed = (upTo: number): Promise<unknown> =>
    coordinator
      .query<{ held: unknown }>('SELECT control.held_orders($1) AS held', [upTo])
      .then(({ rows }) => rows[0]?.held);
  expect(await listed(10)).toMatchObject({
    total: 2,
    orders: [
      { orderId: early.id, shard: SHARD, status: 'placed', reason: 'declared-loss' },
      { orderId: later.id, shard: OTHER, status: 'placed', reason: 'failover' },
    ],
  });
  expect(await listed(1)).toMatchObject({ total: 2, orders: [{ orderId: early.id }] });
  await database.own(OTHER, { owner: 'c', epoch: 3 });
  expect(await listed(10)).toMatchObject({ total: 1 });
});

/** Accepts and serves the next epoch here, with a hold. Repeating it changes nothing. */
async function failOver({ shard = SHARD, epoch = 4, move = 'mov_1', reason = 'failover' } = {}): Promise<void> {
  await database.query(
    "UPDATE control.ownership SET state = 'fenced', heir = 'a', move_id = 'm' WHERE shard = $1 AND epoch < $2",
    [shard, epoch],
  );
  await call('accept_ownership', shard, epoch, 'a');
  await serveHeld(epoch, shard, move, reason);
}

function serveHeld(epoch: number, shard = SHARD, move = 'mov_1', reason = 'failover'): Promise<unknown> {
  return call('serve_ownership_held', shard, epoch, 'a', move, reason);
}

function release(move = 'mov_1'): Promise<unknown> {
  return call('release_holds', move);
}

function releaseOrder({ id }: { id: string }): Promise<unknown> {
  return call('release_order', id, 'ana', 'asked the store');
}

async function call(name: string, ...parameters: unknown[]): Promise<unknown> {
  const all = [...TERM, ...parameters];
  const places = all.map((_, at) => `$${at + 1}`).join(', ');
  const { rows } = await coordinator.query<{ answer: unknown }>(`SELECT control.${name}(${places}) AS answer`, all);
  return rows[0]?.answer;
}

function commit(...writes: PendingWrite[]): Promise<Outcome[]> {
  return commitBatch(statements, SHARD, writes);
}

function change(order: OrderRow, transition: OrderTransition, key: string): PendingChange {
  return {
    kind: 'order-change',
    route: `POST /v1/orders/:orderId/${transition}`,
    caller: 'anonymous',
    key,
    fingerprint: Buffer.from(`${transition} ${order.id}`).toString('hex'),
    status: 200,
    change: orderChange(order.id, transition, 'anonymous', undefined),
  };
}

async function place(shard = SHARD): Promise<OrderRow> {
  const { order, write } = placement(shard);
  expect(await commitBatch(statements, shard, [write])).toMatchObject([{ kind: 'answered' }]);
  return order;
}

function placement(shard = SHARD): { order: OrderRow; write: PendingRows } {
  const order: OrderRow = {
    id: freshId(shard),
    shard,
    epoch: 0,
    version: 1,
    storeId: freshId(shard),
    customerId: freshId(shard),
    status: 'placed',
    items: [{ name: 'Rye bread', quantity: 2 }],
    dropOffLatitude: 53.1,
    dropOffLongitude: 8.8,
    note: null,
    readyAt: null,
    expectedDropOffAt: null,
    placedAt: new Date(),
  };
  const view = orderView(order);
  const event = {
    id: freshId(shard),
    shard,
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

function freshId(shard = SHARD): string {
  return newUuid(shard, Date.now(), () => randomBytes(16));
}

async function viewOf({ id }: OrderRow): Promise<object> {
  return orderView(await pool.manager.findOneByOrFail(orderEntity, { id }));
}

function answerOf(outcome: Outcome | undefined): object {
  if (outcome?.kind !== 'answered') throw new Error('not answered');
  return outcome.answer;
}
