import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { newUuid } from '@borough/topology';
import { afterEach, beforeEach, expect, inject, it } from 'vitest';
import { createZoneDatabase, type ZoneDatabase } from '../../support/databases.js';
import { checkCompleteness, type Completeness } from './completeness.js';
import { type ExpectedOrder } from './order-content.js';

const SHARD = 5;
const PREFIX = 'replay run1 ';
const STORE = uuid();
const CUSTOMER = uuid();

let zoneA: ZoneDatabase;
let zoneB: ZoneDatabase;

beforeEach(async () => {
  zoneA = await zoneWithStore();
  zoneB = await zoneWithStore();
});

afterEach(async () => {
  await zoneA.drop();
  await zoneB.drop();
});

function uuid(): string {
  return newUuid(SHARD, Date.now(), () => randomBytes(16));
}

/** A zone's database in which rows may be written as if they had been replicated. */
async function zoneWithStore(): Promise<ZoneDatabase> {
  const zone = await createZoneDatabase();
  for (const table of ['stores', 'orders']) await zone.query(`ALTER TABLE ${table} DISABLE TRIGGER USER`);
  await zone.query(
    `INSERT INTO stores (id, shard, epoch, name, latitude, longitude, created_at)
     VALUES ($1, $2, 1, 'x', 1, 2, '2026-01-01T00:00:00Z')`,
    [STORE, SHARD],
  );
  return zone;
}

function order(name: string): ExpectedOrder {
  const items = [{ name: `${PREFIX}${name}`, quantity: 1 }];
  return { uuid: uuid(), shard: SHARD, storeUuid: STORE, customerUuid: CUSTOMER, items };
}

async function write(order: ExpectedOrder, ...zones: ZoneDatabase[]): Promise<void> {
  for (const zone of zones) {
    await zone.query(
      `INSERT INTO orders (id, shard, epoch, store_id, customer_id, status, items, drop_off_latitude,
                           drop_off_longitude, placed_at)
       VALUES ($1, $2, 1, $3, $4, 'placed', $5, 1, 2, '2026-01-01T00:00:00Z')`,
      [order.uuid, order.shard, order.storeUuid, order.customerUuid, JSON.stringify(order.items)],
    );
  }
}

/** As the replay asks: with the role that may read everything and write nothing. */
function check(expected: readonly ExpectedOrder[], equalWithinMs = 0): Promise<Completeness> {
  const auditUrl = inject('infrastructure').zones[0]?.postgres.auditUrl ?? '';
  const connectionOf = (zone: ZoneDatabase) => {
    const url = new URL(auditUrl);
    url.pathname = new URL(zone.superuserUrl).pathname;
    return url.href;
  };
  const zones = [
    { zoneId: 'a', connectionString: connectionOf(zoneA) },
    { zoneId: 'b', connectionString: connectionOf(zoneB) },
  ];
  return checkCompleteness(zones, expected, PREFIX, equalWithinMs);
}

it('zones with the same rows, written in another order, are equal and complete', async () => {
  const [one, other] = [order('1'), order('2')];
  await write(one, zoneA, zoneB);
  await write(other, zoneA);
  await zoneA.query(`UPDATE orders SET note = NULL WHERE id = $1`, [one.uuid]); // another place in the file
  await write(other, zoneB);
  await zoneB.query(`SET timezone = 'Asia/Tokyo'`);
  const found = await check([one, other]);
  expect(found).toMatchObject({ zonesEqual: true, ordersComplete: true, faults: [] });
  expect(found.tables.map(({ table }) => table)).toContain('public.orders');
  expect(found.orders).toEqual(
    ['a', 'b'].map((zoneId) => ({
      zoneId,
      found: 2,
      missing: 0,
      altered: 0,
      inOtherShard: 0,
      twice: 0,
      unacknowledged: 0,
    })),
  );
});

it('an acknowledged order that one zone lacks is missing there, and the zones differ', async () => {
  const lost = order('1');
  await write(lost, zoneA);
  const found = await check([lost]);
  expect(found).toMatchObject({ zonesEqual: false, ordersComplete: false });
  expect(found.orders.map(({ missing }) => missing)).toEqual([0, 1]);
  expect(found.faults).toEqual([`zone b: acknowledged order ${lost.uuid} is missing`]);
});

it('an acknowledged order that all zones lack is missing, though the zones are equal', async () => {
  const found = await check([order('1')]);
  expect(found).toMatchObject({ zonesEqual: true, ordersComplete: false });
});

it('an order with other items than were acknowledged is altered', async () => {
  const altered = order('1');
  await write({ ...altered, items: [{ name: `${PREFIX}1`, quantity: 2 }] }, zoneA, zoneB);
  const found = await check([altered]);
  expect(found).toMatchObject({ zonesEqual: true, ordersComplete: false });
  expect(found.orders.map(({ altered: count }) => count)).toEqual([1, 1]);
});

it('an order without its store is not in the shard of its store', async () => {
  const homeless = { ...order('1'), storeUuid: uuid() };
  await write(homeless, zoneA, zoneB);
  const found = await check([homeless]);
  expect(found.ordersComplete).toBe(false);
  expect(found.orders.map(({ inOtherShard }) => inOtherShard)).toEqual([1, 1]);
});

it('one order of the day under two ids is there twice', async () => {
  const [once, again] = [order('1'), order('1')];
  await write(once, zoneA, zoneB);
  await write(again, zoneA, zoneB);
  const found = await check([once]);
  expect(found.ordersComplete).toBe(false);
  expect(found.orders.map(({ twice }) => twice)).toEqual([1, 1]);
});

it('an order that nobody was told of is counted, and does no harm', async () => {
  const [told, untold] = [order('1'), order('2')];
  await write(told, zoneA, zoneB);
  await write(untold, zoneA, zoneB);
  const found = await check([told]);
  expect(found.ordersComplete).toBe(true);
  expect(found.orders.map(({ unacknowledged }) => unacknowledged)).toEqual([1, 1]);
});

it('an id that was acknowledged for two orders is a fault', async () => {
  const twice = order('1');
  await write(twice, zoneA, zoneB);
  const found = await check([twice, twice]);
  expect(found).toMatchObject({ zonesEqual: true, ordersComplete: false });
});

it('a zone that lags gets its time to become equal', async () => {
  const late = order('1');
  await write(late, zoneA);
  const checking = check([late], 10_000);
  await sleep(300);
  await write(late, zoneB);
  expect(await checking).toMatchObject({ zonesEqual: true, ordersComplete: true });
});

it('a zone that cannot be read is never equal', async () => {
  await zoneA.query('ALTER TABLE stores RENAME TO shops');
  await zoneB.query('DROP PUBLICATION borough');
  const found = await check([]);
  expect(found.zonesEqual).toBe(false);

  const nowhere = [{ zoneId: 'c', connectionString: 'postgres://nobody@127.0.0.1:1/nothing' }];
  const unread = await checkCompleteness(nowhere, [], PREFIX, 0);
  expect(unread).toMatchObject({ zonesEqual: false, ordersComplete: false });
  expect(unread.faults[0]).toContain('zone c: tables cannot be read');
});
