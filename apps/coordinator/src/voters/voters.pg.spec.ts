import { Problem } from '@borough/server-kit';
import { type Term } from '@borough/topology';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { createZoneDatabase } from '../../../../test/support/databases.js';
import { Network, ThreeVoters, type Zone } from './three-voters.js';
import { StaleTerm } from './voter.js';
import { type Voters } from './voters.js';

const SHARD = 7;
const NOWHERE = { a: '-', b: '-', c: '-' };

let three: ThreeVoters;

beforeAll(async () => {
  three = await ThreeVoters.start(createZoneDatabase);
});

afterEach(async () => {
  await three.clear();
});

afterAll(async () => {
  await three.stop();
});

async function refusalOf(action: Promise<unknown>): Promise<string> {
  try {
    await action;
  } catch (error) {
    if (error instanceof Problem) return error.code;
    throw error;
  }
  return 'done';
}

async function lead(coordinator: Voters): Promise<Term> {
  return (await three.judge(coordinator)).term;
}

async function install(coordinator: Voters, shard: number, owner: Zone): Promise<void> {
  await coordinator.install(await lead(coordinator), shard, 1, owner);
}

describe('a promise', () => {
  it('is given to a greater term only, and again to the same one', async () => {
    const voter = three.voter('a');
    const ask = (number: number, coordinator: string): Promise<boolean> => voter.promise({ number, coordinator });

    expect(await ask(2, 'x')).toBe(true);
    expect(await ask(1, 'y')).toBe(false);
    expect(await ask(2, 'w')).toBe(false);
    expect(await ask(2, 'x')).toBe(true);
    expect(await ask(2, 'y')).toBe(true);
    expect((await three.promises()).a).toBe('2 y');
  });

  it('makes every write of an older term fail, and nothing of it is kept', async () => {
    const voter = three.voter('a');
    const old: Term = { number: 1, coordinator: 'x' };
    await voter.accept(old, SHARD, 1, 'a');
    await voter.promise({ number: 2, coordinator: 'y' });

    await expect(voter.serve(old, SHARD, 1, 'a')).rejects.toBeInstanceOf(StaleTerm);
    await expect(voter.accept(old, SHARD, 2, 'b')).rejects.toBeInstanceOf(StaleTerm);
    await expect(voter.putArea(old, { shard: SHARD, name: 'x', cells: ['x'] })).rejects.toBeInstanceOf(StaleTerm);

    expect(await three.copiesOf(SHARD)).toEqual({ ...NOWHERE, a: 'accepted a@1' });
    expect((await three.areas()).a).toEqual({});
  });
});

describe('leading', () => {
  it('is taken from all voters with a term above every one that was promised, and kept', async () => {
    await three.voter('c').promise({ number: 41, coordinator: 'before' });
    const x = three.coordinator('x');

    expect(await lead(x)).toEqual({ number: 42, coordinator: 'x' });
    expect(await lead(x)).toEqual({ number: 42, coordinator: 'x' });
    expect(await three.promises()).toEqual({ a: '42 x', b: '42 x', c: '42 x' });
  });

  it('needs a majority: one voter may be away, two may not', async () => {
    expect(await refusalOf(lead(three.coordinator('x', new Network('a'))))).toBe('done');
    expect(await refusalOf(lead(three.coordinator('y', new Network('a', 'b'))))).toBe('no-majority');
    expect((await three.promises()).c).toBe('1 x');
  });

  it('by one coordinator ends the lead of the other: its next write is refused, and nothing of it is kept', async () => {
    const x = three.coordinator('x');
    const y = three.coordinator('y');
    const termOfX = await lead(x);
    await x.install(termOfX, 1, 1, 'a');
    await install(y, 2, 'b');

    expect(await refusalOf(x.install(termOfX, 3, 1, 'c'))).toBe('stale-term');
    expect(await refusalOf(x.putArea(termOfX, { shard: 1, name: 'late', cells: ['x'] }))).toBe('stale-term');
    expect(await three.copiesOf(3)).toEqual(NOWHERE);
    expect((await three.areas()).a).toEqual({});
  });

  it('is taken again, with a higher term, by a coordinator that was deposed, whether or not it noticed', async () => {
    const x = three.coordinator('x');
    const y = three.coordinator('y');
    await lead(x);
    await lead(y);

    expect(await lead(x)).toEqual({ number: 3, coordinator: 'x' });
    expect(await lead(y)).toEqual({ number: 4, coordinator: 'y' });
    await install(x, SHARD, 'a');
    expect(await three.copiesOf(SHARD)).toEqual({ a: 'serving a@1', b: 'serving a@1', c: 'serving a@1' });
  });
});

describe('reading', () => {
  it('is what a majority says, whoever is away', async () => {
    await install(three.coordinator('x'), SHARD, 'b');

    const withoutB = await three.coordinator('y', new Network('b')).read();
    expect([...withoutB.keys()].toSorted()).toEqual(['a', 'c']);
    expect(await refusalOf(three.coordinator('z', new Network('b', 'c')).read())).toBe('no-majority');
  });

  it('as a leader leaves out a voter that did not promise: an older leader may still write there', async () => {
    const x = three.coordinator('x');
    const term = await lead(x);
    await three.voter('b').promise({ number: 5, coordinator: 'z' });
    const judgement = await three.judge(x);

    expect(judgement.term).toEqual(term);
    expect([...judgement.readings.keys()].toSorted()).toEqual(['a', 'c']);
  });

  it('gives what was written, with numbers as numbers', async () => {
    const x = three.coordinator('x');
    const term = await lead(x);
    await x.install(term, SHARD, 3, 'b');
    await x.putArea(term, { shard: SHARD, name: 'Centre', cells: ['85196953fffffff'] });

    expect((await x.read()).get('c')).toEqual({
      promised: term,
      ownership: [{ shard: SHARD, epoch: 3, state: 'serving', owner: 'b', term }],
      areas: [{ shard: SHARD, name: 'Centre', cells: ['85196953fffffff'], term }],
      inSync: [],
      seals: [],
      runningMoves: [],
    });
  });
});

describe('an install', () => {
  it('ends with every voter serving the same owner, and may be repeated', async () => {
    const x = three.coordinator('x');
    await install(x, SHARD, 'b');
    await install(x, SHARD, 'b');

    expect(await three.copiesOf(SHARD)).toEqual({ a: 'serving b@1', b: 'serving b@1', c: 'serving b@1' });
  });

  it('works with one voter away that is not the owner', async () => {
    await install(three.coordinator('x', new Network('c')), SHARD, 'b');

    expect(await three.copiesOf(SHARD)).toEqual({ a: 'serving b@1', b: 'serving b@1', c: '-' });
  });

  it('with two voters away lets nobody serve', async () => {
    const network = new Network();
    const x = three.coordinator('x', network);
    const term = await lead(x);
    network.away.add('b').add('c');

    expect(await refusalOf(x.install(term, SHARD, 1, 'a'))).toBe('no-majority');
    expect(await three.copiesOf(SHARD)).toEqual({ ...NOWHERE, a: 'accepted a@1' });
  });

  it('stops at the first voter that promised a newer term: nobody serves', async () => {
    const x = three.coordinator('x');
    const term = await lead(x);
    await three.voter('c').promise({ number: 2, coordinator: 'y' });

    expect(await refusalOf(x.install(term, SHARD, 1, 'a'))).toBe('stale-term');
    // The refusal is not waited for by the calls that are on their way.
    await expect.poll(() => three.copiesOf(SHARD)).toEqual({ a: 'accepted a@1', b: 'accepted a@1', c: '-' });
  });

  it('of an owner that cannot be told is refused for now, and nobody serves', async () => {
    const x = three.coordinator('x', new Network('b'));

    expect(await refusalOf(install(x, SHARD, 'b'))).toBe('zone-unavailable');
    expect(await three.copiesOf(SHARD)).toEqual({ a: 'accepted b@1', b: '-', c: 'accepted b@1' });
  });

  it('of another owner at an epoch that is served is refused by every voter', async () => {
    await install(three.coordinator('x'), SHARD, 'a');

    expect(await refusalOf(install(three.coordinator('y'), SHARD, 'b'))).toBe('no-majority');
    expect(await three.copiesOf(SHARD)).toEqual({ a: 'serving a@1', b: 'serving a@1', c: 'serving a@1' });
  });
});

describe('one term carries one value', () => {
  it('after a write that failed the coordinator leads with a new term', async () => {
    const network = new Network();
    const x = three.coordinator('x', network);
    const term = await lead(x);
    network.away.add('b').add('c');
    await refusalOf(x.install(term, SHARD, 1, 'a'));
    network.away.clear();

    expect(await lead(x)).toEqual({ number: 2, coordinator: 'x' });
  });

  it('decisions of one coordinator are made one after the other', async () => {
    const x = three.coordinator('x');
    const steps: string[] = [];
    const decision = (name: string): Promise<void> =>
      x.asLeader(async ({ term }) => {
        steps.push(`${name} begins`);
        await x.putArea(term, { shard: 1, name, cells: ['85196953fffffff'] });
        steps.push(`${name} ends`);
      });
    await Promise.all([
      decision('one'),
      decision('two'),
      refusalOf(x.asLeader(() => Promise.reject(new Problem('no-free-shard')))),
      decision('three'),
    ]);

    expect(steps).toEqual(['one begins', 'one ends', 'two begins', 'two ends', 'three begins', 'three ends']);
  });

  it('a decision is written under the term it was read under, or not at all', async () => {
    const x = three.coordinator('x');
    const y = three.coordinator('y');
    const { term } = await three.judge(x);
    await install(y, SHARD, 'b');
    // Another of this coordinator's own writes finds out first, and leads again; the older decision is still refused.
    await lead(x);

    expect(await refusalOf(x.install(term, SHARD, 1, 'a'))).toBe('stale-term');
    expect(await three.copiesOf(SHARD)).toEqual({ a: 'serving b@1', b: 'serving b@1', c: 'serving b@1' });
    expect(await lead(x)).toEqual({ number: 3, coordinator: 'x' });
  });
});
