import { movePlan, type MoveTarget, type MoveView } from '@borough/contracts';
import { Problem } from '@borough/server-kit';
import { adoptedOwnership, type OwnershipRow, type VoterCopy } from '@borough/topology';
import { describe, expect, it } from 'vitest';
import { type ShardOwnership } from '../voters/ownership-of.js';
import { type ZoneFacts } from '../voters/voter.js';
import { newMove } from './move-record.js';
import { type PlanFacts, planMove } from './plan-move.js';

const ZONES = ['a', 'b', 'c'];
const TERM = { number: 1, coordinator: 'x' };

/** Shards 1 and 2 at a, 3 at b, 4 at c; every zone waits for every other and has caught up. */
const WELL: PlanFacts = {
  zones: ZONES,
  ownership: [owned(1, 'a', 7), owned(2, 'a', 1), owned(3, 'b', 2), owned(4, 'c', 1)],
  areas: [{ shard: 1, name: 'Centre', cells: ['85196953fffffff'] }],
  zoneFacts: new Map(ZONES.map((zone) => [zone, factsOf(zone)])),
  members: new Map(ZONES.map((zone) => [zone, ZONES.filter((other) => other !== zone)])),
  answering: ZONES,
  apiReady: new Map(ZONES.map((zone) => [zone, true])),
  recentPausesMs: [],
};

function owned(shard: number, owner: string, epoch: number, state: OwnershipRow['state'] = 'serving'): ShardOwnership {
  const isInMove = state === 'moving' || state === 'fenced';
  const row: OwnershipRow = {
    shard,
    epoch,
    state,
    owner,
    term: TERM,
    ...(isInMove ? { heir: 'b', moveId: 'mov-1' } : {}),
  };
  const copies = ZONES.map((voter): VoterCopy => ({ voter, row }));
  return { shard, copies, adopted: adoptedOwnership(copies, 3) };
}

function factsOf(zone: string, change: Partial<ZoneFacts> = {}): ZoneFacts {
  const others = ZONES.filter((other) => other !== zone);
  return {
    zone,
    waitsFor: others,
    behindBytes: Object.fromEntries(others.map((other) => [other, 0])),
    unguardedTables: [],
    closedTables: [],
    ...change,
  };
}

function withFacts(...changed: ZoneFacts[]): PlanFacts {
  return {
    ...WELL,
    zoneFacts: new Map([...WELL.zoneFacts, ...changed.map((facts) => [facts.zone, facts] as const)]),
    // Whom a zone waits for is who it has recorded.
    members: new Map([...WELL.members, ...changed.map(({ zone, waitsFor }) => [zone, waitsFor] as const)]),
  };
}

function toB(...shards: number[]): MoveTarget {
  return { kind: 'shards', shards, to: 'b' };
}

function refusal(target: MoveTarget, facts = WELL): string {
  try {
    planMove(target, facts);
  } catch (error) {
    if (error instanceof Problem) return `${error.code}: ${error.message}`;
    throw error;
  }
  return 'planned';
}

function failed(target: MoveTarget, facts: PlanFacts): string[] {
  const plan = planMove(target, facts);
  const checks = plan.checks.filter(({ isPassed }) => !isPassed).map(({ check }) => check);
  expect(plan.isBlocked).toBe(checks.length > 0);
  return checks;
}

function where(target: MoveTarget, facts = WELL): string[] {
  return planMove(target, facts).shards.map(({ shard, from, to }) => `${shard} ${from}→${to}`);
}

describe('a plan', () => {
  it('says what moves from where, at which epoch, and is on the wire as the contract says', () => {
    const plan = planMove(toB(1, 4), { ...WELL, inProcessOrders: new Map([[1, 12]]) });
    expect(movePlan.parse(plan)).toEqual(plan);
    expect(plan.shards).toEqual([
      { shard: 1, area: 'Centre', from: 'a', to: 'b', epoch: 7, inProcessOrders: 12 },
      { shard: 4, from: 'c', to: 'b', epoch: 1, inProcessOrders: 0 },
    ]);
    expect([plan.isBlocked, plan.checks.every(({ isPassed }) => isPassed)]).toEqual([false, true]);
    expect(planMove(toB(1), WELL).shards[0]).not.toHaveProperty('inProcessOrders');
  });

  it('expects the pause of the last move, or the design’s figure', () => {
    expect(planMove(toB(1), WELL).expectedPauseMs).toBe(30);
    expect(planMove(toB(1), { ...WELL, recentPausesMs: [14.5, 99] }).expectedPauseMs).toBe(14.5);
  });

  it('leaves out what is there already', () => {
    expect(where(toB(1, 3))).toEqual(['1 a→b']);
  });

  it.each<[MoveTarget, string]>([
    [toB(3), 'nothing-to-move: Zone b owns all of these shards already.'],
    [{ kind: 'drain', zone: 'b', to: 'b' }, 'nothing-to-move: Zone b owns no shard.'],
    [{ kind: 'undrain', zone: 'a' }, 'nothing-to-move: No drain'],
    [{ kind: 'shards', shards: [1], to: 'd' }, 'zone-not-found: There is no zone d; there are a, b, c.'],
    [{ kind: 'drain', zone: 'd' }, 'zone-not-found'],
    [{ kind: 'drain', zone: 'a', to: 'd' }, 'zone-not-found'],
    [{ kind: 'undrain', zone: 'd' }, 'zone-not-found'],
    [toB(9), 'shard-not-found: There is no shard 9.'],
  ])('for %j is refused: %s', (target, text) => {
    expect(refusal(target)).toContain(text);
  });

  it('for a shard that is half-installed says that it may be tried again', () => {
    const facts = { ...WELL, ownership: [owned(1, 'a', 7, 'accepted')] };
    expect(refusal(toB(1), facts)).toMatch(/^shard-unsettled: .*shard 1 /);
  });
});

describe('a drain', () => {
  it('moves everything a zone owns, to one zone', () => {
    expect(where({ kind: 'drain', zone: 'a', to: 'c' })).toEqual(['1 a→c', '2 a→c']);
  });

  it('without a zone to move to spreads over the others in turn', () => {
    const ownership = [1, 2, 3, 4, 5].map((shard) => owned(shard, 'a', 1));
    const facts = { ...WELL, ownership };
    expect(where({ kind: 'drain', zone: 'a' }, facts)).toEqual(['1 a→b', '2 a→c', '3 a→b', '4 a→c', '5 a→b']);
  });

  it.each<[string, PlanFacts]>([
    ['whose API is not ready', { ...WELL, apiReady: new Map([['b', false]]) }],
    [
      'that the drained zone does not wait for',
      withFacts(factsOf('a', { waitsFor: ['c'] }), factsOf('c', { waitsFor: ['a'] })),
    ],
    ['with a table that takes no writes', withFacts(factsOf('b', { closedTables: ['orders'] }))],
  ])('leaves out a zone %s', (_what, facts) => {
    const plan = planMove({ kind: 'drain', zone: 'a' }, facts);
    expect(plan.shards.map(({ to }) => to)).toEqual(['c', 'c']);
    expect(plan.isBlocked).toBe(false);
  });

  it('with no zone that is able is planned all the same, and says what blocks it', () => {
    const facts = { ...WELL, apiReady: new Map(ZONES.map((zone) => [zone, false])) };
    expect(failed({ kind: 'drain', zone: 'a' }, facts)).toEqual(['heir-b-is-ready', 'heir-c-is-ready']);
  });
});

describe('an undrain', () => {
  it('takes back what the last drain moved and nobody moved on since', () => {
    const drain = planMove({ kind: 'drain', zone: 'a', to: 'b' }, WELL);
    const shards: MoveView['shards'] = [
      { shard: 1, from: 'a', to: 'b', epoch: 7, state: 'moved' },
      { shard: 2, from: 'a', to: 'b', epoch: 1, state: 'moved' },
      { shard: 3, from: 'a', to: 'b', epoch: 2, state: 'reverted' },
    ];
    const request = { moveId: 'mov-1', target: { kind: 'drain', zone: 'a' }, why: 'w', requestedBy: 'r' } as const;
    const lastDrain = { ...newMove(request, drain, new Date(0), TERM), shards };
    const ownership = [owned(1, 'b', 8), owned(2, 'c', 3), owned(3, 'b', 2)];
    expect(where({ kind: 'undrain', zone: 'a' }, { ...WELL, ownership, lastDrain })).toEqual(['1 b→a']);
  });
});

describe('a check blocks a move', () => {
  it.each<[string, PlanFacts, string[]]>([
    [
      'without a majority of voters',
      { ...WELL, zoneFacts: new Map([['a', factsOf('a')]]) },
      ['majority-of-voters', 'heir-b-answers'],
    ],
    [
      'from a zone whose database is away',
      {
        ...WELL,
        zoneFacts: new Map([
          ['b', factsOf('b')],
          ['c', factsOf('c')],
        ]),
      },
      ['owner-a-answers'],
    ],
    [
      'to a zone whose database is away',
      {
        ...WELL,
        zoneFacts: new Map([
          ['a', factsOf('a')],
          ['c', factsOf('c')],
        ]),
      },
      ['heir-b-answers'],
    ],
    ['to a zone whose API is not ready', { ...WELL, apiReady: new Map([['b', false]]) }, ['heir-b-is-ready']],
    [
      'to a zone the owner does not wait for (M4), though others do',
      withFacts(factsOf('a', { waitsFor: ['c'] })),
      ['heir-b-is-in-sync-with-a'],
    ],
    [
      'to a zone that takes in nothing of the owner',
      withFacts(factsOf('a', { behindBytes: { c: 0 } })),
      ['heir-b-has-caught-up-with-a'],
    ],
    [
      'to a zone that is far behind',
      withFacts(factsOf('a', { behindBytes: { b: 16 * 1_048_576 + 1, c: 0 } })),
      ['heir-b-has-caught-up-with-a'],
    ],
    [
      'to a zone that waits for one which the owner does not wait for (T5)',
      withFacts(factsOf('a', { waitsFor: ['b'] })),
      ['members-of-b-are-members-of-a'],
    ],
    [
      'to a zone with a table that is not guarded',
      withFacts(factsOf('b', { unguardedTables: ['orders'] })),
      ['tables-of-b-are-guarded-and-open'],
    ],
    [
      'to a zone with a table that takes no writes yet',
      withFacts(factsOf('b', { closedTables: ['orders'] })),
      ['tables-of-b-are-guarded-and-open'],
    ],
    ['of a shard that is moving already', { ...WELL, ownership: [owned(1, 'a', 7, 'moving')] }, ['shard-1-is-serving']],
    ['of a shard that is fenced', { ...WELL, ownership: [owned(1, 'a', 7, 'fenced')] }, ['shard-1-is-serving']],
  ])('%s', (_what, facts, checks) => {
    expect(failed(toB(1), facts)).toEqual(checks);
  });

  it('and says what was seen', () => {
    const plan = planMove(
      toB(1),
      withFacts(factsOf('a', { waitsFor: ['b'] }), factsOf('b', { closedTables: ['orders'] })),
    );
    const details = plan.checks.filter(({ isPassed }) => !isPassed).map(({ detail }) => detail);
    expect(details).toEqual([
      'Zone b waits for c, which may lack writes of zone a: wait until they have caught up.',
      'In zone b these tables are closed or not guarded: orders.',
    ]);
  });

  it.each<[string, PlanFacts]>([
    ['an API nobody knows the address of', { ...WELL, apiReady: new Map() }],
    ['an heir that is a little behind', withFacts(factsOf('a', { behindBytes: { b: 16 * 1_048_576, c: 0 } }))],
    [
      'a third zone that is away',
      {
        ...WELL,
        zoneFacts: new Map([
          ['a', factsOf('a')],
          ['b', factsOf('b')],
        ]),
      },
    ],
    ['an heir that waits for the old owner and nobody else', withFacts(factsOf('b', { waitsFor: ['a'] }))],
  ])('not because of %s', (_what, facts) => {
    expect(failed(toB(1), facts)).toEqual([]);
  });
});
