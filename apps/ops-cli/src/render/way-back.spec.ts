import { type ZonesView, type ZoneStatus } from '@borough/contracts';
import { describe, expect, it } from 'vitest';
import { PLAIN } from '../terminal/paint.js';
import { type WayBack, wayBackChanges, wayBackLines, wayBackOf } from './way-back.js';

const FULL: ZoneStatus = {
  zone: 'a',
  isDatabaseReachable: true,
  isVoting: true,
  isApiReady: true,
  ownedShards: 0,
  recordedMembers: ['b', 'c'],
  problems: [],
};
const B: ZoneStatus = { ...FULL, zone: 'b', recordedMembers: ['a', 'c'] };
const C: ZoneStatus = { ...FULL, zone: 'c', recordedMembers: ['a', 'b'] };
const HEALING = { from: 'b', rowsDone: 250, rowsTotal: 1000, taken: 7, receipts: 1 };

interface Seen {
  readonly a?: Partial<ZoneStatus>;
  readonly b?: Partial<ZoneStatus>;
  readonly c?: Partial<ZoneStatus>;
  readonly leads?: boolean;
  readonly hasHealed?: boolean;
}

/** Three zones that have not been touched, but for what is said. */
function viewOf({ a = {}, b = {}, c = {}, leads = true }: Seen): ZonesView {
  return {
    answeredBy: 'coordinator-0',
    ...(leads ? { leader: { coordinator: 'coordinator-0', term: 4, isThisOne: true } } : {}),
    tableVersion: 15,
    zones: [
      { ...FULL, ...a },
      { ...B, ...b },
      { ...C, ...c },
    ],
    routers: [],
    runningMoves: [],
  };
}

function wayOf(seen: Seen): WayBack {
  const way = wayBackOf(viewOf(seen), 'a', seen.hasHealed);
  if (way === undefined) throw new Error('zone a is in every view');
  return way;
}

/** Each step by its mark, in their order: + done, > doing, . waiting. */
function marksOf({ steps }: WayBack): string {
  return steps.map(({ state }) => ({ done: '+', doing: '>', waiting: '.' })[state]).join('');
}

const sealed = { sealedOffBy: ['b', 'c'] };
const withoutA = { recordedMembers: [] };

describe('the way back, as a view shows it', () => {
  it.each<[string, Seen, string, string]>([
    ['is at its end where nothing is missing', {}, '+++++++', ''],
    [
      'begins with its database',
      { a: { isDatabaseReachable: false, isApiReady: false, health: 'database-down', ...sealed }, b: withoutA },
      '>......',
      'it does not answer (database-down)',
    ],
    [
      'needs a say: a new disk learns from every other zone',
      { a: { isVoting: false, ...sealed } },
      '+>...++',
      'its disk is new: it learns from every other zone what was voted',
    ],
    [
      'waits there for a zone that is away',
      { a: { isVoting: false }, c: { isDatabaseReachable: false } },
      '+>..+++',
      'its disk is new: it learns from every other zone what was voted; zone c must answer first',
    ],
    [
      'of a zone that knows not what it lost waits for the coordinator',
      { a: sealed, b: withoutA },
      '++>...+',
      'the leading coordinator tells it',
    ],
    [
      'cannot go on there without one',
      { a: sealed, leads: false },
      '++>..++',
      'no coordinator leads, so nobody tells it',
    ],
    [
      'goes through the rows',
      { a: { ...sealed, healing: [HEALING] }, b: withoutA },
      '+++>..+',
      'from zone b: 250 of about 1000 rows compared, 7 rows taken over, 1 receipt',
    ],
    [
      'has the rows once it was seen to take them over',
      { a: sealed, hasHealed: true },
      '++++>++',
      'not by zones b, c yet',
    ],
    ['takes over rows without having been left, too', { a: { healing: [HEALING] } }, '+++>+++', HEALING.from],
    [
      'has not all rows over a link that is missing',
      { a: { links: [link('b', 'missing'), link('c', 'behind')] } },
      '+++>+++',
      'its link from zone b is missing',
    ],
    [
      'does not wait for the link from a zone that is away',
      { a: { links: [link('c', 'stopped')] }, c: { isDatabaseReachable: false } },
      '+++++++',
      '',
    ],
    [
      'waits for the last that seals it off',
      { a: { sealedOffBy: ['c'] }, hasHealed: true },
      '++++>++',
      'not by zone c yet',
    ],
    [
      'waits to be counted on, and names the move that is in the way',
      { b: { ...withoutA, frozenBy: ['mov_1'] }, c: withoutA },
      '+++++>+',
      'zone b does not yet (kept as it is by mov_1); zone c does not yet',
    ],
    [
      'is not counted on as long as no majority says so',
      { b: { recordedMembers: undefined } },
      '+++++>+',
      'no majority says',
    ],
    [
      'does not wait to be counted on by a zone that is away',
      { c: { isDatabaseReachable: false, ...withoutA } },
      '+++++++',
      '',
    ],
    [
      'is not counted on where no other zone answers',
      { b: { isDatabaseReachable: false }, c: { isDatabaseReachable: false } },
      '+++++>+',
      'no other zone answers',
    ],
    ['ends with its API', { a: { isApiReady: false } }, '++++++>', 'it is not ready'],
    ['does without an API that the coordinator has no address of', { a: { isApiReady: undefined } }, '+++++++', ''],
    ['of a zone of an older release, which does not say that it votes', { a: { isVoting: undefined } }, '+++++++', ''],
  ])('%s', (_, seen, marks, detail) => {
    const way = wayOf(seen);
    expect(marksOf(way)).toBe(marks);
    expect(way.isFullMember).toBe(!marks.includes('>'));
    expect(way.steps.find(({ state }) => state === 'doing')?.detail ?? '').toContain(detail);
  });

  it('is not to be had of a zone that the coordinator does not know', () => {
    expect(wayBackOf(viewOf({}), 'd')).toBeUndefined();
  });

  it('says what the coordinator says, as long as the end is not reached', () => {
    const rejoinWaitsFor = 'zone a heals 2 shards';
    expect(wayOf({ a: { ...sealed, rejoinWaitsFor } }).waitsFor).toBe(rejoinWaitsFor);
    expect(wayOf({ a: { rejoinWaitsFor } })).not.toHaveProperty('waitsFor');
  });

  it('sums up rows that come from several zones', () => {
    const healing = [HEALING, { ...HEALING, from: 'c', rowsDone: 50, taken: 0, receipts: 2 }];
    expect(wayOf({ a: { ...sealed, healing } }).steps[3]).toMatchObject({
      progress: { rowsDone: 300, rowsTotal: 2000, taken: 7, receipts: 3 },
    });
  });
});

describe('what is said of it', () => {
  it('is a line a step, with a bar for the rows', () => {
    const lines = wayBackLines(wayOf({ a: { ...sealed, healing: [HEALING], rejoinWaitsFor: 'rows' } }), PLAIN);

    expect(lines).toHaveLength(9);
    expect(lines[1]).toBe('  ✓ its database answers');
    expect(lines[4]).toMatch(/^ {2}→ \[█{5}░{15}\] 25 % its rows are those of their owners: from zone b: 250 of about/);
    expect(lines[5]).toBe('  · every zone takes in its changes: not by zones b, c yet');
    expect(lines.at(-1)).toBe('  waits for: rows');
  });

  it('in a log is what has changed: a step when its state does, rows each tenth', () => {
    const at = (rowsDone: number) => wayOf({ a: { ...sealed, healing: [{ ...HEALING, rowsDone }] } });
    expect(wayBackChanges(undefined, at(250), PLAIN)).toHaveLength(7);
    expect(wayBackChanges(at(250), at(299), PLAIN)).toEqual([]);
    expect(wayBackChanges(at(250), at(301), PLAIN)).toEqual([expect.stringContaining('30 %')]);
    expect(wayBackChanges(at(250), wayOf({ a: sealed, hasHealed: true }), PLAIN)).toEqual([
      'zone a: ✓ its rows are those of their owners',
      'zone a: → every zone takes in its changes: not by zones b, c yet',
    ]);
  });

  it.each([
    ['more rows than were thought', 1500, 1000, '100 %'],
    ['of no rows', 0, 0, '0 %'],
  ])('goes through %s', (_, rowsDone, rowsTotal, share) => {
    const healing = [{ ...HEALING, rowsDone, rowsTotal }];
    expect(wayBackLines(wayOf({ a: { ...sealed, healing } }), PLAIN)[4]).toContain(` ${share} `);
  });

  it('tells news of what it waits for', () => {
    const before = wayOf({ a: sealed });
    const after = wayOf({ a: { ...sealed, rejoinWaitsFor: 'zone b' } });
    expect(wayBackChanges(before, after, PLAIN)).toEqual(['zone a: waits for: zone b']);
    expect(wayBackChanges(after, after, PLAIN)).toEqual([]);
  });
});

function link(from: string, state: NonNullable<ZoneStatus['links']>[number]['state']) {
  return { from, state, applyErrors: 0, conflicts: 0 };
}
