/** Held orders as ops people see them: over HTTP, of three real databases. */
import 'reflect-metadata';
import { randomBytes } from 'node:crypto';
import { type AddressInfo } from 'node:net';
import { type NestFastifyApplication } from '@nestjs/platform-fastify';
import { heldOrdersView, type HeldOrdersView, type ProblemDocument, type ReleasedOrder } from '@borough/contracts';
import { newUuid, toId } from '@borough/topology';
import { request } from 'undici';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { createZoneDatabase } from '../../../../test/support/databases.js';
import { startCoordinator } from '../coordinator.js';
import { ThreeVoters, type Zone, ZONES } from '../voters/three-voters.js';

const LOOKED = { requestedBy: 'spec', why: 'asked the store' };

/** Origins are the whole server's. */
const originOf = (zone: Zone): string => `spec_held_${process.pid}_${zone}`;

let three: ThreeVoters;
let app: NestFastifyApplication;
let url: string;

beforeAll(async () => {
  three = await ThreeVoters.start(createZoneDatabase);
  for (const zone of ZONES) {
    await three.query(zone, 'SELECT control.open_table(c.table_name::regclass) FROM control.closed_table c');
    // Rows are planted as a failover left them, past the fence, as streams and healings are let past it.
    await three.query(zone, 'SELECT pg_replication_origin_create($1)', [originOf(zone)]);
    await three.query(zone, 'SELECT pg_replication_origin_session_setup($1)', [originOf(zone)]);
  }
});

beforeEach(() => start());

afterEach(async () => {
  await app.close();
  for (const zone of ZONES) {
    for (const table of ['orders', 'shard_holds', 'order_releases']) await three.query(zone, `DELETE FROM ${table}`);
  }
  await three.clear();
});

afterAll(async () => {
  for (const zone of ZONES) {
    await three.query(zone, 'SELECT pg_replication_origin_session_reset()');
    await three.query(zone, 'SELECT pg_replication_origin_drop($1)', [originOf(zone)]);
  }
  await three.stop();
});

async function open(id: string, ...away: Zone[]): Promise<void> {
  app = await startCoordinator({
    COORDINATOR_ID: id,
    HTTP_HOST: '127.0.0.1',
    HTTP_PORT: 0,
    // Nobody listens there: a coordinator does without notices.
    NATS_URL: 'nats://127.0.0.1:1',
    VOTER_DATABASE_URLS: three.urls(...away),
    READ_EVERY_MS: 50,
    ZONE_URLS: new Map(),
    FAILOVER_POLICY: 'manual',
    FAILOVER_BACK_OFF_MS: 60_000,
    LOG_LEVEL: 'silent',
  });
  url = `http://127.0.0.1:${(app.getHttpServer().address() as AddressInfo).port}`;
}

/** One that leads. */
async function start(...away: Zone[]): Promise<void> {
  await open('c1', ...away);
  await vi.waitFor(
    async () => {
      const { body } = await ask<{ leader?: { isThisOne: boolean } }>('GET', '/ops/v1/zones');
      expect(body.leader?.isThisOne).toBe(true);
    },
    { timeout: 10_000, interval: 20 },
  );
}

async function startAgainWithout(...away: Zone[]): Promise<void> {
  await app.close();
  await start(...away);
}

describe('held orders', () => {
  it('are those of every zone, the longest held first, each with its zone, its reason and since when', async () => {
    await own(5, 'a', 4);
    await own(6, 'b', 2);
    const [late, early] = [await order('a', 5, 3), await order('b', 6, 1)];
    await hold('a', 5, 4, 'declared-loss', '2026-11-23T10:00:02Z');
    await hold('b', 6, 2, 'failover', '2026-11-23T10:00:01Z');
    const { status, body } = await held();

    expect(status).toBe(200);
    expect(heldOrdersView.parse(body)).toEqual({
      total: 2,
      orders: [
        { ...ORDER, orderId: early, shard: 6, zone: 'b', reason: 'failover', since: '2026-11-23T10:00:01.000Z' },
        { ...ORDER, orderId: late, shard: 5, zone: 'a', reason: 'declared-loss', since: '2026-11-23T10:00:02.000Z' },
      ],
      unanswered: [],
    });
  });

  it('are counted all, and shown as many as were asked for', async () => {
    await own(5, 'a', 4);
    for (let number = 0; number < 3; number += 1) await order('a', 5, 3);
    await hold('a', 5, 4, 'declared-loss');

    const { body } = await held('?limit=2');
    expect([body.total, body.orders.length]).toEqual([3, 2]);
    expect((await ask('GET', '/ops/v1/held-orders?limit=0')).body).toMatchObject({ code: 'malformed-query' });
  });

  it('of a zone that does not answer are missing, and that is said', async () => {
    await own(5, 'a', 4);
    const orderId = await order('a', 5, 3);
    await hold('a', 5, 4, 'declared-loss');
    await startAgainWithout('c');

    expect((await held()).body).toMatchObject({ total: 1, orders: [{ orderId }], unanswered: ['c'] });
  });

  it('of a zone that lost the shard and does not know it are not believed', async () => {
    await own(5, 'b', 5);
    await setCopy('a', 5, 'a', 4);
    await order('a', 5, 3);
    await hold('a', 5, 4, 'declared-loss');

    expect((await held()).body).toMatchObject({ total: 0, orders: [] });
  });
});

describe('the release of an order', () => {
  it('that was held after a declared loss ends its hold, and keeps who, why and when', async () => {
    await own(5, 'b', 4);
    const [first, second] = [await order('b', 5, 3), await order('b', 5, 3)];
    await hold('b', 5, 4, 'declared-loss');
    const { status, body } = await release(first);

    expect([status, body]).toEqual([200, { orderId: first, shard: 5, zone: 'b' }]);
    expect((await held()).body).toMatchObject({ total: 1, orders: [{ orderId: second }] });
    expect(await three.query('b', 'SELECT r.actor, r.reason, r.held_epoch FROM order_releases r')).toEqual([
      { actor: 'spec', reason: 'asked the store', held_epoch: 4 },
    ]);
  });

  it('again, or of one that nothing holds, is refused', async () => {
    await own(5, 'b', 4);
    const [was, never] = [await order('b', 5, 3), await order('b', 5, 4)];
    await hold('b', 5, 4, 'declared-loss');
    await release(was);

    for (const orderId of [was, never]) expect(await problemOf(orderId)).toEqual([409, 'order-not-held']);
  });

  it('that only a failover holds is refused: its move releases it', async () => {
    await own(5, 'b', 4);
    const orderId = await order('b', 5, 3);
    await hold('b', 5, 4, 'failover');

    expect(await problemOf(orderId)).toEqual([409, 'order-not-held']);
    expect((await held()).body.total).toBe(1);
  });

  it('that there is not, of a shard that there is or is not, is refused', async () => {
    await own(5, 'b', 4);
    for (const shard of [5, 6]) expect(await problemOf(newId(shard))).toEqual([404, 'order-not-found']);
  });

  it('by a name that is no order’s is refused', async () => {
    for (const name of ['ord_1', 'str_01h455vb4pex5vsknk084sn02q']) {
      expect(await problemOf(name)).toEqual([400, 'malformed-id']);
    }
  });

  it('without a reason is refused', async () => {
    const { status, body } = await ask<ProblemDocument>('POST', `/ops/v1/held-orders/${newId(5)}/release`, {
      requestedBy: 'spec',
    });
    expect([status, body.code]).toEqual([422, 'validation-failed']);
  });

  it('of a zone that does not answer is to be asked for again', async () => {
    await own(5, 'c', 4);
    await startAgainWithout('c');
    expect(await problemOf(newId(5))).toEqual([503, 'zone-unavailable']);
  });

  it('is done by the coordinator that leads, and by no other', async () => {
    await own(5, 'b', 4);
    const orderId = await order('b', 5, 3);
    await hold('b', 5, 4, 'declared-loss');
    const leading = { app, url };
    try {
      await open('c2');
      await vi.waitFor(
        async () => {
          const { body } = await ask<{ leader?: { isThisOne: boolean } }>('GET', '/ops/v1/zones');
          expect(body.leader?.isThisOne).toBe(false);
        },
        { timeout: 10_000, interval: 20 },
      );
      expect(await problemOf(orderId)).toEqual([503, 'not-leader']);
      expect((await held()).body).toMatchObject({ total: 1 });
    } finally {
      await app.close();
      ({ app, url } = leading);
    }
    expect((await release(orderId)).status).toBe(200);
  });
});

const ORDER = { status: 'placed', placedAt: '2026-11-23T09:00:00.000Z' };

interface Answer<Body> {
  readonly status: number;
  readonly body: Body;
}

async function ask<Body>(method: 'GET' | 'POST', path: string, document?: object): Promise<Answer<Body>> {
  const { statusCode, body } = await request(url + path, {
    method,
    ...(document === undefined
      ? {}
      : { headers: { 'content-type': 'application/json' }, body: JSON.stringify(document) }),
  });
  return { status: statusCode, body: (await body.json()) as Body };
}

function held(query = ''): Promise<Answer<HeldOrdersView>> {
  return ask('GET', `/ops/v1/held-orders${query}`);
}

function release<Body = ReleasedOrder>(orderId: string): Promise<Answer<Body>> {
  return ask('POST', `/ops/v1/held-orders/${orderId}/release`, LOOKED);
}

async function problemOf(orderId: string): Promise<[number, string]> {
  const { status, body } = await release<ProblemDocument>(orderId);
  return [status, body.code];
}

async function own(shard: number, owner: Zone, epoch: number): Promise<void> {
  for (const zone of ZONES) await setCopy(zone, shard, owner, epoch);
}

async function setCopy(zone: Zone, shard: number, owner: Zone, epoch: number): Promise<void> {
  await three.query(
    zone,
    `INSERT INTO control.ownership (shard, epoch, state, owner, term_number, term_coordinator)
     VALUES ($1, $2, 'serving', $3, 1, 'spec')
     ON CONFLICT (shard) DO UPDATE SET epoch = excluded.epoch, owner = excluded.owner`,
    [shard, epoch, owner],
  );
}

function newUuidOf(shard: number): string {
  return newUuid(shard, Date.now(), () => randomBytes(16));
}

function newId(shard: number): string {
  return toId('order', newUuidOf(shard));
}

async function order(zone: Zone, shard: number, epoch: number): Promise<string> {
  const id = newUuidOf(shard);
  await three.query(
    zone,
    `INSERT INTO orders (id, shard, epoch, store_id, customer_id, status, items, drop_off_latitude, drop_off_longitude,
                         placed_at)
     VALUES ($1, $2, $3, $4, $4, 'placed', '[]', 1, 2, '2026-11-23T09:00:00Z')`,
    [id, shard, epoch, newUuidOf(shard)],
  );
  return toId('order', id);
}

async function hold(zone: Zone, shard: number, epoch: number, reason: string, since = '2026-11-23T10:00:00Z') {
  await three.query(
    zone,
    `INSERT INTO shard_holds (shard, held_epoch, epoch, reason, move_id, since) VALUES ($1, $2, $2, $3, 'mov_1', $4)`,
    [shard, epoch, reason, since],
  );
}
