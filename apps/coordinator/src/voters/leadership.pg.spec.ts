import { Problem, Readiness } from '@borough/server-kit';
import { type Term } from '@borough/topology';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { createZoneDatabase } from '../../../../test/support/databases.js';
import { Leadership } from './leadership.js';
import { Network, ThreeVoters, ZONES } from './three-voters.js';
import { type Voters } from './voters.js';

/** The promise of the issue is 2 s; a beat more for a busy machine. */
const TAKE_OVER = { timeout: 2_500, interval: 20 };
const PATIENT = { timeout: 10_000, interval: 20 };

let three: ThreeVoters;
const stops: (() => Promise<void>)[] = [];

beforeAll(async () => {
  three = await ThreeVoters.start(createZoneDatabase);
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
  readonly network: Network;
  readonly readiness: Readiness;
  /** The terms it told its followers of. */
  readonly told: Term[];
}

function start(id: string): Coordinator {
  const network = new Network();
  const voters = three.coordinator(id, network);
  const readiness = new Readiness();
  const leadership = new Leadership(voters, readiness, three.silent);
  const told: Term[] = [];
  leadership.onLead((term) => told.push(term));
  leadership.start();
  stops.push(() => leadership.stop());
  return { voters, leadership, network, readiness, told };
}

/** From here on nothing of it reaches a voter, and it does not resign: killed, or paused until the network is mended. */
function cutOff({ network }: Coordinator): void {
  for (const zone of ZONES) network.away.add(zone);
}

function leads({ leadership }: Coordinator): boolean {
  return leadership.isLeading;
}

async function untilLeads(coordinator: Coordinator, within = PATIENT): Promise<void> {
  await expect.poll(() => leads(coordinator), within).toBe(true);
}

async function beatsAtC(): Promise<number> {
  const [row] = await three.query<{ beats: number }>('c', 'SELECT p.beats FROM control.leader_pulse p');
  return row?.beats ?? 0;
}

/** Long enough for a leader to have been taken for dead, had it not lived: four beats of it, 300 ms and more apart. */
async function pastTakeOver(): Promise<void> {
  const before = await beatsAtC();
  await expect.poll(beatsAtC, PATIENT).toBeGreaterThanOrEqual(before + 4);
}

function refusal(action: () => unknown): Problem {
  try {
    action();
  } catch (error) {
    if (error instanceof Problem) return error;
    throw error;
  }
  throw new Error('it was not refused');
}

describe('the first coordinator', () => {
  it('leads at once, tells of it, and is ready', async () => {
    const x = start('x');
    // Another one may know already: a client is to ask that.
    expect(refusal(() => x.leadership.requireLead()).code).toBe('not-leader');
    await untilLeads(x);

    expect(x.leadership.requireLead()).toEqual({ number: 1, coordinator: 'x' });
    expect(x.leadership.leader).toEqual({ coordinator: 'x', term: 1, isThisOne: true });
    await expect.poll(() => x.told).toEqual([{ number: 1, coordinator: 'x' }]);
    await expect.poll(() => x.readiness.isReady, PATIENT).toBe(true);
  });

  it('shows that it lives, at every voter', async () => {
    await untilLeads(start('x'));
    for (const zone of ZONES)
      await expect
        .poll(() => three.query<{ beats: number }>(zone, 'SELECT p.beats FROM control.leader_pulse p'), PATIENT)
        .toEqual([{ beats: expect.toSatisfy((count: number) => count >= 2) as number }]);
  });

  it('without a majority leads nothing, and is not ready', async () => {
    const network = new Network('a', 'b');
    const readiness = new Readiness();
    const leadership = new Leadership(three.coordinator('x', network), readiness, three.silent);
    leadership.start();
    stops.push(() => leadership.stop());
    await expect.poll(() => network.lost, PATIENT).toBeGreaterThan(4);

    expect([leadership.isLeading, leadership.leader, readiness.isReady]).toEqual([false, undefined, false]);
    network.away.clear();
    await expect.poll(() => leadership.isLeading, PATIENT).toBe(true);
  });

  it('after all were stopped takes the next term', async () => {
    const dead = start('dead');
    await untilLeads(dead);
    cutOff(dead);
    const x = start('x');
    await untilLeads(x);
    expect(x.leadership.leader).toEqual({ coordinator: 'x', term: 2, isThisOne: true });
  });
});

describe('a second coordinator', () => {
  it('stands by while the first one lives, and says who leads', async () => {
    const x = start('x');
    await untilLeads(x);
    const y = start('y');
    await pastTakeOver();

    expect([leads(x), leads(y)]).toEqual([true, false]);
    expect(y.leadership.leader).toEqual({ coordinator: 'x', term: 1, isThisOne: false });
    expect(y.readiness.isReady).toBe(true);
    const refused = refusal(() => y.leadership.requireLead());
    expect([refused.code, refused.facts.members]).toEqual(['not-leader', { leader: 'x' }]);
    expect(await three.promises()).toEqual({ a: '1 x', b: '1 x', c: '1 x' });
  });

  it('takes over within two seconds when the first one dies', async () => {
    const x = start('x');
    await untilLeads(x);
    const y = start('y');
    await expect.poll(() => y.leadership.leader?.coordinator, PATIENT).toBe('x');
    cutOff(x);
    await untilLeads(y, TAKE_OVER);

    expect(y.leadership.leader).toEqual({ coordinator: 'y', term: 2, isThisOne: true });
    await expect.poll(() => y.told).toEqual([{ number: 2, coordinator: 'y' }]);
  });

  it('does not take a leader for dead that one voter hears nothing of', async () => {
    const x = start('x');
    await untilLeads(x);
    const y = start('y');
    await expect.poll(() => y.leadership.leader?.coordinator, PATIENT).toBe('x');
    x.network.away.add('a');
    y.network.away.add('b');
    await pastTakeOver();

    // Both see voter c, and its count grows.
    expect([leads(x), leads(y)]).toEqual([true, false]);
  });
});

describe('a leader that was paused', () => {
  it('is refused when it comes back, stands by, and its writes of before are refused too', async () => {
    const x = start('x');
    await untilLeads(x);
    const old = x.leadership.requireLead();
    const y = start('y');
    // As if it was stopped in the middle: it does not notice that time goes by.
    await x.leadership.stop();
    await untilLeads(y);
    expect(leads(x)).toBe(true);

    await expect(x.voters.beat(old)).rejects.toMatchObject({ code: 'stale-term' });
    expect(leads(x)).toBe(false);
    await expect(x.voters.install(old, 7, 1, 'a')).rejects.toMatchObject({ code: 'stale-term' });
    expect(await three.copiesOf(7)).toEqual({ a: '-', b: '-', c: '-' });
  });

  it('finds out by its next beat, and follows the new one from then on', async () => {
    const x = start('x');
    await untilLeads(x);
    const y = start('y');
    cutOff(x);
    await untilLeads(y);
    x.network.away.clear();
    await expect.poll(() => x.leadership.leader, PATIENT).toEqual({ coordinator: 'y', term: 2, isThisOne: false });
    await pastTakeOver();
    expect([leads(x), leads(y)]).toEqual([false, true]);
  });
});

describe('coordinators that start at once', () => {
  it('end with one that leads, and the others know which', async () => {
    const all = ['x', 'y', 'z'].map(start);
    await expect
      .poll(
        () => [all.filter(leads).length, new Set(all.map(({ leadership }) => leadership.leader?.coordinator)).size],
        PATIENT,
      )
      .toEqual([1, 1]);
    await pastTakeOver();
    expect(all.filter(leads)).toHaveLength(1);
  });
});

describe('with a majority of the voters away', () => {
  it('a leader loses the lead, and gets it again when they are back', async () => {
    const x = start('x');
    await untilLeads(x);
    x.network.away.add('a').add('b');
    await expect.poll(() => leads(x), PATIENT).toBe(false);
    expect(refusal(() => x.leadership.requireLead()).code).toBe('not-leader');

    x.network.away.clear();
    await untilLeads(x);
    expect(x.leadership.requireLead().number).toBeGreaterThan(1);
    await expect.poll(() => x.told.length).toBeGreaterThanOrEqual(2);
  });

  it('one voter away costs nothing', async () => {
    const x = start('x');
    await untilLeads(x);
    x.network.away.add('a');
    await pastTakeOver();
    expect(x.leadership.requireLead()).toEqual({ number: 1, coordinator: 'x' });
  });
});
