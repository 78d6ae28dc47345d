/**
 * Failovers on three real voters that stream nothing to each other: who may be the heir, what is sealed, held and released,
 * what a dead coordinator leaves, and the way back. With streams, load and real deaths: test/system, `npm run drill`.
 */
import { type MoveView } from '@borough/contracts';
import { Readiness } from '@borough/server-kit';
import { type Term } from '@borough/topology';
import { typeidUnboxed } from 'typeid-js';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createZoneDatabase } from '../../../../test/support/databases.js';
import { Leadership } from '../voters/leadership.js';
import { Network, ThreeVoters, type Zone, ZONES } from '../voters/three-voters.js';
import { type Voter } from '../voters/voter.js';
import { isOpenMove, type Voters } from '../voters/voters.js';
import { RouterReports } from '../watch/router-reports.js';
import { ZoneProbes } from '../watch/zone-probes.js';
import { crashesFrom } from './crash-points.js';
import { newMove } from './move-record.js';
import { Moves } from './moves.js';

const SHARD = 7;
const OTHER = 8;
const OLD: Term = { number: 1, coordinator: 'old' };
const PATIENT = { timeout: 15_000, interval: 20 };
const FAILOVER = { kind: 'failover', zone: 'a' } as const;

let three: ThreeVoters;
let at: Record<Zone, Voter>;
const stops: (() => Promise<void>)[] = [];

/** Zone a owns shard 7, b owns 8; every zone waits for both others. */
beforeEach(async () => {
  three = await ThreeVoters.start(createZoneDatabase);
  at = { a: three.voter('a'), b: three.voter('b'), c: three.voter('c') };
  for (const zone of ZONES) {
    await three.query(zone, 'SELECT control.open_table(c.table_name::regclass) FROM control.closed_table c');
    await at[zone].promise(OLD);
    for (const [shard, owner] of [
      [SHARD, 'a'],
      [OTHER, 'b'],
    ] as const) {
      await at[zone].accept(OLD, shard, 1, owner);
      await at[zone].serve(OLD, shard, 1, owner);
    }
  }
  const voters = three.coordinator('first', new Network());
  for (const zone of ZONES) {
    for (const member of ZONES) if (member !== zone) await voters.changeRecord(zone, { kind: 'add', member });
  }
});

afterEach(async () => {
  await Promise.all(stops.splice(0).map((stop) => stop()));
  for (const link of ['borough_b_from_a', 'borough_c_from_a']) {
    for (const zone of ZONES) await three.query(zone, `DROP SUBSCRIPTION IF EXISTS ${link}`);
  }
  await three.clear();
  await three.stop();
});

interface Coordinator {
  readonly voters: Voters;
  readonly leadership: Leadership;
  readonly moves: Moves;
  readonly network: Network;
}

async function leading(id: string, ...away: Zone[]): Promise<Coordinator> {
  const network = new Network(...away);
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
    answers: (zone) => ![...network.away].some((lost) => lost === zone),
    isReady: () => true,
  });
  stops.push(async () => {
    await moves.stop();
    await leadership.stop();
  });
  await three.judge(voters);
  leadership.start();
  moves.start();
  await expect.poll(() => leadership.isLeading, PATIENT).toBe(true);
  return { voters, leadership, moves, network };
}

describe('a zone that does not answer', () => {
  it('is sealed off by every other one, and a recorded member serves what it owned', async () => {
    const { moves, voters } = await leading('one', 'a');
    const move = await failedOver(moves);

    expect(move).toMatchObject({
      outcome: 'moved',
      shards: [{ shard: SHARD, from: 'a', to: 'b', state: 'moved', sealedOff: true }],
    });
    expect(isOpenMove(move)).toBe(true);
    expect(await three.copiesOf(SHARD)).toEqual({ a: 'serving a@1', b: 'serving b@2', c: 'serving b@2' });
    expect(await three.copiesOf(OTHER)).toEqual({ a: 'serving b@1', b: 'serving b@1', c: 'serving b@1' });
    expect(await sealsAt('b')).toEqual(['a']);
    expect(await sealsAt('c')).toEqual(['a']);
    // Its own record stays as it is until it has rejoined; the heir waits for it no more.
    expect(await recordOf(voters, 'a')).toMatchObject({ members: ['b', 'c'], frozenBy: [move.moveId] });
    expect(await recordOf(voters, 'b')).toMatchObject({ members: ['c'], frozenBy: [] });
  });

  it('leaves its orders held until the routers know, and not longer', async () => {
    const { moves } = await leading('one', 'a');
    const { moveId } = await failedOver(moves);
    expect(await holds('b')).toEqual([{ move_id: moveId, reason: 'failover', is_released: true }]);
  });

  it('is left by the member that has the most of its log; one that has more than the heir is no member of it', async () => {
    await progress('b', 'borough_b_from_a', '0/200');
    await progress('c', 'borough_c_from_a', '0/300');
    const { moves, voters } = await leading('one', 'a');
    expect((await failedOver(moves)).shards).toMatchObject([{ to: 'c', state: 'moved' }]);
    // It never heard a beat of the lost zone, so nobody can say what is recent, and it cannot be healed in a hurry.
    expect(await recordOf(voters, 'c')).toMatchObject({ members: [] });
  });

  it('is not left by one that is not recorded, though it has more', async () => {
    await progress('b', 'borough_b_from_a', '0/200');
    await progress('c', 'borough_c_from_a', '0/300');
    const { moves, voters } = await leading('one', 'a');
    await voters.changeRecord('a', { kind: 'drop', member: 'c' });
    expect((await failedOver(moves)).shards).toMatchObject([{ to: 'b', state: 'moved' }]);
    expect(await recordOf(voters, 'b')).toMatchObject({ members: [] });
  });

  it('is not left when it was solo: the plan says why, nothing is changed', async () => {
    const { moves, voters } = await leading('one', 'a');
    for (const member of ['b', 'c']) await voters.changeRecord('a', { kind: 'drop', member });
    await expect(moves.begin(request(), undefined)).rejects.toMatchObject({ code: 'move-blocked' });
    const plan = await moves.plan(FAILOVER);
    expect(plan.checks.filter(({ isPassed }) => !isPassed)).toMatchObject([{ check: 'recorded-member' }]);
    expect(await three.copiesOf(SHARD)).toEqual({ a: 'serving a@1', b: 'serving a@1', c: 'serving a@1' });
    expect(await recordOf(voters, 'a')).toMatchObject({ frozenBy: [] });
  });

  it('that was solo when the failover began is given up, and its record thawed', async () => {
    const { moves, voters } = await leading('one', 'a');
    for (const member of ['b', 'c']) await voters.changeRecord('a', { kind: 'drop', member });
    const moveId = await recorded();
    const move = await ended(moves, moveId);
    expect(move).toMatchObject({ outcome: 'reverted', problem: expect.stringContaining('solo') as string });
    expect(await recordOf(voters, 'a')).toMatchObject({ frozenBy: [] });
    expect(await sealsAt('b')).toEqual([]);
  });
});

describe('a declared loss', () => {
  it('is told of before it is done: what may be lost, and since when', async () => {
    await three.query('b', "INSERT INTO zone_beats VALUES ('a', '2026-03-01T12:00:00Z')");
    const { moves, voters } = await leading('one', 'a');
    for (const member of ['b', 'c']) await voters.changeRecord('a', { kind: 'drop', member });
    const plan = await moves.plan({ ...FAILOVER, declareLost: true });
    expect(plan.isBlocked).toBe(false);
    expect(plan.steps[0]).toMatch(/^MAY BE LOST: what zone a acknowledged after 2026-03-01T12:00:00.*zone b/);
  });

  it('makes the zone with the most of the log the heir, and holds each order until somebody has looked at it', async () => {
    await progress('b', 'borough_b_from_a', '0/200');
    await progress('c', 'borough_c_from_a', '0/300');
    const { moves, voters } = await leading('one', 'a');
    for (const member of ['b', 'c']) await voters.changeRecord('a', { kind: 'drop', member });
    const move = await failedOver(moves, { ...FAILOVER, declareLost: true });
    expect(move).toMatchObject({ outcome: 'moved', shards: [{ to: 'c', state: 'moved' }] });
    expect(await holds('c')).toEqual([{ move_id: move.moveId, reason: 'declared-loss', is_released: false }]);
  });
});

describe('a zone whose database answers', () => {
  it('and whose members confirm nothing is sealed off all the same', async () => {
    const { moves } = await leading('one');
    // Nothing streams here, so nobody has applied up to the cut.
    const move = await failedOver(moves);
    expect(move).toMatchObject({ outcome: 'moved', shards: [{ state: 'moved', sealedOff: true }] });
    // It was fenced before, so that it serves nothing more whatever comes.
    expect((await three.copiesOf(SHARD)).a).not.toBe('serving a@1');
  });
});

describe('a coordinator that is killed in a failover', () => {
  it.each(Array.from({ length: 22 }, (_, writes) => writes))(
    'after %i writes is followed by one that finishes: one owner, all released, nothing frozen but the lost one',
    async (writes) => {
      const first = await leading('one', 'a');
      first.network.writesLeft = writes;
      const begun = await first.moves.begin(request(), undefined).catch(() => undefined);
      await expect.poll(() => first.network.writesLeft < 0 || isEnded(first, begun?.move), PATIENT).toBe(true);
      await first.moves.stop();
      await first.leadership.stop();

      const second = await leading('two', 'a');
      await expect
        .poll(async () => {
          const { b, c } = await three.copiesOf(SHARD);
          // Its record may have come to nobody: then it never began.
          if (b === 'serving a@1') await second.moves.begin(request(), undefined).catch(() => undefined);
          return b === c ? b : `${b} ${c}`;
        }, PATIENT)
        .toMatch(/^serving [bc]@2$/);
      const [move] = await second.moves.list(1);
      await ended(second.moves, move?.moveId ?? '');
      const heir = (await three.copiesOf(SHARD)).b === 'serving b@2' ? 'b' : 'c';
      expect(await sealsAt(heir)).toEqual(['a']);
      expect((await holds(heir)).every(({ is_released }) => is_released)).toBe(true);
      expect(await recordOf(second.voters, heir)).toMatchObject({ frozenBy: [] });
      expect((await recordOf(second.voters, 'a'))?.frozenBy).toHaveLength(1);
    },
  );
});

describe('a handover that waits for the zone that is lost', () => {
  it.each([
    ['intended', 'moving'],
    ['fenced', 'fenced'],
  ] as const)('%s: ends, and its shard goes where the failover takes it', async (_what, state) => {
    const moveId = await handover(state);
    const { moves, voters } = await leading('one', 'a');
    await expect.poll(() => moves.runningIds, PATIENT).toContain(moveId);
    const move = await failedOver(moves);
    expect(move).toMatchObject({ outcome: 'moved', shards: [{ shard: SHARD, state: 'moved', sealedOff: true }] });
    const left = await ended(moves, moveId);
    expect(left).toMatchObject({ shards: [{ state: 'kept' }], problem: expect.stringContaining('was lost') as string });
    expect(await recordOf(voters, 'b')).toMatchObject({ members: ['c'], frozenBy: [] });
    const { b, c } = await three.copiesOf(SHARD);
    expect([b, c]).toEqual([expect.stringMatching(/^serving [bc]@2$/), b]);
  });

  it('accepted for it: the lost zone never served at that epoch, another one does at the next', async () => {
    const moveId = await handover('fenced', OTHER, 'b', 'a');
    for (const zone of ['b', 'c'] as const) await at[zone].accept(OLD, OTHER, 2, 'a');
    const { moves } = await leading('one', 'a');
    const move = await failedOver(moves);
    expect(move.shards.map(({ shard, state }) => [shard, state]).sort()).toEqual([
      [SHARD, 'moved'],
      [OTHER, 'moved'],
    ]);
    expect((await three.copiesOf(OTHER)).c).toMatch(/^serving [bc]@3$/);
    await ended(moves, moveId);
  });
});

describe('the way back', () => {
  it('knows its loss, heals, is past its tail everywhere, unsealed, thawed: in this order, and by itself', async () => {
    const { moves, voters, network } = await leading('one', 'a');
    const { moveId } = await failedOver(moves);
    await expect.poll(() => moves.waitsFor('a'), PATIENT).toContain('does not answer');
    network.away.clear();
    await expect.poll(async () => (await three.copiesOf(SHARD)).a, PATIENT).toMatch(/^serving b@2$/);
    await expect.poll(() => moves.waitsFor('a'), PATIENT).toContain('heals');
    expect(await sealsAt('b')).toEqual(['a']);
    expect(await recordOf(voters, 'a')).toMatchObject({ frozenBy: [moveId] });

    await three.query('a', 'SELECT control.note_healed($1, $2)', [
      [SHARD, OTHER],
      [2, 1],
    ]);
    await expect.poll(async () => (await moves.find(moveId)).rejoinedAt, PATIENT).toBeDefined();
    for (const zone of ['b', 'c'] as const) expect(await sealsAt(zone)).toEqual([]);
    expect(await recordOf(voters, 'a')).toMatchObject({ frozenBy: [] });
    expect(moves.waitsFor('a')).toBeUndefined();
  });

  it('waits for a zone that was away when it was sealed off: that one has to pass its tail as well', async () => {
    const { moves, network } = await leading('one', 'a');
    const { moveId } = await failedOver(moves);
    await three.query('c', 'DELETE FROM control.seal'); // as if it had been away
    network.away.add('c');
    network.away.delete('a');
    await three.query('a', 'SELECT control.note_healed($1, $2)', [
      [SHARD, OTHER],
      [2, 1],
    ]);
    await expect.poll(() => moves.waitsFor('a'), PATIENT).toContain('zone c has not passed the tail');
    network.away.clear();
    await expect.poll(async () => (await moves.find(moveId)).rejoinedAt, PATIENT).toBeDefined();
    expect(await sealsAt('c')).toEqual([]);
  });

  it('takes a seal away that comes when the zone has long rejoined', async () => {
    const { moves, network } = await leading('one', 'a');
    const { moveId } = await failedOver(moves);
    network.away.clear();
    await three.query('a', 'SELECT control.note_healed($1, $2)', [
      [SHARD, OTHER],
      [2, 1],
    ]);
    await expect.poll(async () => (await moves.find(moveId)).rejoinedAt, PATIENT).toBeDefined();
    await three.query(
      'c',
      'INSERT INTO control.seal (zone, move_id, term_number, term_coordinator) VALUES ($1, $2, 1, $3)',
      ['a', moveId, 'late'],
    );
    await expect.poll(() => sealsAt('c'), PATIENT).toEqual([]);
  });
});

function request(target: { kind: 'failover'; zone: 'a'; declareLost?: true } = FAILOVER): {
  target: typeof target;
  why: string;
  requestedBy: string;
  dryRun: boolean;
} {
  return { target, why: 'it is lost', requestedBy: 'spec', dryRun: false };
}

async function failedOver(moves: Moves, target?: Parameters<typeof request>[0]): Promise<MoveView> {
  const { move } = await moves.begin(request(target), undefined);
  return ended(moves, move.moveId);
}

async function ended(moves: Moves, moveId: string): Promise<MoveView> {
  await expect.poll(async () => (await moves.find(moveId)).state, PATIENT).toBe('ended');
  return moves.find(moveId);
}

function isEnded({ moves }: Coordinator, move: MoveView | undefined): boolean {
  return move !== undefined && !moves.runningIds.includes(move.moveId);
}

/** A failover that a dead coordinator had recorded and no more. */
async function recorded(): Promise<string> {
  const moveId = typeidUnboxed('mov');
  const plan = {
    shards: [{ shard: SHARD, from: 'a', to: 'b', epoch: 1 }],
    steps: [],
    checks: [],
    isBlocked: false,
    expectedPauseMs: 1,
  };
  const asked = { moveId, target: FAILOVER, why: 'it is lost', requestedBy: 'spec' };
  const move = newMove(asked, plan, new Date(), OLD);
  const term = await higherTerm();
  for (const zone of ['b', 'c'] as const) await at[zone].putMove(term, move, true, undefined);
  return moveId;
}

/** A handover that an earlier coordinator left in the middle, its zones frozen for it. */
async function handover(state: 'moving' | 'fenced', shard = SHARD, from: Zone = 'a', to: Zone = 'b'): Promise<string> {
  const moveId = typeidUnboxed('mov');
  const plan = { shards: [{ shard, from, to, epoch: 1 }], steps: [], checks: [], isBlocked: false, expectedPauseMs: 1 };
  const target = { kind: 'shards' as const, shards: [shard], to };
  const move = newMove({ moveId, target, why: 'a test', requestedBy: 'spec' }, plan, new Date(), OLD);
  const voters = three.coordinator('first', new Network());
  for (const zone of [from, to]) await voters.changeRecord(zone, { kind: 'freeze', by: moveId });
  for (const zone of ZONES) {
    await at[zone].putMove(OLD, move, true, undefined);
    await at[zone].intend(OLD, { shard, epoch: 1, heir: to, moveId });
  }
  if (state === 'fenced') await at[from].fence(OLD, { shard, epoch: 1, heir: to, moveId });
  return moveId;
}

async function higherTerm(): Promise<Term> {
  const [row] = await three.query<{ number: string; coordinator: string }>('b', 'SELECT * FROM control.term');
  return { number: Number(row?.number ?? 1), coordinator: row?.coordinator ?? 'old' };
}

/** How far a zone has come with the log of a, which streams nothing here. */
async function progress(zone: Zone, link: string, position: string): Promise<void> {
  await three.query(
    zone,
    `CREATE SUBSCRIPTION ${link} CONNECTION 'host=127.0.0.1 port=1 password=none' PUBLICATION borough
       WITH (connect = false, slot_name = NONE, enabled = false)`,
  );
  await three.query(zone, `ALTER SUBSCRIPTION ${link} OWNER TO borough_owner`);
  await three.query(
    zone,
    `SELECT pg_replication_origin_advance('pg_' || s.oid, $2::pg_lsn) FROM pg_subscription s
      WHERE s.subname = $1 AND s.subdbid = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())`,
    [link, position],
  );
}

async function sealsAt(zone: Zone): Promise<string[]> {
  return (await three.query<{ zone: string }>(zone, 'SELECT s.zone FROM control.seal s')).map((row) => row.zone);
}

async function holds(zone: Zone): Promise<{ move_id: string; reason: string; is_released: boolean }[]> {
  return three.query(
    zone,
    'SELECT h.move_id, h.reason, h.released_at IS NOT NULL AS is_released FROM shard_holds h ORDER BY h.held_epoch',
  );
}

async function recordOf(
  voters: Voters,
  zone: Zone,
): Promise<{ members: readonly string[]; frozenBy: readonly string[] } | undefined> {
  // A freeze that does not apply reads the record on a majority and changes nothing.
  const { record } = await voters.changeRecord(zone, { kind: 'thaw', by: 'nobody' });
  return record;
}
