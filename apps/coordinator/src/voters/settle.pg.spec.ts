import { pino } from 'pino';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { createZoneDatabase } from '../../../../test/support/databases.js';
import { publishedAreas, settle } from './settle.js';
import { Network, ThreeVoters, type Zone, ZONES } from './three-voters.js';
import { type Voters } from './voters.js';

const SHARD = 7;
const DEAD = { number: 1, coordinator: 'dead' };
const CENTRE = { shard: SHARD, name: 'Centre', cells: ['85196953fffffff'] };

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

async function settleAll(coordinator: Voters): Promise<ReturnType<typeof publishedAreas>> {
  const readings = await settle(coordinator, await coordinator.read(), three.silent, () => true);
  return publishedAreas(coordinator, readings);
}

async function install(coordinator: Voters, shard: number, owner: Zone): Promise<void> {
  const { term } = await three.judge(coordinator);
  await coordinator.install(term, shard, 1, owner);
}

/** What a coordinator that died wrote: its term was promised everywhere, its value accepted by some. */
async function leaveAccepted(owner: string, zones: readonly Zone[]): Promise<void> {
  for (const zone of ZONES) await three.voter(zone).promise(DEAD);
  for (const zone of zones) await three.voter(zone).accept(DEAD, SHARD, 1, owner);
}

/** What every voter holds once the install of this owner is finished. */
function served(owner: Zone, epoch = 1): Record<Zone, string> {
  const copy = `serving ${owner}@${epoch}`;
  return { a: copy, b: copy, c: copy };
}

describe('an install that was begun', () => {
  it.each<[Zone, Zone[]]>([
    ['a', ['a']],
    ['a', ['b']],
    ['c', ['a', 'b']],
    ['b', ['a', 'b', 'c']],
  ])(
    'of owner %s, accepted by %j, is finished by the next coordinator and gets no other owner',
    async (owner, zones) => {
      await leaveAccepted(owner, zones);
      await settleAll(three.coordinator('next'));

      expect(await three.copiesOf(SHARD)).toEqual(served(owner));
    },
  );

  it('is finished by whoever comes after any step, with the one owner it was begun for', async () => {
    const next = three.coordinator('next');
    for (let writesLeft = 0; writesLeft <= 6; writesLeft += 1) {
      const shard = 100 + writesLeft;
      const network = new Network();
      const killed = three.coordinator(`killed-${writesLeft}`, network);
      const { term } = await three.judge(killed);
      network.writesLeft = writesLeft;
      await killed.install(term, shard, 1, 'b').catch(() => undefined);
      await settleAll(next);

      const begun = writesLeft > 0 ? served('b') : { a: '-', b: '-', c: '-' };
      expect(await three.copiesOf(shard), `killed after ${writesLeft} writes`).toEqual(begun);
    }
  });

  it('is finished when the voter that knows of it comes back, as long as nothing else was chosen', async () => {
    await leaveAccepted('a', ['c']);
    const withoutC = three.coordinator('y', new Network('c'));
    await settleAll(withoutC);
    expect(await three.copiesOf(SHARD)).toEqual({ a: '-', b: '-', c: 'accepted a@1' });

    await settleAll(three.coordinator('z'));

    expect(await three.copiesOf(SHARD)).toEqual(served('a'));
  });

  it('gives way to the value of the newer term when both are only accepted', async () => {
    await leaveAccepted('a', ['a']);
    const newer = { number: 2, coordinator: 'dead-too' };
    await three.voter('b').accept(newer, SHARD, 1, 'c');
    await settleAll(three.coordinator('next'));

    expect(await three.copiesOf(SHARD)).toEqual(served('c'));
  });

  it('whose owner is away holds up nothing else', async () => {
    await leaveAccepted('c', ['a', 'b']);
    const other = { number: 2, coordinator: 'dead' };
    await three.voter('a').accept(other, 8, 1, 'a');
    const coordinator = three.coordinator('next', new Network('c'));
    await settleAll(coordinator);

    expect(await three.copiesOf(8)).toEqual({ a: 'serving a@1', b: 'serving a@1', c: '-' });
    expect(await three.copiesOf(SHARD)).toEqual({ a: 'accepted c@1', b: 'accepted c@1', c: '-' });
  });

  it('whose owner is away makes nobody take the lead again and again', async () => {
    await leaveAccepted('c', ['a', 'b']);
    await settleAll(three.coordinator('x', new Network('c')));

    expect(await three.promises()).toEqual({ a: '1 dead', b: '1 dead', c: '1 dead' });
  });
});

describe('a voter that lags', () => {
  it.each(ZONES)('is brought up to what the others hold: %s', async (zone) => {
    const owner = zone === 'a' ? 'b' : 'a';
    await install(three.coordinator('x', new Network(zone)), SHARD, owner);
    await settleAll(three.coordinator('x'));

    expect(await three.copiesOf(SHARD)).toEqual(served(owner));
  });

  it('that only accepted serves once the others do', async () => {
    await leaveAccepted('a', ['a', 'b', 'c']);
    await three.voter('a').serve(DEAD, SHARD, 1, 'a');
    await settleAll(three.coordinator('next'));

    expect(await three.copiesOf(SHARD)).toEqual(served('a'));
  });

  it('as the owner itself, without a copy, serves again: the others know that it does', async () => {
    const x = three.coordinator('x');
    await install(x, SHARD, 'a');
    await three.query('a', 'DELETE FROM control.ownership');
    await settleAll(x);

    expect(await three.copiesOf(SHARD)).toEqual(served('a'));
  });

  it('is given the areas it lacks', async () => {
    const x = three.coordinator('x', new Network('b'));
    await x.putArea((await three.judge(x)).term, CENTRE);
    await settleAll(three.coordinator('x'));

    expect(await three.areas()).toEqual({ a: { Centre: SHARD }, b: { Centre: SHARD }, c: { Centre: SHARD } });
  });
});

describe('when all voters that answer agree', () => {
  it('nothing is written and no lead is taken', async () => {
    const x = three.coordinator('x');
    await install(x, SHARD, 'a');
    await x.putArea((await three.judge(x)).term, CENTRE);
    await settleAll(three.coordinator('y'));
    await settleAll(three.coordinator('z', new Network('a')));

    expect(await three.promises()).toEqual({ a: '1 x', b: '1 x', c: '1 x' });
  });

  it('the readings are given back as they are', async () => {
    const x = three.coordinator('x');
    const readings = await x.read();

    expect(await settle(x, readings, three.silent, () => true)).toBe(readings);
  });
});

describe('what may not be worked on', () => {
  it('is left alone, and the lead is not taken from whoever is writing it just now', async () => {
    await leaveAccepted('a', ['b']);
    await three.voter('a').putArea(DEAD, { ...CENTRE, shard: 8 });
    const standby = three.coordinator('standby');
    const readings = await standby.read();

    expect(await settle(standby, readings, three.silent, () => false)).toBe(readings);
    expect(await three.promises()).toEqual({ a: '1 dead', b: '1 dead', c: '1 dead' });
  });

  it('is left alone while the rest is finished', async () => {
    await leaveAccepted('a', ['b']);
    await three.voter('a').putArea(DEAD, { ...CENTRE, shard: 8 });
    await three.voter('a').putArea(DEAD, { ...CENTRE, name: 'North', shard: 9 });
    const next = three.coordinator('next');
    await settle(next, await next.read(), three.silent, (shard) => shard === 9);

    expect(await three.areas()).toEqual({ a: { Centre: 8, North: 9 }, b: { North: 9 }, c: { North: 9 } });
    expect(await three.copiesOf(SHARD)).toEqual({ a: '-', b: 'accepted a@1', c: '-' });
  });
});

it('two owners at one epoch are touched by nobody: it is said as an error, and the other shards go on', async () => {
  const lines: { level: number; shardId: number }[] = [];
  const logger = pino(
    { level: 'error' },
    { write: (line: string) => void lines.push(JSON.parse(line) as (typeof lines)[0]) },
  );
  const sql = `INSERT INTO control.ownership (shard, epoch, state, owner, term_number, term_coordinator)
               VALUES ($1, 1, 'serving', $2, 1, 'dead')`;
  for (const zone of ZONES) await three.query(zone, sql, [SHARD, zone === 'c' ? 'b' : 'a']);
  await three.voter('a').accept({ number: 1, coordinator: 'x' }, 8, 1, 'a');
  const next = three.coordinator('next');
  await settle(next, await next.read(), logger, () => true);

  expect(await three.copiesOf(SHARD)).toEqual({ a: 'serving a@1', b: 'serving a@1', c: 'serving b@1' });
  expect(await three.copiesOf(8)).toEqual(served('a'));
  expect(lines).toMatchObject([{ level: 50, shardId: SHARD }]);
});

describe('an area that was begun', () => {
  it.each<[Zone[]]>([[['a']], [['b', 'c']]])('and reached only %j is finished', async (zones) => {
    for (const zone of zones) await three.voter(zone).putArea(DEAD, CENTRE);
    const published = await settleAll(three.coordinator('next'));

    expect(published).toEqual([CENTRE]);
    expect(await three.areas()).toEqual({ a: { Centre: SHARD }, b: { Centre: SHARD }, c: { Centre: SHARD } });
  });

  it('under a shard that was given to a later area meanwhile is replaced by that, wherever it is found', async () => {
    await three.voter('c').putArea(DEAD, CENTRE);
    const withoutC = three.coordinator('y', new Network('c'));
    const { term } = await three.judge(withoutC);
    const later = { ...CENTRE, name: 'Old town' };
    await withoutC.putArea(term, later);
    const published = await settleAll(three.coordinator('z'));

    expect(published).toEqual([later]);
    expect(await three.areas()).toEqual({
      a: { 'Old town': SHARD },
      b: { 'Old town': SHARD },
      c: { 'Old town': SHARD },
    });
  });
});
