import { type ZonesView, type ZoneStatus } from '@borough/contracts';
import { describe, expect, it } from 'vitest';
import { PLAIN } from '../terminal/paint.js';
import { faultsOf, statusLines } from './status-lines.js';

const MOVE_ID = 'mov_01h455vb4pex5vsknk084sn02q';

function zone(name: string, more: Partial<ZoneStatus> = {}): ZoneStatus {
  const waitsFor = ['a', 'b', 'c'].filter((other) => other !== name);
  return { zone: name, isDatabaseReachable: true, isApiReady: true, ownedShards: 4, waitsFor, problems: [], ...more };
}

function leaderless(more: Partial<ZonesView> = {}): ZonesView {
  return {
    answeredBy: 'coordinator-1',
    tableVersion: 20,
    zones: [zone('a'), zone('b'), zone('c')],
    routers: [{ routerId: 'router-1', tableVersion: 20, reportedMsAgo: 400, heldRequests: 0 }],
    runningMoves: [],
    ...more,
  };
}

function view(more: Partial<ZonesView> = {}): ZonesView {
  return { ...leaderless(more), leader: { coordinator: 'coordinator-2', term: 4, isThisOne: false } };
}

describe('what is wrong', () => {
  it('is nothing in a healthy cluster, also while a move runs', () => {
    expect(faultsOf(view())).toEqual([]);
    expect(
      faultsOf(view({ zones: [zone('a', { frozenBy: [MOVE_ID] }), zone('b'), zone('c')], runningMoves: [MOVE_ID] })),
    ).toEqual([]);
  });

  it.each<[string, Partial<ZonesView>, RegExp]>([
    ['a solo zone', { zones: [zone('a', { isSolo: true, waitsFor: [] })] }, /zone a: it is SOLO/],
    [
      'a silent database',
      { zones: [zone('a', { isDatabaseReachable: false })] },
      /zone a: its database does not answer/,
    ],
    ['an API that is not ready', { zones: [zone('a', { isApiReady: false })] }, /zone a: its API is not ready/],
    ['what the coordinator says', { zones: [zone('a', { problems: ['12 MB behind'] })] }, /zone a: 12 MB behind/],
    [
      'a zone that another does not wait for',
      { zones: [zone('a', { waitsFor: ['b'] }), zone('b'), zone('c')] },
      /zone a: its commits do not wait for zone c/,
    ],
    ['a freeze left behind', { zones: [zone('a', { frozenBy: [MOVE_ID] })] }, /still frozen by mov_/],
    [
      'a silent router',
      { routers: [{ routerId: 'r', tableVersion: 20, reportedMsAgo: 4000, heldRequests: 0 }] },
      /router r is silent for 4\.0 s/,
    ],
    [
      'a late router',
      { routers: [{ routerId: 'r', tableVersion: 19, reportedMsAgo: 4, heldRequests: 0 }] },
      /router r still has table version 19, not 20/,
    ],
    ['no router', { routers: [] }, /no router reports/],
  ])('%s', (_, more, expected) => {
    const faults = faultsOf(view(more));

    expect(faults).toHaveLength(1);
    expect(faults[0]).toMatch(expected);
  });

  it('names nobody leading', () => {
    expect(faultsOf(leaderless())).toEqual([expect.stringContaining('no coordinator leads')]);
  });

  it('begins with the solo zone: what it acknowledges can be lost', () => {
    const zones = [zone('a', { problems: ['x'] }), zone('b', { isSolo: true, waitsFor: [] })];
    expect(faultsOf(leaderless({ zones }))[0]).toContain('zone b: it is SOLO');
  });
});

it('the status shows what is not known as –', () => {
  const bare: ZoneStatus = { zone: 'a', isDatabaseReachable: false, ownedShards: 0, problems: [] };
  const text = statusLines(view({ zones: [bare] }), [], PLAIN).join('\n');

  expect(text).toMatch(/^a +silent +– +0 +– +– +–$/m);
});

it('the status shows how much of a zone’s log each other zone has not applied', () => {
  const behind = zone('a', { behindBytes: { b: 0, c: 1_234_567 } });

  expect(statusLines(view({ zones: [behind] }), [], PLAIN).join('\n')).toContain('b 0 B, c 1.2 MB');
});

describe('the links between zones', () => {
  const link = { state: 'streaming' as const, lagBytes: 120, beatAgeMs: 300, applyErrors: 0, conflicts: 2 };
  const linked = (more: Partial<NonNullable<ZoneStatus['links']>[number]>): ZonesView =>
    view({
      zones: [zone('a', { links: [{ ...link, from: 'b' }] }), zone('b', { links: [{ ...link, from: 'a', ...more }] })],
    });

  it('are not shown while all stream', () => {
    expect(statusLines(linked({}), [], PLAIN).join('\n')).not.toContain('LINK');
  });

  it('are all shown once one of them does not', () => {
    const text = statusLines(linked({ state: 'failing', applyErrors: 7, logLeftBytes: 2_000_000 }), [], PLAIN).join(
      '\n',
    );

    expect(text).toMatch(/^b to a +streaming +300 ms ago +120 B +0 +2 +–$/m);
    expect(text).toMatch(/^a to b +failing +300 ms ago +120 B +7 +2 +2\.0 MB more$/m);
  });
});
