import { type ZonesView } from '@borough/contracts';
import { expect, it } from 'vitest';
import { whatIsMissing } from './cluster-state.js';

type ZoneStatus = ZonesView['zones'][number];

function member(zone: string, peer: string, more: Partial<ZoneStatus> = {}): ZoneStatus {
  return {
    zone,
    isDatabaseReachable: true,
    isApiReady: true,
    ownedShards: 1,
    health: 'healthy',
    waitsFor: [peer],
    recordedMembers: [peer],
    sealedOffBy: [],
    frozenBy: [],
    problems: [],
    ...more,
  };
}

function view(more: Partial<ZoneStatus> = {}, ofAll: Partial<ZonesView> = {}): ZonesView {
  return {
    answeredBy: '1',
    leader: { coordinator: '1', term: 1, isThisOne: true },
    tableVersion: 1,
    zones: [member('a', 'b'), member('b', 'a', more)],
    routers: [],
    runningMoves: [],
    ...ofAll,
  };
}

it('nothing is missing where every zone is healthy and a member of every other one', () => {
  expect(whatIsMissing(view())).toEqual([]);
});

it.each<[Partial<ZoneStatus>, string]>([
  [{ isDatabaseReachable: false }, 'zone b has no database'],
  [{ isApiReady: false }, 'zone b is not ready'],
  [{ health: 'database-silent' }, 'zone b is database-silent'],
  [{ recordedMembers: [] }, 'zone b has no record of a'],
  [{ waitsFor: [] }, 'zone b does not wait for a'],
  [{ sealedOffBy: ['a'] }, 'zone b is sealed off by a'],
  [{ frozenBy: ['mov_1'] }, 'zone b is frozen by mov_1'],
])('%o is missing something', (more, missing) => {
  expect(whatIsMissing(view(more))).toEqual([missing]);
});

it('a zone of which nothing is known is no member', () => {
  const silent = { zone: 'b', isDatabaseReachable: true, ownedShards: 1, problems: [] };
  expect(whatIsMissing(view({}, { zones: [member('a', 'b'), silent] }))).toEqual([
    'zone b has no record of a',
    'zone b does not wait for a',
  ]);
});

it('a move under way, and nobody who leads, are missing too', () => {
  const { answeredBy, tableVersion, zones, routers } = view();
  const leaderless = { answeredBy, tableVersion, zones, routers, runningMoves: ['mov_1'] };
  expect(whatIsMissing(leaderless)).toEqual(['nobody leads', 'mov_1 is under way']);
});
