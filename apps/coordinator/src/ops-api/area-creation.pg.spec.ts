import { type CreateAreaRequest } from '@borough/contracts';
import { Notices, Problem, Readiness } from '@borough/server-kit';
import { SHARD_COUNT } from '@borough/topology';
import { cellToChildren, cellToParent, gridDisk } from 'h3-js';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { createZoneDatabase } from '../../../../test/support/databases.js';
import { RoutingPublisher } from '../publish/routing-publisher.js';
import { Network, ThreeVoters, ZONES } from '../voters/three-voters.js';
import { AreaCreation } from './area-creation.js';

const AMSTERDAM = '85196953fffffff';
const BERLIN = '851f1d4bfffffff';
const CAPE_TOWN = '85ad3617fffffff';

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

interface Coordinator {
  create(request: CreateAreaRequest): ReturnType<AreaCreation['create']>;
  publisher: RoutingPublisher;
}

function coordinator(id: string, network = new Network()): Coordinator {
  const voters = three.coordinator(id, network);
  // Never started: a notice is dropped, as with the broker away.
  const notices = new Notices('nats://127.0.0.1:1', id, three.silent);
  const publisher = new RoutingPublisher(voters, notices, new Readiness(), three.silent, 60_000, () => true);
  const creation = new AreaCreation(voters, publisher, three.silent);
  return { create: (request) => creation.create(request), publisher };
}

async function refusalOf(action: Promise<unknown>): Promise<string> {
  try {
    await action;
  } catch (error) {
    if (error instanceof Problem) return error.code;
    throw error;
  }
  return 'done';
}

describe('a new area', () => {
  it('gets a shard of its own that its zone serves, is held by every voter, and is published', async () => {
    const x = coordinator('x');
    const { area, isNew } = await x.create({ name: 'Centre', cells: [AMSTERDAM], zone: 'b' });

    expect(isNew).toBe(true);
    expect(area).toEqual({ shard: 0, name: 'Centre', cells: [AMSTERDAM], zone: 'b' });
    expect(await three.copiesOf(0)).toEqual({ a: 'serving b@1', b: 'serving b@1', c: 'serving b@1' });
    expect(await three.areas()).toEqual({ a: { Centre: 0 }, b: { Centre: 0 }, c: { Centre: 0 } });
    expect(x.publisher.snapshot().entries).toEqual([{ shard: 0, epoch: 1, state: 'serving', owner: 'b' }]);
    expect(x.publisher.areaMap()).toMatchObject({ areaMapVersion: 1, areas: [{ shard: 0, name: 'Centre' }] });
  });

  it('goes to the zone that owns the fewest, when none is asked for', async () => {
    const x = coordinator('x');
    const cells = cellToChildren(AMSTERDAM, 6);
    const zones: string[] = [];
    for (const [at, cell] of cells.slice(0, 6).entries()) {
      zones.push((await x.create({ name: `${at}`, cells: [cell] })).area.zone);
    }
    await x.create({ name: 'more of a', cells: [BERLIN], zone: 'a' });

    expect(zones).toEqual(['a', 'b', 'c', 'a', 'b', 'c']);
    expect((await x.create({ name: 'next', cells: [CAPE_TOWN] })).area.zone).toBe('b');
  });

  it('never goes to a zone that is away', async () => {
    const { area } = await coordinator('x', new Network('a')).create({ name: 'Centre', cells: [AMSTERDAM] });
    expect(area.zone).toBe('b');
  });

  it('in a zone that is away is refused for now, and nothing is left of it', async () => {
    const x = coordinator('x', new Network('c'));

    expect(await refusalOf(x.create({ name: 'Centre', cells: [AMSTERDAM], zone: 'c' }))).toBe('zone-unavailable');
    expect(await three.copiesOf(0)).toEqual({ a: '-', b: '-', c: '-' });
    expect(await refusalOf(x.create({ name: 'Centre', cells: [AMSTERDAM], zone: 'a' }))).toBe('done');
  });

  it('in a zone that there is not is refused for good', async () => {
    const refused = coordinator('x').create({ name: 'Centre', cells: [AMSTERDAM], zone: 'd' });
    await expect(refused).rejects.toMatchObject({
      code: 'validation-failed',
      facts: { members: { errors: [{ path: 'zone' }] } },
    });
  });

  it('with two voters away is refused for now, and is published nowhere', async () => {
    const x = coordinator('x', new Network('a', 'b'));

    expect(await refusalOf(x.create({ name: 'Centre', cells: [AMSTERDAM] }))).toBe('no-majority');
    expect(() => x.publisher.snapshot()).toThrow(Problem);
    expect(await three.areas()).toEqual({ a: {}, b: {}, c: {} });
  });

  it('is refused when every shard number is in use', async () => {
    const cells = gridDisk(AMSTERDAM, 40).slice(0, SHARD_COUNT);
    for (const zone of ZONES) {
      await three.query(
        zone,
        `INSERT INTO control.ownership (shard, epoch, state, owner, term_number, term_coordinator)
         SELECT g, 1, 'serving', 'a', 1, 'x' FROM generate_series(0, $1 - 1) g`,
        [SHARD_COUNT],
      );
      await three.query(
        zone,
        `INSERT INTO control.area (shard, name, cells, term_number, term_coordinator)
         SELECT c.at - 1, 'area ' || c.at, ARRAY[c.cell], 1, 'x' FROM unnest($1::text[]) WITH ORDINALITY c (cell, at)`,
        [cells],
      );
    }

    expect(await refusalOf(coordinator('x').create({ name: 'one more', cells: [CAPE_TOWN] }))).toBe('no-free-shard');
  });
});

describe('the same request again', () => {
  it('gives the same area, whatever the order of its cells, and is not new', async () => {
    const x = coordinator('x');
    const first = await x.create({ name: 'Centre', cells: [AMSTERDAM, BERLIN, AMSTERDAM] });
    const second = await x.create({ name: 'Centre', cells: [BERLIN, AMSTERDAM] });
    const fromAnother = await coordinator('y').create({ name: 'Centre', cells: [AMSTERDAM, BERLIN] });

    expect([first.isNew, second.isNew, fromAnother.isNew]).toEqual([true, false, false]);
    expect([second.area, fromAnother.area]).toEqual([first.area, first.area]);
    expect(await three.areas()).toEqual({ a: { Centre: 0 }, b: { Centre: 0 }, c: { Centre: 0 } });
  });

  it('ten times at once is one area', async () => {
    const x = coordinator('x');
    const made = await Promise.all(Array.from({ length: 10 }, () => x.create({ name: 'Centre', cells: [AMSTERDAM] })));

    expect(made.filter(({ isNew }) => isNew)).toHaveLength(1);
    expect(new Set(made.map(({ area }) => area.shard))).toEqual(new Set([0]));
  });

  it('after a creation that only one voter heard of, which comes back just now, is said to be there once a majority has it', async () => {
    const dead = three.coordinator('dead');
    const { term } = await three.judge(dead);
    await dead.install(term, 0, 1, 'a');
    await three.voter('c').putArea(term, { shard: 0, name: 'Centre', cells: [AMSTERDAM] });
    const network = new Network('c');
    let letPass = (): void => undefined;
    network.readingsPass = new Promise<void>((resolve) => (letPass = resolve));
    const creating = coordinator('x', network).create({ name: 'Centre', cells: [AMSTERDAM] });
    await expect.poll(() => network.readings).toBe(2);
    network.away.clear();
    letPass();

    expect(await creating).toEqual({ area: { shard: 0, name: 'Centre', cells: [AMSTERDAM], zone: 'a' }, isNew: false });
    expect(await three.areas()).toEqual({ a: { Centre: 0 }, b: { Centre: 0 }, c: { Centre: 0 } });
  });
});

describe('another area', () => {
  it('may not have the name of one with other cells', async () => {
    const x = coordinator('x');
    await x.create({ name: 'Centre', cells: [AMSTERDAM] });

    expect(await refusalOf(x.create({ name: 'Centre', cells: [BERLIN] }))).toBe('area-name-taken');
    expect(await refusalOf(x.create({ name: 'Centre', cells: [AMSTERDAM, BERLIN] }))).toBe('area-name-taken');
  });

  it.each([
    ['the same cell', AMSTERDAM],
    ['a cell inside', cellToChildren(AMSTERDAM, 7)[3] ?? ''],
    ['a cell around', cellToParent(AMSTERDAM, 3)],
  ])('may not have %s', async (_what, cell) => {
    const x = coordinator('x');
    await x.create({ name: 'Centre', cells: [AMSTERDAM] });
    const other = x.create({ name: 'Other', cells: [BERLIN, cell] });

    await expect(other).rejects.toMatchObject({ code: 'area-overlaps', facts: { members: { shard: 0 } } });
    expect((await three.areas()).a).toEqual({ Centre: 0 });
    expect(await three.copiesOf(1)).toEqual({ a: '-', b: '-', c: '-' });
  });
});

describe('two creations at once', () => {
  it('by one coordinator get two shards', async () => {
    const x = coordinator('x');
    const made = await Promise.all([
      x.create({ name: 'One', cells: [AMSTERDAM] }),
      x.create({ name: 'Two', cells: [BERLIN] }),
      x.create({ name: 'Three', cells: [CAPE_TOWN] }),
    ]);

    expect(made.map(({ area }) => area.shard).sort()).toEqual([0, 1, 2]);
  });

  it('of the same place: one is made, the other overlaps', async () => {
    const x = coordinator('x');
    const outcomes = await Promise.all([
      refusalOf(x.create({ name: 'One', cells: [AMSTERDAM] })),
      refusalOf(x.create({ name: 'Two', cells: [AMSTERDAM] })),
    ]);

    expect(outcomes.sort()).toEqual(['area-overlaps', 'done']);
  });

  it('by two coordinators get two shards, or one is refused; never one shard with two owners', async () => {
    const coordinators = [coordinator('x'), coordinator('y')];
    const cells = cellToChildren(AMSTERDAM, 6);
    for (const [round, cell] of cells.slice(0, 5).entries()) {
      const requests: CreateAreaRequest[] = [
        { name: `x ${round}`, cells: cellToChildren(cell, 7).slice(0, 3), zone: 'a' },
        { name: `y ${round}`, cells: cellToChildren(cell, 7).slice(3), zone: 'b' },
      ];
      await Promise.all(
        requests.map((request, at) => refusalOf(coordinators[at]?.create(request) ?? Promise.resolve())),
      );
    }
    const after = coordinator('z');
    await after.publisher.readVoters();

    const { entries } = after.publisher.snapshot();
    const { areas } = after.publisher.areaMap();
    expect(new Set(areas.map(({ shard }) => shard)).size).toBe(areas.length);
    for (const { shard, owner } of entries) {
      const copy = `serving ${owner}@1`;
      expect(await three.copiesOf(shard)).toEqual({ a: copy, b: copy, c: copy });
    }
    for (const { name, shard } of areas) {
      expect(entries.find((entry) => entry.shard === shard)?.owner, name).toBe(name.startsWith('x') ? 'a' : 'b');
    }
  });
});

describe('a creation that broke off', () => {
  it.each([1, 2, 3, 4, 5, 6, 7, 8, 9])(
    'after %d writes is no obstacle to the next, which does the same',
    async (writes) => {
      const network = new Network();
      const killed = coordinator('killed', network);
      await killed.publisher.readVoters();
      network.writesLeft = writes;
      await killed.create({ name: 'Centre', cells: [AMSTERDAM], zone: 'b' }).catch(() => undefined);
      const { area } = await coordinator('next').create({ name: 'Centre', cells: [AMSTERDAM], zone: 'b' });

      expect(area.zone).toBe('b');
      const served = { a: 'serving b@1', b: 'serving b@1', c: 'serving b@1' };
      expect(await three.copiesOf(area.shard)).toEqual(served);
      expect(Object.values(await three.areas())).toEqual(Array.from({ length: 3 }, () => ({ Centre: area.shard })));
    },
  );

  it('and is known to one voter that is away now gives its shard to the next area, so that both never live', async () => {
    const dead = three.coordinator('dead');
    const { term } = await three.judge(dead);
    await dead.install(term, 0, 1, 'a');
    await three.voter('c').putArea(term, { shard: 0, name: 'Centre', cells: [AMSTERDAM] });
    const next = await coordinator('next', new Network('c')).create({
      name: 'Other',
      cells: cellToChildren(AMSTERDAM, 6),
    });
    const whole = coordinator('whole');
    await whole.publisher.readVoters();

    expect(next.area).toMatchObject({ shard: 0, zone: 'a' });
    expect(whole.publisher.areaMap().areas.map(({ name }) => name)).toEqual(['Other']);
    expect(await three.areas()).toEqual({ a: { Other: 0 }, b: { Other: 0 }, c: { Other: 0 } });
  });

  it('and may be known to a voter that is away is waited for when its shard does not fit the next area', async () => {
    const dead = three.coordinator('dead');
    await dead.install((await three.judge(dead)).term, 0, 1, 'a');
    const withoutC = coordinator('next', new Network('c'));

    expect(await refusalOf(withoutC.create({ name: 'Other', cells: [AMSTERDAM], zone: 'b' }))).toBe('zone-unavailable');
    const { area } = await coordinator('whole').create({ name: 'Other', cells: [AMSTERDAM], zone: 'b' });
    expect(area).toMatchObject({ shard: 1, zone: 'b' });
  });
});
