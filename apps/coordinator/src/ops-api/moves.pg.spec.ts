/**
 * Moves as ops people see them, over HTTP: two coordinators, and three servers of this file's own that stream to each
 * other and wait for each other, since whom commits wait for is a setting of a whole server.
 */
import 'reflect-metadata';
import { rmSync } from 'node:fs';
import { type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { type NestFastifyApplication } from '@nestjs/platform-fastify';
import {
  type AuditPage,
  auditPage,
  type MovePlan,
  movePlan,
  type MoveTarget,
  type MoveView,
  moveView,
  type RoutingSnapshot,
  ROUTER_ID_HEADER,
  type ShardsView,
  shardsView,
  TABLE_VERSION_HEADER,
  type ZonesView,
  zonesView,
} from '@borough/contracts';
import { createLogger, Readiness } from '@borough/server-kit';
import { newUuid } from '@borough/topology';
import { randomBytes } from 'node:crypto';
import { latLngToCell } from 'h3-js';
import pg from 'pg';
import { typeidUnboxed } from 'typeid-js';
import { request } from 'undici';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { CHECKOUT } from '../../../../infra/local/checkout.js';
import { type Cluster, startCluster } from '../../../../infra/local/cluster.js';
import { freeTestPortBase } from '../../../../test/support/test-ports.js';
import { migrate } from '../../../zone/src/migrations/migrate.js';
import { startCoordinator } from '../coordinator.js';
import { HANDOVER_STEPS } from '../moves/crash-points.js';
import { Moves } from '../moves/moves.js';
import { Leadership } from '../voters/leadership.js';
import { type Zone, ZONES } from '../voters/three-voters.js';
import { Voter } from '../voters/voter.js';
import { Voters } from '../voters/voters.js';
import { RouterReports } from '../watch/router-reports.js';
import { ZoneProbes } from '../watch/zone-probes.js';

const DIRECTORY = join(CHECKOUT, '.borough', 'tests', `${process.pid}-moves-api`);
const PATIENT = { timeout: 15_000, interval: 20 };

let cluster: Cluster;
/** As the superuser, who waits for no member. */
const zones = new Map<Zone, pg.Client>();
let one: Coordinator;
let two: Coordinator;
let leader: Coordinator;
let areas = 0;

interface Coordinator {
  readonly app: NestFastifyApplication;
  readonly url: string;
}

beforeAll(async () => {
  cluster = await startCluster({
    directory: DIRECTORY,
    portBase: await freeTestPortBase(8_200),
    services: 'infrastructure',
    report: () => undefined,
  });
  await Promise.all(cluster.addresses.zones.map(({ postgres }) => migrate(postgres.ownerUrl)));
  for (const zone of ZONES) {
    zones.set(zone, await connect(zone));
    await sql(zone, 'INSERT INTO control.zone (id) VALUES ($1)', [zone]);
    await sql(zone, 'UPDATE control.voter SET is_voting = true');
    await sql(zone, 'SELECT control.open_table(c.table_name::regclass) FROM control.closed_table c');
  }
  for (const zone of ZONES) for (const other of ZONES) if (zone !== other) await link(zone, other);
  for (const zone of ZONES) await waitForOthers(zone);
  // With one id: their names differ all the same.
  one = await startOne();
  two = one;
  leader = await whoLeads();
  two = await startOne();
});

afterEach(async () => {
  for (const zone of ZONES) await sql(zone, 'ROLLBACK');
  await expect.poll(async () => (await zonesOf(leader)).runningMoves, PATIENT).toEqual([]);
});

afterAll(async () => {
  await Promise.all([one.app.close(), two.app.close()]);
  await Promise.all([...zones.values()].map((client) => client.end()));
  await cluster.stop();
  rmSync(DIRECTORY, { recursive: true, force: true });
});

describe('a move', () => {
  it('is begun with 202, and ends with the heir serving everywhere, its record kept', async () => {
    const shard = await newArea('a');
    const { status, headers, body } = await ask<MoveView>(leader, '/ops/v1/moves', moving([shard], 'b'));
    expect([status, headers['location']]).toEqual([202, `/ops/v1/moves/${body.moveId}`]);
    expect(body).toMatchObject({
      state: 'running',
      why: 'a test',
      requestedBy: 'spec',
      coordinators: [await nameOf(leader)],
    });

    const end = await ended(body.moveId);
    expect(moveView.parse(end)).toEqual(end);
    expect(end).toMatchObject({ outcome: 'moved', shards: [{ shard, from: 'a', to: 'b', epoch: 1, state: 'moved' }] });
    expect(end).not.toHaveProperty('problem');
    expect(end.pauseMs?.max).toBeGreaterThan(0);
    expect(await statusOf(shard)).toMatchObject({
      state: 'serving',
      owner: 'b',
      epoch: 2,
      copies: copies('serving b@2'),
    });
    for (const coordinator of [one, two]) {
      await expect
        .poll(() => entryOf(coordinator, shard), PATIENT)
        .toEqual({ shard, epoch: 2, state: 'serving', owner: 'b' });
      expect((await ask<MoveView>(coordinator, `/ops/v1/moves/${body.moveId}`)).body).toEqual(end);
    }
    await expect.poll(frozenRecords, PATIENT).toEqual([]);
    await sql('b', 'SELECT control.begin_write($1)', [shard]);
    await expect(sql('a', 'SELECT control.begin_write($1)', [shard])).rejects.toMatchObject({ code: 'BR421' });
  });

  it('with one Idempotency-Key is one move, also when it has ended, and whichever coordinator is asked', async () => {
    const shard = await newArea('a');
    const key = { 'idempotency-key': `key-${shard}` };
    const first = await ask<MoveView>(leader, '/ops/v1/moves', moving([shard], 'b'), key);
    const again = await ask<MoveView>(leader, '/ops/v1/moves', moving([shard], 'b'), key);
    const end = await ended(first.body.moveId);
    const later = await ask<MoveView>(leader, '/ops/v1/moves', moving([shard], 'b'), key);

    expect([first.status, again.status, later.status]).toEqual([202, 200, 200]);
    expect(again.body.moveId).toBe(first.body.moveId);
    expect(later.body).toEqual(end);
    expect(await statusOf(shard)).toMatchObject({ epoch: 2 });
  });

  it('has a shard to itself: a second one is refused with the first one’s id; another shard moves beside it', async () => {
    const [shard, other] = [await newArea('a'), await newArea('a')];
    await stopApplyingAt('b', shard);
    const first = await ask<MoveView>(leader, '/ops/v1/moves', moving([shard], 'b'));
    const second = await ask(leader, '/ops/v1/moves', moving([other, shard], 'c'));
    const beside = await ask<MoveView>(leader, '/ops/v1/moves', moving([other], 'c'));
    expect([second.status, second.body]).toMatchObject([
      409,
      { code: 'shard-in-move', moveId: first.body.moveId, shard },
    ]);
    expect(beside.status).toBe(202);
    await sql('b', 'COMMIT');

    expect(await ended(first.body.moveId)).toMatchObject({ outcome: 'moved' });
    expect(await ended(beside.body.moveId)).toMatchObject({ outcome: 'moved' });
  });

  it('goes back to its owner when the heir does not apply up to the cut in time (M4), and may be tried again', async () => {
    const shard = await newArea('a');
    await stopApplyingAt('b', shard);
    const { body } = await ask<MoveView>(leader, '/ops/v1/moves', moving([shard], 'b'));
    const end = await ended(body.moveId);
    await sql('b', 'COMMIT');

    expect(end).toMatchObject({
      outcome: 'reverted',
      problem: expect.stringContaining('zone b did not apply') as string,
    });
    expect(end.shards[0]?.state).toBe('reverted');
    expect(await statusOf(shard)).toMatchObject({ owner: 'a', epoch: 2, copies: copies('serving a@2') });
    expect(await move([shard], 'b')).toMatchObject({ outcome: 'moved' });
  });

  it('goes back as well when a zone that the heir waits for does not (T5)', async () => {
    const shard = await newArea('a');
    await stopApplyingAt('c', shard);
    const end = await move([shard], 'b');
    await sql('c', 'COMMIT');
    expect(end).toMatchObject({
      outcome: 'reverted',
      problem: expect.stringContaining('zone c did not apply') as string,
    });
  });

  it('that is stopped before its point of no return goes back', async () => {
    const shard = await newArea('a');
    await stopApplyingAt('b', shard);
    const { body } = await ask<MoveView>(leader, '/ops/v1/moves', moving([shard], 'b'));
    await expect
      .poll(async () => (await ask<MoveView>(leader, body.moveId)).body.shards[0]?.state, PATIENT)
      .toBe('fenced');
    const stopped = await ask<MoveView>(leader, `/ops/v1/moves/${body.moveId}/abort`, { requestedBy: 'ben' });
    await sql('b', 'COMMIT');

    expect([stopped.status, stopped.body]).toMatchObject([202, { state: 'running', abortRequestedBy: 'ben' }]);
    expect(await ended(body.moveId)).toMatchObject({ outcome: 'aborted', shards: [{ state: 'reverted' }] });
    expect(await statusOf(shard)).toMatchObject({ owner: 'a', epoch: 2 });
    const late = await ask(leader, `/ops/v1/moves/${body.moveId}/abort`, { requestedBy: 'ben' });
    expect([late.status, late.body]).toMatchObject([409, { code: 'move-ended', outcome: 'aborted' }]);
  });

  it('of a whole zone spreads over the others, and is undone: what somebody moved on since stays', async () => {
    const shards = [await newArea('a'), await newArea('a'), await newArea('a')];
    const drained = await run({ kind: 'drain', zone: 'a' });
    expect(drained.outcome).toBe('moved');
    expect((await zonesOf(leader)).zones.map(({ ownedShards }) => ownedShards)[0]).toBe(0);
    expect(new Set(drained.shards.map(({ to }) => to))).toEqual(new Set(['b', 'c']));
    const [first] = drained.shards.filter(({ shard }) => shards.includes(shard));
    await move([first?.shard ?? -1], first?.to === 'b' ? 'c' : 'b');

    const undrained = await run({ kind: 'undrain', zone: 'a' });
    const back = drained.shards.map(({ shard }) => shard).filter((shard) => shard !== first?.shard);
    expect(undrained.shards.map(({ shard }) => shard).sort()).toEqual(back.sort());
    expect(undrained.outcome).toBe('moved');
  });

  it('waits for the routers, and ends without one that is late, which it names', async () => {
    const shard = await newArea('a');
    const follow = setInterval(() => void reportAs('follows', Number.MAX_SAFE_INTEGER), 50);
    await reportAs('late', 1);
    const end = await move([shard], 'b');
    clearInterval(follow);
    expect(end).toMatchObject({ outcome: 'moved', lateRouters: ['late'] });
    await reportAs('late', Number.MAX_SAFE_INTEGER);
    expect(await move([shard], 'a')).not.toHaveProperty('lateRouters');
    expect((await zonesOf(leader)).routers.map(({ routerId }) => routerId)).toEqual(['follows', 'late']);
  });
});

describe('a dry run', () => {
  it('answers with the plan, at any coordinator, and changes nothing', async () => {
    const shard = await newArea('a');
    await insertStore(shard);
    const before = [await statusOf(shard), (await ask(leader, '/ops/v1/moves?limit=1')).body];
    for (const coordinator of [one, two]) {
      const { status, body } = await ask<MovePlan>(coordinator, '/ops/v1/moves', {
        ...moving([shard], 'b'),
        dryRun: true,
      });
      expect(status).toBe(200);
      expect(movePlan.parse(body)).toEqual(body);
      expect(body).toMatchObject({
        isBlocked: false,
        shards: [{ shard, from: 'a', to: 'b', epoch: 1, inProcessOrders: 0 }],
      });
      expect(body.checks.map(({ check }) => check)).toEqual([
        'majority-of-voters',
        'owner-a-answers',
        'heir-b-answers',
        'heir-b-is-in-sync-with-a',
        'heir-b-has-caught-up-with-a',
        'members-of-b-are-members-of-a',
        'tables-of-b-are-guarded-and-open',
      ]);
    }
    expect([await statusOf(shard), (await ask(leader, '/ops/v1/moves?limit=1')).body]).toEqual(before);
  });

  it('of a move that would be refused says what blocks it; asked for, it is refused and nothing is changed', async () => {
    const shard = await newArea('a');
    await sql('b', 'ALTER TABLE orders DISABLE TRIGGER borough_inserted');
    const plan = await ask<MovePlan>(leader, '/ops/v1/moves', { ...moving([shard], 'b'), dryRun: true });
    const refused = await ask(leader, '/ops/v1/moves', moving([shard], 'b'));
    await sql('b', 'ALTER TABLE orders ENABLE ALWAYS TRIGGER borough_inserted');

    expect(plan.body.isBlocked).toBe(true);
    const checks = plan.body.checks.filter(({ isPassed }) => !isPassed);
    expect(checks.map(({ check }) => check)).toEqual(['tables-of-b-are-guarded-and-open']);
    expect([refused.status, refused.body]).toMatchObject([409, { code: 'move-blocked', retry: 'never', checks }]);
    expect(await statusOf(shard)).toMatchObject({ owner: 'a', epoch: 1, copies: copies('serving a@1') });
  });
});

describe('a request that cannot be', () => {
  it.each<[string, object, number, string]>([
    ['of a zone there is not', { target: { kind: 'drain', zone: 'd' } }, 404, 'zone-not-found'],
    ['of a shard there is not', { target: { kind: 'shards', shards: [4000], to: 'b' } }, 404, 'shard-not-found'],
    ['of nothing', { target: { kind: 'shards', shards: [], to: 'b' } }, 422, 'validation-failed'],
    ['that names a shard twice', { target: { kind: 'shards', shards: [1, 1], to: 'b' } }, 422, 'validation-failed'],
    ['of no kind', { target: { kind: 'fail-over', zone: 'a' } }, 422, 'validation-failed'],
    ['that gives no reason', { why: '' }, 422, 'validation-failed'],
    ['with a member nobody knows', { force: true }, 422, 'validation-failed'],
  ])('%s is refused', async (_what, change, status, code) => {
    const answer = await ask(leader, '/ops/v1/moves', { ...moving([0], 'b'), ...change });
    expect([answer.status, answer.body['code']]).toEqual([status, code]);
  });

  it.each(['/ops/v1/moves/ord_01h455vb4pex5vsknk084sn02q', '/ops/v1/moves/7', '/ops/v1/moves/7/events'])(
    'for the id of %s is refused',
    async (path) => {
      const answer = await ask(leader, path);
      expect([answer.status, answer.body['code']]).toEqual([400, 'malformed-id']);
    },
  );

  it.each(['', '/events'])('for a move there is not is refused: %s', async (more) => {
    const answer = await ask(two, `/ops/v1/moves/${typeidUnboxed('mov')}${more}`);
    expect([answer.status, answer.body['code']]).toEqual([404, 'move-not-found']);
  });

  it('to stop what cannot be stopped is refused', async () => {
    const body = { requestedBy: 'ben' };
    const unknown = await ask(leader, `/ops/v1/moves/${typeidUnboxed('mov')}/abort`, body);
    const malformed = await ask(leader, '/ops/v1/moves/7/abort', body);
    expect([unknown.body['code'], malformed.body['code']]).toEqual(['move-not-found', 'malformed-id']);
  });

  it('at a coordinator that does not lead is refused, and the leader named', async () => {
    const follower = leader === one ? two : one;
    for (const [path, body] of [
      ['/ops/v1/moves', moving([0], 'b')],
      [`/ops/v1/moves/${typeidUnboxed('mov')}/abort`, { requestedBy: 'ben' }],
    ] as const) {
      const { status, body: problem } = await ask(follower, path, body);
      expect([status, problem]).toMatchObject([503, { code: 'not-leader', leader: await nameOf(leader) }]);
    }
  });
});

describe('following a move', () => {
  it('tells of its progress and then its end, versions growing, at either coordinator', async () => {
    const shard = await newArea('a');
    await stopApplyingAt('b', shard);
    const { body } = await ask<MoveView>(leader, '/ops/v1/moves', moving([shard], 'b'));
    const streams = [one, two].map((coordinator) => eventsOf(coordinator, body.moveId));
    await expect
      .poll(async () => (await ask<MoveView>(leader, `/ops/v1/moves/${body.moveId}`)).body.shards[0]?.state, PATIENT)
      .toBe('fenced');
    await sql('b', 'COMMIT');
    const end = await ended(body.moveId);

    for (const events of await Promise.all(streams)) {
      expect(events.map(({ event }) => event)).toEqual([...events.slice(1).map(() => 'progress'), 'ended']);
      expect(events.length).toBeGreaterThan(1);
      const versions = events.map(({ id }) => id);
      expect(versions).toEqual([...new Set(versions)].sort((a, b) => a - b));
      for (const { id, data } of events) expect(moveView.parse(data).version).toBe(id);
      expect(events.at(-1)?.data).toEqual(end);
    }
    const states = (await streams[one === leader ? 0 : 1])?.flatMap(({ data }) =>
      data.shards.map(({ state }) => state),
    );
    expect([...new Set(states)]).toEqual(expect.arrayContaining(['fenced', 'accepted', 'moved']));
  });

  it('that has ended tells of the end at once', async () => {
    const { moveId } = await move([await newArea('a')], 'b');
    for (const coordinator of [one, two])
      expect(await eventsOf(coordinator, moveId)).toMatchObject([
        { event: 'ended', data: { moveId, outcome: 'moved' } },
      ]);
  });
});

describe('what ops people see', () => {
  it('of the zones: who answers and leads, whom each waits for, what is not right', async () => {
    for (const coordinator of [one, two]) {
      const view = await zonesOf(coordinator);
      expect(zonesView.parse(view)).toEqual(view);
      expect(view.answeredBy).toMatch(/^c1\.[0-9a-f]{4}$/);
      expect(view.leader).toMatchObject({ coordinator: await nameOf(leader), isThisOne: coordinator === leader });
      expect(view.zones.map(({ zone, waitsFor, isSolo, problems }) => [zone, waitsFor, isSolo, problems])).toEqual([
        ['a', ['b', 'c'], false, []],
        ['b', ['a', 'c'], false, []],
        ['c', ['a', 'b'], false, []],
      ]);
    }
    expect(await nameOf(one)).not.toBe(await nameOf(two));
  });

  it('of a move under way: which zones it has frozen', async () => {
    const shard = await newArea('a');
    await stopApplyingAt('b', shard);
    const { body } = await ask<MoveView>(leader, '/ops/v1/moves', moving([shard], 'b'));
    await expect
      .poll(() => statusOf(shard), PATIENT)
      .toMatchObject({ state: 'fenced', heir: 'b', moveId: body.moveId });
    const view = await zonesOf(one === leader ? two : one);
    expect(view.runningMoves).toEqual([body.moveId]);
    expect(view.zones.map(({ frozenBy }) => frozenBy)).toEqual([[body.moveId], [body.moveId], []]);
    await sql('b', 'COMMIT');
    await ended(body.moveId);
  });

  it('of the shards: owner, area, and every copy', async () => {
    const shard = await newArea('c', 'Harbour');
    const { body } = await ask<ShardsView>(two, '/ops/v1/shards');
    expect(shardsView.parse(body)).toEqual(body);
    const numbers = body.shards.map((found) => found.shard);
    expect(numbers).toEqual([...numbers].sort((a, b) => a - b));
    expect(await statusOf(shard)).toEqual({
      shard,
      epoch: 1,
      state: 'serving',
      owner: 'c',
      area: 'Harbour',
      copies: copies('serving c@1'),
    });
  });

  it('of the past: each move with who, why and what came of it, the newest first, page by page', async () => {
    const shard = await newArea('a');
    const first = await move([shard], 'b');
    const second = await move([shard], 'c');
    const whole = await ask<AuditPage>(two, '/ops/v1/audit-log?limit=2');
    expect(auditPage.parse(whole.body)).toEqual(whole.body);
    expect(whole.body.entries.map(({ what, moveId, who, why }) => [what, moveId, who, why])).toEqual([
      ['move.ended', second.moveId, 'spec', 'a test'],
      ['move.requested', second.moveId, 'spec', 'a test'],
      ['move.ended', first.moveId, 'spec', 'a test'],
      ['move.requested', first.moveId, 'spec', 'a test'],
    ]);
    expect(whole.body.entries[0]?.detail).toMatch(/^moved: 1 of 1 shards moved, writes paused [\d.]+ ms/);
    expect(whole.body.entries[1]?.detail).toBe(`shards ${shard} to zone c: 1 shards`);
    expect(whole.body.next).toBe(first.moveId);

    const older = await ask<AuditPage>(two, `/ops/v1/audit-log?limit=1&before=${second.moveId}`);
    expect(new Set(older.body.entries.map(({ moveId }) => moveId))).toEqual(new Set([first.moveId]));
    const page = await ask<{ moves: MoveView[]; next?: string }>(two, `/ops/v1/moves?limit=1&before=${second.moveId}`);
    expect(page.body).toMatchObject({ moves: [{ moveId: first.moveId }], next: first.moveId });
  });

  it('of a past that is asked for wrongly: nothing', async () => {
    const cursor = await ask(two, '/ops/v1/audit-log?before=x');
    expect([cursor.status, cursor.body['code']]).toEqual([400, 'malformed-cursor']);
  });

  it.each(['audit-log?limit=0', 'audit-log?colour=red', 'moves?before=x', 'moves?limit=101'])(
    'of a past that is asked for wrongly: %s is a malformed query',
    async (query) => {
      const answer = await ask(two, `/ops/v1/${query}`);
      expect([answer.status, answer.body['code']]).toEqual([400, 'malformed-query']);
    },
  );
});

describe('a coordinator that is closed in the middle of a move', () => {
  it('leaves it to the next one, which ends it, and the key of the request still finds it', async () => {
    const shard = await newArea('a');
    await stopApplyingAt('b', shard);
    const key = { 'idempotency-key': `key-${shard}` };
    const { body } = await ask<MoveView>(leader, '/ops/v1/moves', moving([shard], 'b'), key);
    await expect.poll(() => statusOf(shard), PATIENT).toMatchObject({ state: 'fenced' });
    const [closed, next] = leader === one ? [one, two] : [two, one];
    const nameOfClosed = await nameOf(closed);
    await closed.app.close();
    leader = next;
    await sql('b', 'COMMIT');
    const end = await ended(body.moveId);
    [one, two] = [next, next];
    await whoLeads();
    const again = await ask<MoveView>(next, '/ops/v1/moves', moving([shard], 'b'), key);
    two = await startOne();

    expect(end).toMatchObject({ outcome: 'moved', coordinators: [nameOfClosed, await nameOf(next)] });
    expect([again.status, again.body]).toEqual([200, end]);
    expect(await statusOf(shard)).toMatchObject({
      state: 'serving',
      epoch: 2,
      owner: 'b',
    });
    await expect.poll(frozenRecords, PATIENT).toEqual([]);
  });
});

describe('a move whose record is stored slowly', () => {
  it('is carried out once, although its coordinator looks for moves meanwhile', async () => {
    const shard = await newArea('a');
    const logger = createLogger('spec', 'silent');
    const slow = cluster.addresses.zones.map(
      ({ id, postgres }) => new SlowToRecord(id, postgres.controlUrl, { name: 'spec', logger }),
    );
    const voters = new Voters('slow', slow, logger);
    const reached: string[] = [];
    const moves = new Moves({
      voters,
      leadership: new Leadership(voters, new Readiness(), logger),
      probes: new ZoneProbes(new Map()),
      routers: new RouterReports(),
      crashes: {
        at: (point) => {
          reached.push(point);
        },
        isAimedAt: () => false,
      },
      logger,
      tableVersion: () => 0,
      answers: () => true,
      isReady: () => true,
    });
    await voters.asLeader(() => Promise.resolve());
    moves.start();
    const target = { kind: 'shards' as const, shards: [shard], to: 'b' };
    const { move } = await moves.begin({ target, why: 'a test', requestedBy: 'spec', dryRun: false }, undefined);
    await expect.poll(async () => (await moves.find(move.moveId)).outcome, PATIENT).toBe('moved');
    await moves.stop();
    await voters.end();
    leader = await whoLeads();

    // And passes every step at which a drill may end it; those for a part of the voters, when they are aimed at only.
    expect(reached).toEqual(HANDOVER_STEPS.filter((point) => !point.endsWith('-at-one')));
  });
});

/** Longer than a coordinator waits between two looks for moves. */
class SlowToRecord extends Voter {
  private hasRecorded = false;

  override async putMove(...parameters: Parameters<Voter['putMove']>): Promise<void> {
    if (!this.hasRecorded) await new Promise((resolve) => setTimeout(resolve, 700));
    this.hasRecorded = true;
    await super.putMove(...parameters);
  }
}

async function startOne(): Promise<Coordinator> {
  const app = await startCoordinator({
    COORDINATOR_ID: 'c1',
    HTTP_HOST: '127.0.0.1',
    HTTP_PORT: 0,
    NATS_URL: cluster.addresses.natsUrl,
    VOTER_DATABASE_URLS: new Map(cluster.addresses.zones.map(({ id, postgres }) => [id, postgres.controlUrl])),
    READ_EVERY_MS: 50,
    ZONE_URLS: new Map(),
    FAILOVER_POLICY: 'manual',
    FAILOVER_BACK_OFF_MS: 60_000,
    LOG_LEVEL: 'silent',
  });
  return { app, url: `http://127.0.0.1:${(app.getHttpServer().address() as AddressInfo).port}` };
}

function whoLeads(): Promise<Coordinator> {
  return vi.waitFor(async () => {
    for (const coordinator of [one, two])
      if ((await zonesOf(coordinator)).leader?.isThisOne === true) return coordinator;
    throw new Error('nobody leads');
  }, PATIENT);
}

interface Answer<Body> {
  readonly status: number;
  readonly headers: Record<string, string | string[] | undefined>;
  readonly body: Body;
}

/** A GET, or with a body a POST; a bare move id stands for the path of that move. */
async function ask<Body = Record<string, unknown>>(
  { url }: Coordinator,
  path: string,
  body?: object,
  headers: Record<string, string> = {},
): Promise<Answer<Body>> {
  const answer = await request(url + (path.startsWith('/') ? path : `/ops/v1/moves/${path}`), {
    method: body === undefined ? 'GET' : 'POST',
    headers: body === undefined ? headers : { ...headers, 'content-type': 'application/json' },
    body: body === undefined ? null : JSON.stringify(body),
  });
  return { status: answer.statusCode, headers: answer.headers, body: (await answer.body.json()) as Body };
}

function moving(shards: number[], to: string): object {
  return { target: { kind: 'shards', shards, to }, why: 'a test', requestedBy: 'spec' };
}

async function run(target: MoveTarget): Promise<MoveView> {
  const { status, body } = await ask<MoveView>(leader, '/ops/v1/moves', { target, why: 'a test', requestedBy: 'spec' });
  expect([status, body], JSON.stringify(body)).toMatchObject([202, {}]);
  return ended(body.moveId);
}

function move(shards: number[], to: string): Promise<MoveView> {
  return run({ kind: 'shards', shards, to });
}

async function ended(moveId: string): Promise<MoveView> {
  await expect.poll(async () => (await ask<MoveView>(leader, moveId)).body.state, PATIENT).toBe('ended');
  return (await ask<MoveView>(leader, moveId)).body;
}

interface MoveEvent {
  readonly id: number;
  readonly event: string;
  readonly data: MoveView;
}

/** All events until the stream ends by itself. */
async function eventsOf({ url }: Coordinator, moveId: string): Promise<MoveEvent[]> {
  const { statusCode, headers, body } = await request(`${url}/ops/v1/moves/${moveId}/events`);
  expect([statusCode, headers['content-type']]).toEqual([200, 'text/event-stream']);
  const blocks = (await body.text()).split('\n\n').filter((block) => block.startsWith('id:'));
  return blocks.map((block) => {
    const field = (name: string): string => new RegExp(`^${name}: (.*)$`, 'm').exec(block)?.[1] ?? '';
    return { id: Number(field('id')), event: field('event'), data: JSON.parse(field('data')) as MoveView };
  });
}

async function zonesOf(coordinator: Coordinator): Promise<ZonesView> {
  return (await ask<ZonesView>(coordinator, '/ops/v1/zones')).body;
}

async function nameOf(coordinator: Coordinator): Promise<string> {
  return (await zonesOf(coordinator)).answeredBy;
}

async function statusOf(shard: number): Promise<ShardsView['shards'][0] | undefined> {
  return (await ask<ShardsView>(leader, '/ops/v1/shards')).body.shards.find((found) => found.shard === shard);
}

async function entryOf(coordinator: Coordinator, shard: number): Promise<object | undefined> {
  const { body } = await ask<RoutingSnapshot>(coordinator, '/v1/routing');
  return body.entries.find((entry) => entry.shard === shard);
}

function copies(copy: string): Record<Zone, string> {
  return { a: copy, b: copy, c: copy };
}

/** A router that polls. */
async function reportAs(router: string, tableVersion: number): Promise<void> {
  const headers = { [ROUTER_ID_HEADER]: router, [TABLE_VERSION_HEADER]: String(tableVersion) };
  await ask(leader, '/v1/routing', undefined, headers);
}

/** An area nobody else in this file uses. @returns its shard */
async function newArea(zone: Zone, name?: string): Promise<number> {
  areas += 1;
  const cells = [latLngToCell(areas % 60, 2 * areas, 5)];
  const { status, body } = await ask<{ shard: number }>(leader, '/ops/v1/areas', {
    name: name ?? `area ${areas}`,
    cells,
    zone,
  });
  expect(status, JSON.stringify(body)).toBe(201);
  return body.shard;
}

/** Until its session commits: the changes of a row written now do not get in. */
async function stopApplyingAt(zone: Zone, shard: number): Promise<void> {
  await sql(zone, 'BEGIN');
  await sql(zone, 'LOCK TABLE stores IN ACCESS EXCLUSIVE MODE');
  await insertStore(shard);
}

async function insertStore(shard: number): Promise<void> {
  await sql(
    'a',
    `INSERT INTO stores (id, shard, epoch, name, latitude, longitude, created_at)
     SELECT $1, $2, control.begin_write($2), 'a store', 1, 2, now()`,
    [newUuid(shard, Date.now(), () => randomBytes(16)), shard],
  );
}

async function sql(zone: Zone, text: string, parameters: readonly unknown[] = []): Promise<unknown[]> {
  const client = zones.get(zone);
  if (client === undefined) throw new Error(`no zone ${zone}`);
  return (await client.query<Record<string, unknown>>(text, [...parameters])).rows;
}

/** Zones whose in-sync record a move keeps as it is, as a majority has it. */
async function frozenRecords(): Promise<string[]> {
  const { body } = await ask<ZonesView>(leader, '/ops/v1/zones');
  return body.zones.filter(({ frozenBy }) => (frozenBy ?? []).length > 0).map(({ zone }) => zone);
}

function addressOf(zone: Zone): (typeof cluster.addresses.zones)[0]['postgres'] {
  const found = cluster.addresses.zones.find(({ id }) => id === zone);
  if (found === undefined) throw new Error(`no zone ${zone}`);
  return found.postgres;
}

async function connect(zone: Zone): Promise<pg.Client> {
  const client = new pg.Client({
    connectionString: `${addressOf(zone).superuserUrl}?options=-csynchronous_commit%3Dlocal`,
  });
  await client.connect();
  return client;
}

/** As the mesh of the zones makes it: the slot first, and by itself. */
async function link(subscriber: Zone, publisher: Zone): Promise<void> {
  const name = `borough_${subscriber}_from_${publisher}`;
  const { hostname, port, pathname, username, password } = new URL(addressOf(publisher).replicationUrl);
  await sql(publisher, "SELECT pg_create_logical_replication_slot($1, 'pgoutput')", [name]);
  await sql(
    subscriber,
    `CREATE SUBSCRIPTION ${name}
       CONNECTION 'host=${hostname} port=${port} dbname=${pathname.slice(1)} user=${username} password=${decodeURIComponent(password)}'
       PUBLICATION borough WITH (origin = none, copy_data = false, synchronous_commit = 'local', create_slot = false)`,
  );
}

async function waitForOthers(zone: Zone): Promise<void> {
  const names = ZONES.filter((other) => other !== zone).map((other) => `borough_${other}_from_${zone}`);
  await sql(zone, `ALTER SYSTEM SET synchronous_standby_names = 'FIRST 2 (${names.join(', ')})'`);
  await sql(zone, 'SELECT pg_reload_conf()');
  // As a majority has it, once the zone's agent has recorded them.
  for (const voter of ZONES) {
    await sql(voter, `SELECT control.accept_in_sync($1, 1, $2, 1, '{}')`, [
      zone,
      ZONES.filter((other) => other !== zone),
    ]);
  }
}
