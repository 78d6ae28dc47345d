/** Audits as ops people see them: over HTTP, of three real databases. What the zones' own runners write is written here. */
import 'reflect-metadata';
import { type AddressInfo } from 'node:net';
import { type NestFastifyApplication } from '@nestjs/platform-fastify';
import { auditList, auditView, type AuditView, zonesView } from '@borough/contracts';
import { request } from 'undici';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { createZoneDatabase } from '../../../../test/support/databases.js';
import { startCoordinator } from '../coordinator.js';
import { ThreeVoters, type Zone, ZONES } from '../voters/three-voters.js';

const ID = '019ab02d-9ab7-7000-8c5d-15e1d1f2a04c';
const NOBODY = '019ab02d-9ab7-7000-8c5d-15e1d1f2a04d';
const PAIR = {
  rowsCompared: 100,
  rowsRead: 3,
  differing: [] as object[],
  undecided: 0,
  isComplete: true,
  taken: 0,
  receipts: 0,
};
const DIFFERENCE = {
  table: 'orders',
  key: ['019ab02d-9ab7-7007-8c5d-15e1d1f2a04c'],
  shard: 7,
  owner: { epoch: 2, version: 3 },
};

let three: ThreeVoters;
let app: NestFastifyApplication;
let url: string;

beforeAll(async () => {
  three = await ThreeVoters.start(createZoneDatabase);
  await start();
});

afterEach(async () => {
  for (const zone of ZONES) await three.query(zone, 'TRUNCATE control.audit, control.healing_progress');
});

afterAll(async () => {
  await app.close();
  await three.clear();
  await three.stop();
});

async function open(...away: Zone[]): Promise<void> {
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

/** One that leads. */
async function start(...away: Zone[]): Promise<void> {
  await open(...away);
  await vi.waitFor(async () => {
    expect((await ask('/ops/v1/zones')).body).toMatchObject({ leader: { isThisOne: true } });
  }, 10_000);
}

async function ask(path: string, body?: object): Promise<{ status: number; body: unknown }> {
  const answer = await request(`${url}${path}`, {
    method: body === undefined ? 'GET' : 'POST',
    ...(body === undefined ? {} : { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
  });
  return { status: answer.statusCode, body: await answer.body.json() };
}

async function begin(scope: object = {}): Promise<AuditView> {
  const { status, body } = await ask('/ops/v1/audits', { auditId: ID, requestedBy: 'ana@laptop', ...scope });
  expect([status, body]).toMatchObject([202, {}]);
  return auditView.parse(body);
}

const find = async (): Promise<AuditView> => auditView.parse((await ask(`/ops/v1/audits/${ID}`)).body);

/** As the zone's runner does. */
async function end(zone: Zone, pairs: readonly object[]): Promise<void> {
  await three.query(
    zone,
    "UPDATE control.audit SET state = 'ended', result = $2, ended_at = clock_timestamp() WHERE id = $1",
    [ID, JSON.stringify({ pairs })],
  );
}

const pairsOf = (copy: Zone): object[] =>
  ZONES.filter((owner) => owner !== copy).map((owner) => ({ ...PAIR, owner, copy }));

describe('an audit', () => {
  it('is begun in every zone, and ends when every zone has ended its part', async () => {
    const begun = await begin({ why: 'a drill' });
    expect(begun).toMatchObject({
      auditId: ID,
      state: 'waiting',
      request: { heal: false, why: 'a drill' },
      requestedBy: 'ana@laptop',
      isCancelled: false,
      zones: ZONES.map((zone) => ({ zone, state: 'waiting' })),
      unanswered: [],
      pairs: [],
      isEqual: false,
    });

    const progress = { owner: 'b', table: 'orders', rowsCompared: 12 };
    await three.query('a', "UPDATE control.audit SET state = 'running', progress = $1", [JSON.stringify(progress)]);
    expect(await find()).toMatchObject({
      state: 'running',
      zones: [{ zone: 'a', state: 'running', progress }, {}, {}],
    });
    await end('a', pairsOf('a'));
    await end('b', pairsOf('b'));
    expect(await find()).toMatchObject({ state: 'running', rowsCompared: 400, isEqual: false });
    await end('c', pairsOf('c'));
    expect(await find()).toMatchObject({
      state: 'ended',
      rowsCompared: 600,
      rowsRead: 18,
      differing: 0,
      undecided: 0,
      isEqual: true,
    });
  });

  it.each<[string, object]>([
    ['a row differs', { differing: [DIFFERENCE] }],
    ['nobody can tell of a row', { undecided: 1 }],
    ['there may be more', { isComplete: false }],
    ['an owner could not be asked', { problem: 'no answer' }],
  ])('is not equal when %s', async (_what, found) => {
    await begin();
    for (const zone of ZONES) await end(zone, pairsOf(zone));
    expect(await find()).toMatchObject({ isEqual: true });
    await end('b', [{ ...PAIR, owner: 'a', copy: 'b', ...found }, ...pairsOf('b').slice(1)]);

    const view = await find();
    expect(view).toMatchObject({ state: 'ended', isEqual: false });
    expect(view.pairs).toContainEqual({ ...PAIR, owner: 'a', copy: 'b', ...found });
  });

  it('is not equal as long as a zone has not compared what it holds of every other one', async () => {
    await begin();
    for (const zone of ['a', 'b'] as const) await end(zone, pairsOf(zone));
    await end('c', pairsOf('c').slice(1));
    expect(await find()).toMatchObject({ state: 'ended', differing: 0, isEqual: false });
    await end('c', pairsOf('c'));
    expect(await find()).toMatchObject({ isEqual: true });
  });

  it('of some zones is equal when these have what each other owns', async () => {
    await begin({ zones: ['a', 'c'] });
    await end('a', [{ ...PAIR, owner: 'c', copy: 'a' }]);
    await end('c', []);
    expect(await find()).toMatchObject({ state: 'ended', isEqual: false });
    await end('c', [{ ...PAIR, owner: 'a', copy: 'c' }]);
    expect(await find()).toMatchObject({ isEqual: true });
  });

  it('of some zones is asked of these', async () => {
    await begin({ zones: ['a', 'c'], tables: ['orders'], since: '2026-11-23T10:00:00Z', heal: true });
    const view = await find();
    expect(view.zones.map(({ zone }) => zone)).toEqual(['a', 'c']);
    expect(view).toMatchObject({
      unanswered: [],
      request: { zones: ['a', 'c'], tables: ['orders'], since: '2026-11-23T10:00:00Z', heal: true },
    });
    expect(await three.query('b', 'SELECT 1 FROM control.audit')).toEqual([]);
  });

  it('that is asked for again with the same id is begun once', async () => {
    await begin();
    await end('a', pairsOf('a'));
    const again = await begin({ heal: true });
    expect(again).toMatchObject({ request: { heal: false }, zones: [{ state: 'ended' }, {}, {}] });
  });

  it('is cancelled in every zone that has not ended it', async () => {
    await begin();
    await end('a', pairsOf('a'));
    expect((await ask(`/ops/v1/audits/${ID}/cancel`, {})).status).toBe(200);

    const cancelled = ZONES.map((zone) => three.query(zone, 'SELECT a.is_cancelled FROM control.audit a'));
    expect((await Promise.all(cancelled)).flat()).toEqual([
      { is_cancelled: false },
      { is_cancelled: true },
      { is_cancelled: true },
    ]);
    for (const zone of ['b', 'c'] as const) await end(zone, []);
    expect(await find()).toMatchObject({ state: 'ended', isCancelled: true, isEqual: false });
  });

  it('is listed with those that zones make by themselves, the newest first', async () => {
    await begin();
    await three.query(
      'b',
      `INSERT INTO control.audit (id, request, requested_by) VALUES ($1, '{"heal": false}', 'schedule')`,
      [NOBODY],
    );
    const { audits } = auditList.parse((await ask('/ops/v1/audits')).body);
    expect(audits).toMatchObject([
      { auditId: NOBODY, requestedBy: 'schedule', zones: [{ zone: 'b' }], unanswered: [] },
      { auditId: ID, zones: [{ zone: 'a' }, { zone: 'b' }, { zone: 'c' }] },
    ]);
    expect(auditList.parse((await ask('/ops/v1/audits?limit=1')).body).audits).toHaveLength(1);
  });

  it.each<[string, object, number, string]>([
    ['one zone only', { requestedBy: 'x', zones: ['a'] }, 422, 'validation-failed'],
    ['a zone that is not there', { requestedBy: 'x', zones: ['a', 'd'] }, 404, 'zone-not-found'],
    ['nobody who asks', {}, 422, 'validation-failed'],
    ['no instant', { requestedBy: 'x', since: 'yesterday' }, 422, 'validation-failed'],
    ['what is no table', { requestedBy: 'x', tables: ['orders; --'] }, 422, 'validation-failed'],
    ['more than it knows', { requestedBy: 'x', force: true }, 422, 'validation-failed'],
  ])('with %s is refused', async (_what, body, status, code) => {
    expect(await ask('/ops/v1/audits', body)).toMatchObject({ status, body: { code } });
  });

  it('that nobody asked for is not found', async () => {
    expect(await ask(`/ops/v1/audits/${NOBODY}`)).toMatchObject({ status: 404, body: { code: 'audit-not-found' } });
    expect(await ask(`/ops/v1/audits/${NOBODY}/cancel`, {})).toMatchObject({
      status: 404,
      body: { code: 'audit-not-found' },
    });
    expect(await ask('/ops/v1/audits/x')).toMatchObject({ status: 400, body: { code: 'malformed-id' } });
  });

  it('names the zone that does not answer: what it holds is not known', async () => {
    await app.close();
    await start('c');
    const begun = await begin();
    expect(begun).toMatchObject({ unanswered: ['c'], zones: [{ zone: 'a' }, { zone: 'b' }] });
    for (const zone of ['a', 'b'] as const) await end(zone, pairsOf(zone));
    expect(await find()).toMatchObject({ state: 'ended', unanswered: ['c'], isEqual: false });
    await app.close();
    await start();
  });
});

describe('with most zones away', () => {
  it('nobody says that an audit is not there', async () => {
    await app.close();
    await open('b', 'c');
    expect(await ask(`/ops/v1/audits/${NOBODY}`)).toMatchObject({ status: 503, body: { code: 'zone-unavailable' } });
    await app.close();
    await start();
  });
});

describe('status', () => {
  it('says of the last audit of everything what it found and how old it is, and how far a healing is', async () => {
    await begin();
    await end('b', [
      { ...PAIR, owner: 'a', copy: 'b', differing: [DIFFERENCE], undecided: 2 },
      { ...PAIR, owner: 'c', copy: 'b', problem: 'no answer' },
    ]);
    await three.query('a', 'INSERT INTO control.healing_progress VALUES ($1, 10, 100, 9, 1)', ['c']);
    const { zones } = zonesView.parse((await ask('/ops/v1/zones')).body);
    const of = (zone: Zone) => zones.find((each) => each.zone === zone);

    expect(of('b')).toMatchObject({
      lastAudit: { auditId: ID, rowsCompared: 200, differing: 1, undecided: 2, problem: 'no answer' },
      healing: [],
    });
    const problems = [
      'its last audit found other rows than their owners have (1): run borough audit --heal. Runbook: audit',
      'its last audit could not tell of 2 rows. Runbook: audit',
      'its last audit did not see everything: no answer. Runbook: audit',
    ];
    expect(of('b')?.problems).toEqual(expect.arrayContaining(problems));
    expect(of('a')).toMatchObject({ healing: [{ from: 'c', rowsDone: 10, rowsTotal: 100, taken: 9, receipts: 1 }] });
    expect(of('a')?.lastAudit).toBeUndefined();
  });

  it('says that the last audit is old', async () => {
    await begin();
    for (const zone of ZONES) await end(zone, pairsOf(zone));
    await three.query('a', "UPDATE control.audit SET ended_at = ended_at - interval '4 hours'");
    const { zones } = zonesView.parse((await ask('/ops/v1/zones')).body);
    const auditsIn = (zone: Zone) =>
      zones.find((each) => each.zone === zone)?.problems.filter((problem) => problem.includes('audit'));
    expect(auditsIn('a')).toEqual(['its last audit ended 4 hours ago. Runbook: audit']);
    expect(auditsIn('b')).toEqual([]);
  });

  it('is not told by an audit of some tables, or by one that was cancelled', async () => {
    await begin({ tables: ['orders'] });
    await end('b', [{ ...PAIR, owner: 'a', copy: 'b', differing: [DIFFERENCE] }]);
    const { zones } = zonesView.parse((await ask('/ops/v1/zones')).body);
    expect(zones.some(({ lastAudit }) => lastAudit !== undefined)).toBe(false);
  });
});
