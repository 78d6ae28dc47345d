/** Receipts as ops people see them: over HTTP, of three real databases. */
import 'reflect-metadata';
import { type AddressInfo } from 'node:net';
import { type NestFastifyApplication } from '@nestjs/platform-fastify';
import { type ReceiptPage, receiptPage, wholeReceipt } from '@borough/contracts';
import { request } from 'undici';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { createZoneDatabase } from '../../../../test/support/databases.js';
import { startCoordinator } from '../coordinator.js';
import { ThreeVoters, type Zone, ZONES } from '../voters/three-voters.js';

let three: ThreeVoters;
let app: NestFastifyApplication;
let url: string;

beforeAll(async () => {
  three = await ThreeVoters.start(createZoneDatabase);
  await start();
});

afterEach(async () => {
  for (const zone of ZONES) await three.query(zone, 'TRUNCATE control.receipt RESTART IDENTITY');
});

afterAll(async () => {
  await app.close();
  await three.clear();
  await three.stop();
});

async function start(...away: Zone[]): Promise<void> {
  app = await startCoordinator({
    COORDINATOR_ID: 'c1',
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

describe('the list of receipts', () => {
  it('is that of every zone, the newest first, without what stood in the rows', async () => {
    await keep('b', { second: 1 });
    await keep('a', { second: 2, replacedBy: { id: 'x' } });
    const { status, body } = await list();

    expect(status).toBe(200);
    expect(body).toEqual({
      receipts: [
        { ...RECEIPT, zone: 'a', id: 1, foundAt: '2026-11-23T10:00:02.000Z', isReplaced: true },
        { ...RECEIPT, zone: 'b', id: 1, foundAt: '2026-11-23T10:00:01.000Z', isReplaced: false },
      ],
      unanswered: [],
    });
  });

  it('is gone through page by page, each receipt once, also where the clocks of zones differ', async () => {
    for (const second of [1, 5, 3]) await keep('a', { second });
    for (const second of [2, 4]) await keep('b', { second });
    await keep('c', { second: 6 });
    const seen: string[] = [];
    let before: string | undefined;
    do {
      const { body } = await list(`?limit=2${before === undefined ? '' : `&before=${encodeURIComponent(before)}`}`);
      seen.push(...namesOf(body));
      before = body.next;
    } while (before !== undefined && seen.length < 12);

    expect(seen).toEqual(['c/1', 'b/2', 'a/3', 'a/2', 'b/1', 'a/1']);
  });

  it('is asked for by zone, table and shard', async () => {
    await keep('a', { second: 1 });
    await keep('a', { second: 2, table: 'stores' });
    await keep('a', { second: 3, shard: 7 });
    await keep('b', { second: 4 });

    expect(namesOf((await list('?zone=a')).body)).toEqual(['a/3', 'a/2', 'a/1']);
    expect(namesOf((await list('?table=orders&shard=5')).body)).toEqual(['b/1', 'a/1']);
    expect(namesOf((await list('?zone=a&table=stores')).body)).toEqual(['a/2']);
  });

  it.each([
    ['zone=d', 404, 'zone-not-found'],
    ['before=yesterday', 400, 'malformed-cursor'],
    ['shard=4096', 400, 'malformed-query'],
    ['limit=0', 400, 'malformed-query'],
  ])('with %s is refused', async (query, status, code) => {
    expect(await ask(`/ops/v1/receipts?${query}`)).toMatchObject({ status, body: { code } });
  });
});

describe('one receipt', () => {
  it('has both rows, whole', async () => {
    await keep('b', { second: 1, replacedBy: { id: 'x', status: 'accepted' } });
    const { status, body } = await ask('/ops/v1/receipts/b/1');

    expect(status).toBe(200);
    expect(wholeReceipt.parse(body)).toEqual({
      ...RECEIPT,
      zone: 'b',
      id: 1,
      foundAt: '2026-11-23T10:00:01.000Z',
      document: { id: 'x', status: 'placed' },
      replacedBy: { id: 'x', status: 'accepted' },
    });
  });

  it.each([
    ['b/2', 404, 'receipt-not-found'],
    ['d/1', 404, 'zone-not-found'],
    ['b/0', 400, 'malformed-id'],
    ['b/one', 400, 'malformed-id'],
  ])('by the name %s is refused', async (name, status, code) => {
    await keep('b', { second: 1 });
    expect(await ask(`/ops/v1/receipts/${name}`)).toMatchObject({ status, body: { code } });
  });
});

describe('with a zone away', () => {
  it('the list says that its receipts are missing, and one of its own is to be asked for later', async () => {
    await keep('a', { second: 1 });
    await keep('c', { second: 2 });
    await app.close();
    await start('c');

    expect((await list()).body).toMatchObject({ receipts: [{ zone: 'a', id: 1 }], unanswered: ['c'] });
    expect(await ask('/ops/v1/receipts/c/1')).toMatchObject({ status: 503, body: { code: 'zone-unavailable' } });
  });
});

const RECEIPT = { table: 'orders', key: { id: 'x' }, shard: 5, epoch: 3, version: 2, foundBy: 'guard' };

interface Planted {
  readonly second: number;
  readonly table?: string;
  readonly shard?: number;
  readonly replacedBy?: object;
}

async function keep(zone: Zone, { second, table = 'orders', shard = 5, replacedBy }: Planted): Promise<void> {
  await three.query(
    zone,
    `INSERT INTO control.receipt (zone, found_at, found_by, table_name, row_key, shard, epoch, version, document, replaced_by)
     VALUES ($1, $2, 'guard', $3, '{"id": "x"}', $4, 3, 2, '{"id": "x", "status": "placed"}', $5)`,
    [zone, `2026-11-23T10:00:0${second}Z`, table, shard, replacedBy === undefined ? null : JSON.stringify(replacedBy)],
  );
}

async function ask(path: string): Promise<{ status: number; body: unknown }> {
  const { statusCode, body } = await request(url + path);
  return { status: statusCode, body: await body.json() };
}

/** @throws ZodError when it is no page */
async function list(query = ''): Promise<{ status: number; body: ReceiptPage }> {
  const { status, body } = await ask(`/ops/v1/receipts${query}`);
  return { status, body: receiptPage.parse(body) };
}

function namesOf({ receipts }: ReceiptPage): string[] {
  return receipts.map(({ zone, id }) => `${zone}/${id}`);
}
