/**
 * What coordinators leave behind, and what the next one makes of it, on three real voters. They stream nothing to each
 * other, so a move here never goes forward: it is refused, goes back, or is finished where its new owner was accepted.
 * Moves that go forward: ops-api/moves.pg.spec.ts, test/system.
 */
import { type MoveView } from '@borough/contracts';
import { Readiness } from '@borough/server-kit';
import { type Term } from '@borough/topology';
import { typeidUnboxed } from 'typeid-js';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createZoneDatabase } from '../../../../test/support/databases.js';
import { Leadership } from '../voters/leadership.js';
import { Network, ThreeVoters, type Zone, ZONES } from '../voters/three-voters.js';
import { type Voter } from '../voters/voter.js';
import { type Voters } from '../voters/voters.js';
import { RouterReports } from '../watch/router-reports.js';
import { ZoneProbes } from '../watch/zone-probes.js';
import { crashesFrom } from './crash-points.js';
import { ended, newMove, rejoined, withAbort, withShard } from './move-record.js';
import { Moves } from './moves.js';
import { undoOrphans } from './orphans.js';

const SHARD = 7;
const OTHER = 8;
const DEAD: Term = { number: 5, coordinator: 'dead' };
const PATIENT = { timeout: 10_000, interval: 20 };

let three: ThreeVoters;
let at: Record<Zone, Voter>;
const stops: (() => Promise<void>)[] = [];

beforeAll(async () => {
  three = await ThreeVoters.start(createZoneDatabase);
});

beforeEach(async () => {
  at = { a: three.voter('a'), b: three.voter('b'), c: three.voter('c') };
  for (const zone of ZONES) {
    await at[zone].promise(DEAD);
    for (const [shard, owner] of [
      [SHARD, 'a'],
      [OTHER, 'b'],
    ] as const) {
      await at[zone].accept(DEAD, shard, 1, owner);
      await at[zone].serve(DEAD, shard, 1, owner);
    }
  }
});

afterEach(async () => {
  await Promise.all(stops.splice(0).map((stop) => stop()));
  await three.clear();
});

afterAll(async () => {
  await three.stop();
});

interface Coordinator {
  readonly voters: Voters;
  readonly leadership: Leadership;
  readonly moves: Moves;
  readonly network: Network;
}

/** Takes the lead when the one it knows of is silent for a second. */
function start(id: string): Coordinator {
  const coordinator = stopped(id);
  coordinator.leadership.start();
  coordinator.moves.start();
  return coordinator;
}

/** Has the lead from its first moment on. */
async function startAndLead(id: string): Promise<Coordinator> {
  const coordinator = stopped(id);
  await three.judge(coordinator.voters);
  coordinator.leadership.start();
  coordinator.moves.start();
  return coordinator;
}

function stopped(id: string): Coordinator {
  const network = new Network();
  const voters = three.coordinator(id, network);
  const leadership = new Leadership(voters, new Readiness(), three.silent);
  const moves = new Moves({
    voters,
    leadership,
    probes: new ZoneProbes(new Map()),
    routers: new RouterReports(),
    crashes: crashesFrom(undefined),
    logger: three.silent,
    tableVersion: () => 0,
    answers: () => true,
    isReady: () => true,
  });
  stops.push(async () => {
    await moves.stop();
    await leadership.stop();
  });
  return { voters, leadership, moves, network };
}

/** The record of a move of shard 7 from a to b, as the dead coordinator began it. */
function recordOf(moveId = typeidUnboxed('mov')): MoveView {
  const shards = [{ shard: SHARD, from: 'a', to: 'b', epoch: 1 }];
  const plan = { shards, steps: [], checks: [], isBlocked: false, expectedPauseMs: 30 };
  const target = { kind: 'shards' as const, shards: [SHARD], to: 'b' };
  return newMove({ moveId, target, why: 'a test', requestedBy: 'spec' }, plan, new Date(), DEAD);
}

async function put(move: MoveView, zones: readonly Zone[] = ZONES): Promise<void> {
  for (const zone of zones) await at[zone].putMove(DEAD, move, move.state === 'running', undefined);
}

async function intend(moveId: string, zones: readonly Zone[], shard = SHARD, heir = 'b'): Promise<void> {
  for (const zone of zones) await at[zone].intend(DEAD, { shard, epoch: 1, heir, moveId });
}

async function fence(moveId: string): Promise<void> {
  await at.a.fence(DEAD, { shard: SHARD, epoch: 1, heir: 'b', moveId });
}

function everywhere(copy: string): Record<Zone, string> {
  return { a: copy, b: copy, c: copy };
}

async function endedRecord({ moves }: Coordinator, moveId: string): Promise<MoveView> {
  await expect.poll(async () => (await moves.find(moveId)).state, PATIENT).toBe('ended');
  return moves.find(moveId);
}

/** At one voter, as the last that reached anybody. */
async function freeze(voter: Zone, zones: readonly Zone[], moveId: string): Promise<void> {
  for (const zone of zones) {
    const members = ZONES.filter((other) => other !== zone);
    await at[voter].acceptInSync(zone, 1, { zone, members, version: 2, frozenBy: [moveId] });
  }
}

async function freezes(): Promise<number> {
  const rows = await Promise.all(
    ZONES.map((zone) => three.query(zone, `SELECT 1 FROM control.in_sync r WHERE r.frozen_by <> '{}'`)),
  );
  return rows.flat().length;
}

describe('a recorded move whose coordinator died (P11)', () => {
  it.each<[string, (move: MoveView) => Promise<void>, string, object]>([
    // The records say that b is good for it, but nothing streams here: it is begun, and goes back.
    ['before it did anything', async () => {}, 'serving a@2', { outcome: 'reverted', shards: [{ state: 'reverted' }] }],
    [
      'when one voter had heard of the intent',
      ({ moveId }) => intend(moveId, ['c']),
      'serving a@2',
      { outcome: 'reverted', shards: [{ state: 'reverted' }] },
    ],
    [
      'when a majority had, the owner not',
      ({ moveId }) => intend(moveId, ['b', 'c']),
      'serving a@2',
      { outcome: 'reverted', shards: [{ state: 'reverted' }] },
    ],
    [
      'when it was fenced',
      async ({ moveId }) => {
        await intend(moveId, ['b', 'c']);
        await fence(moveId);
      },
      'serving a@2',
      { outcome: 'reverted', shards: [{ state: 'reverted' }] },
    ],
    [
      'when one voter had accepted the heir',
      async ({ moveId }) => {
        await intend(moveId, ['b', 'c']);
        await fence(moveId);
        await at.c.accept(DEAD, SHARD, 2, 'b');
      },
      'serving b@2',
      { outcome: 'moved', shards: [{ state: 'moved' }] },
    ],
    [
      'when the heir served already, and nobody else knew',
      async ({ moveId }) => {
        await intend(moveId, ['b', 'c']);
        await fence(moveId);
        for (const zone of ['b', 'c'] as const) await at[zone].accept(DEAD, SHARD, 2, 'b');
        await at.b.serve(DEAD, SHARD, 2, 'b');
      },
      'serving b@2',
      { outcome: 'moved', shards: [{ state: 'moved' }] },
    ],
    [
      'when it had gone back, and one voter had accepted that',
      async ({ moveId }) => {
        await intend(moveId, ['b', 'c']);
        await fence(moveId);
        await at.a.accept(DEAD, SHARD, 2, 'a');
      },
      'serving a@2',
      { outcome: 'reverted', shards: [{ state: 'reverted' }] },
    ],
  ])('%s, is ended by the next one, with one owner everywhere', async (_what, leaveBehind, copy, record) => {
    const move = recordOf();
    await put(move);
    for (const zone of ZONES) await freeze(zone, ['a', 'b'], move.moveId);
    await leaveBehind(move);
    const next = await startAndLead('next');
    const end = await endedRecord(next, move.moveId);

    expect(end).toMatchObject({ ...record, coordinators: ['dead', 'next'] });
    expect(end.version).toBeGreaterThan(move.version);
    expect(await three.copiesOf(SHARD)).toEqual(everywhere(copy));
    expect(await three.copiesOf(OTHER)).toEqual(everywhere('serving b@1'));
    await expect.poll(freezes, PATIENT).toBe(0);
    expect(next.moves.has(SHARD)).toBe(false);
  });

  it('and which nobody but one voter had heard of, is ended too', async () => {
    const move = recordOf();
    await put(move, ['c']);
    const next = await startAndLead('next');

    await expect.poll(() => at.c.move(move.moveId), PATIENT).toMatchObject({ state: 'ended', outcome: 'reverted' });
    expect(await three.copiesOf(SHARD)).toEqual(everywhere('serving a@1'));
    expect(next.moves.runningIds).toEqual([]);
  });

  it('that was aborted is not begun', async () => {
    const move = withAbort(recordOf(), 'ben', new Date(0));
    await put(move);
    const end = await endedRecord(await startAndLead('next'), move.moveId);

    expect(end).toMatchObject({ outcome: 'aborted', abortRequestedBy: 'ben', shards: [{ state: 'kept' }] });
    expect(await three.copiesOf(SHARD)).toEqual(everywhere('serving a@1'));
  });

  it.each([0, 1, 3, 4, 6, 7, 8, 9, 10, 11, 13, 15])(
    'is ended by the third one when the second dies as well, after %d writes, and the record only goes forward',
    async (writes) => {
      const move = recordOf();
      await put(move);
      await intend(move.moveId, ['b', 'c']);
      const second = await startAndLead('second');
      second.network.writesLeft = writes;
      await expect.poll(() => second.network.lost, PATIENT).toBeGreaterThan(0);
      const stored = await Promise.all(ZONES.map((zone) => at[zone].move(move.moveId)));
      const third = await startAndLead('third');
      const end = await endedRecord(third, move.moveId);

      expect(end).toMatchObject({ outcome: 'reverted', shards: [{ state: 'reverted' }] });
      expect(end.coordinators.at(-1)).toBe('third');
      expect(end.version).toBeGreaterThan(Math.max(...stored.map((found) => found?.version ?? 0)));
      expect(await three.copiesOf(SHARD)).toEqual(everywhere('serving a@2'));
      await expect.poll(freezes, PATIENT).toBe(0);
    },
  );

  it('that ended is not begun again where one voter missed the end: that is told', async () => {
    const move = recordOf();
    await put(move);
    const end = ended(withShard(move, SHARD, { state: 'kept' }), new Date(), []);
    await put(end, ['a', 'b']);
    await startAndLead('next');

    await expect.poll(() => at.c.move(move.moveId), PATIENT).toEqual(end);
    expect(await at.a.move(move.moveId)).toEqual(end);
    expect(await three.copiesOf(SHARD)).toEqual(everywhere('serving a@1'));
  });
});

describe('what no recorded move owns', () => {
  it.each<[string, (moveId: string) => Promise<void>]>([
    ['an intent that all voters know', (moveId) => intend(moveId, ZONES)],
    ['an intent that reached one voter late', (moveId) => intend(moveId, ['c'])],
    ['an intent that reached the owner only', (moveId) => intend(moveId, ['a'])],
    ['a fence', (moveId) => fence(moveId)],
  ])('is undone: %s', async (_what, leaveBehind) => {
    await leaveBehind(typeidUnboxed('mov'));
    await startAndLead('next');

    await expect.poll(() => three.copiesOf(SHARD), PATIENT).toEqual(everywhere('serving a@2'));
    expect(await three.copiesOf(OTHER)).toEqual(everywhere('serving b@1'));
  });

  it('is undone: a freeze that one voter got late (T32)', async () => {
    await freeze('b', ['a', 'b'], typeidUnboxed('mov'));
    await startAndLead('next');
    await expect.poll(freezes, PATIENT).toBe(0);
  });

  it('is undone although its record ended long ago', async () => {
    const move = ended(withShard(recordOf(), SHARD, { state: 'kept' }), new Date(), []);
    await put(move);
    await intend(move.moveId, ['c']);
    await freeze('c', ['a', 'b'], move.moveId);
    await startAndLead('next');

    await expect.poll(() => three.copiesOf(SHARD), PATIENT).toEqual(everywhere('serving a@2'));
    await expect.poll(freezes, PATIENT).toBe(0);
  });

  it('is undone in a shard although the owner of another one is away', async () => {
    await intend(typeidUnboxed('mov'), ZONES);
    await intend(typeidUnboxed('mov'), ZONES, OTHER, 'a');
    await freeze('c', ['b'], typeidUnboxed('mov'));
    const next = stopped('next');
    next.network.away.add('a');
    await three.judge(next.voters);
    next.leadership.start();
    next.moves.start();

    const undone = { a: 'moving b@1', b: 'serving b@2', c: 'serving b@2' };
    await expect.poll(() => three.copiesOf(OTHER), PATIENT).toEqual(undone);
    await expect.poll(freezes, PATIENT).toBe(0);
    expect(await three.copiesOf(SHARD)).toEqual(everywhere('moving a@1'));
    next.network.away.clear();
    await expect.poll(() => three.copiesOf(SHARD), PATIENT).toEqual(everywhere('serving a@2'));
  });

  it('is left alone while a move that runs owns it', async () => {
    const move = recordOf();
    await put(move);
    await intend(move.moveId, ZONES);
    await freeze('c', ['a'], move.moveId);
    const voters = three.coordinator('x');
    const { term, readings } = await three.judge(voters);
    await undoOrphans({ voters, logger: three.silent }, term, readings);

    expect(await three.copiesOf(SHARD)).toEqual(everywhere('moving a@1'));
    expect(await freezes()).toBe(1);
  });

  it('is left alone when its move, a failover, was recorded after the moves were read, and has ended since (T36)', async () => {
    const failover: MoveView = { ...recordOf(), kind: 'failover', target: { kind: 'failover', zone: 'c' } };
    await freeze('c', ['a', 'b'], failover.moveId);
    const voters = three.coordinator('x');
    const { term, readings } = await three.judge(voters);
    const left = withShard(failover, SHARD, { state: 'moved', sealedOff: true });
    await voters.putMove(term, ended(left, new Date(), []));
    await undoOrphans({ voters, logger: three.silent }, term, readings);
    expect(await freezes()).toBe(2);

    await voters.putMove(term, rejoined(ended(left, new Date(), []), new Date()));
    await undoOrphans({ voters, logger: three.silent }, term, readings);
    expect(await freezes()).toBe(0);
  });
});

describe('a move that is asked for', () => {
  const request = {
    target: { kind: 'shards' as const, shards: [SHARD], to: 'b' },
    why: 'a test',
    requestedBy: 'spec',
    dryRun: false,
  };

  it('and blocked says by what, and changes nothing', async () => {
    const { moves } = await startAndLead('x');
    const before = await everything();
    await expect(moves.begin(request, 'key')).rejects.toMatchObject({
      code: 'move-blocked',
      facts: {
        members: {
          checks: [
            { check: 'heir-b-is-in-sync-with-a', isPassed: false },
            { check: 'heir-b-has-caught-up-with-a', isPassed: false },
            { check: 'tables-of-b-are-guarded-and-open', isPassed: false },
          ],
        },
      },
    });
    expect(await everything()).toEqual(before);
    expect(moves.runningIds).toEqual([]);
  });

  it('of a coordinator that does not lead is refused, and the leader named', async () => {
    await startAndLead('x');
    const y = start('y');
    await expect.poll(() => y.leadership.leader?.coordinator, PATIENT).toBe('x');
    await expect(y.moves.begin(request, undefined)).rejects.toMatchObject({
      code: 'not-leader',
      facts: { members: { leader: 'x' } },
    });
    await expect(y.moves.abort(typeidUnboxed('mov'), { requestedBy: 'spec' })).rejects.toMatchObject({
      code: 'not-leader',
    });
  });

  it('of a shard that a recorded move has is refused with that move, also before it is taken up', async () => {
    // Its loop does not run: the move is not taken up.
    const { moves, voters } = stopped('x');
    const { term } = await three.judge(voters);
    const move = recordOf();
    for (const zone of ZONES) await at[zone].putMove(term, move, true, undefined);
    await expect(moves.begin(request, undefined)).rejects.toMatchObject({
      code: 'shard-in-move',
      facts: { members: { moveId: move.moveId, shard: SHARD } },
    });
  });

  it('of a shard whose last move ended a moment ago is not refused because one voter has not heard of the end', async () => {
    const { moves, voters } = stopped('x');
    const { term } = await three.judge(voters);
    const move = recordOf();
    for (const zone of ZONES) await at[zone].putMove(term, move, true, undefined);
    const end = ended(withShard(move, SHARD, { state: 'kept' }), new Date(), []);
    for (const zone of ['a', 'b'] as const) await at[zone].putMove(term, end, false, undefined);

    await expect(moves.begin(request, undefined)).rejects.toMatchObject({ code: 'move-blocked' });
  });

  it('and stopped: what there is not, and what has ended', async () => {
    const { moves } = await startAndLead('x');
    const stop = (moveId: string): Promise<MoveView> => moves.abort(moveId, { requestedBy: 'spec' });
    await expect(stop(typeidUnboxed('mov'))).rejects.toMatchObject({ code: 'move-not-found' });
    const move = ended(withShard(recordOf(), SHARD, { state: 'kept' }), new Date(), []);
    for (const zone of ZONES) await at[zone].putMove({ number: 6, coordinator: 'x' }, move, true, undefined);
    await expect(stop(move.moveId)).rejects.toMatchObject({
      code: 'move-ended',
      facts: { members: { outcome: 'reverted' } },
    });
  });

  async function everything(): Promise<unknown[]> {
    const rows: unknown[] = [];
    for (const zone of ZONES)
      for (const table of ['ownership', 'in_sync', 'move'])
        rows.push(await three.query(zone, `SELECT * FROM control.${table} ORDER BY 1`));
    return rows;
  }
});
