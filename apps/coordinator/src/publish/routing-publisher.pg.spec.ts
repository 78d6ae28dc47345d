import { type RoutingChanged, ROUTING_CHANGED_SUBJECT, routingChanged } from '@borough/contracts';
import { Notices, Problem, Readiness } from '@borough/server-kit';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { createZoneDatabase, natsUrl } from '../../../../test/support/databases.js';
import { Network, ThreeVoters, type Zone } from '../voters/three-voters.js';
import { type Voters } from '../voters/voters.js';
import { RoutingPublisher } from './routing-publisher.js';

const CENTRE = { shard: 0, name: 'Centre', cells: ['85196953fffffff'] };

let three: ThreeVoters;
const ends: (() => Promise<void>)[] = [];

beforeAll(async () => {
  three = await ThreeVoters.start(createZoneDatabase);
});

afterEach(async () => {
  for (const end of ends.splice(0)) await end();
  await three.clear();
});

afterAll(async () => {
  await three.stop();
});

interface Published {
  readonly publisher: RoutingPublisher;
  readonly readiness: Readiness;
}

/** A publisher of what this coordinator reads; with the broker away unless one is given. */
function publisherOf(voters: Voters, notices = new Notices('nats://127.0.0.1:1', 'spec', three.silent)): Published {
  const readiness = new Readiness();
  return { publisher: new RoutingPublisher(voters, notices, readiness, three.silent, 50, () => true), readiness };
}

async function install(voters: Voters, shard: number, owner: Zone): Promise<void> {
  await voters.install((await three.judge(voters)).term, shard, 1, owner);
}

async function putArea(voters: Voters, area = CENTRE): Promise<void> {
  await voters.putArea((await three.judge(voters)).term, area);
}

function serving(shard: number, owner: Zone): object {
  return { shard, epoch: 1, state: 'serving', owner };
}

describe('before a majority of voters was read', () => {
  it('nothing is published, and the process is not ready', async () => {
    const { publisher, readiness } = publisherOf(three.coordinator('x', new Network('a', 'b')));
    await expect(publisher.readVoters()).rejects.toMatchObject({ code: 'no-majority' });

    expect(() => publisher.snapshot()).toThrow(Problem);
    expect(() => publisher.areaMap()).toThrow(Problem);
    expect(readiness.isReady).toBe(false);
  });

  it('an empty table is one too', async () => {
    const { publisher, readiness } = publisherOf(three.coordinator('x'));
    await publisher.readVoters();

    expect(publisher.snapshot()).toEqual({ tableVersion: 0, areaMapVersion: 0, entries: [] });
    expect(readiness.isReady).toBe(true);
  });
});

describe('the published table', () => {
  it('is what a majority holds, in order of shards, with its version', async () => {
    const x = three.coordinator('x');
    await install(x, 3, 'c');
    await install(x, 0, 'a');
    const { publisher } = publisherOf(three.coordinator('y', new Network('b')));
    await publisher.readVoters();

    expect(publisher.snapshot()).toEqual({
      tableVersion: 10,
      areaMapVersion: 0,
      entries: [serving(0, 'a'), serving(3, 'c')],
    });
  });

  it('has no owner that was only accepted, as long as that one cannot be told; the rest is published', async () => {
    const x = three.coordinator('x');
    await install(x, 0, 'a');
    const { term } = await three.judge(x);
    for (const zone of ['a', 'b'] as const) await three.voter(zone).accept(term, 1, 1, 'c');
    const { publisher } = publisherOf(three.coordinator('y', new Network('c')));
    await publisher.readVoters();

    expect(publisher.snapshot().entries).toEqual([serving(0, 'a')]);
  });

  it('has what was half-installed once it is finished, and not before', async () => {
    const { term } = await three.judge(three.coordinator('dead'));
    await three.voter('b').accept(term, 1, 1, 'c');
    const { publisher } = publisherOf(three.coordinator('next'));
    await publisher.readVoters();

    expect(publisher.snapshot().entries).toEqual([serving(1, 'c')]);
    expect(await three.copiesOf(1)).toEqual({ a: 'serving c@1', b: 'serving c@1', c: 'serving c@1' });
  });

  it('is kept and served when the voters go away', async () => {
    const network = new Network();
    const x = three.coordinator('x', network);
    await install(x, 0, 'a');
    await putArea(x);
    const { publisher, readiness } = publisherOf(x);
    await publisher.readVoters();
    network.away.add('a').add('b').add('c');
    await expect(publisher.readVoters()).rejects.toMatchObject({ code: 'no-majority' });

    expect(publisher.snapshot().entries).toEqual([serving(0, 'a')]);
    expect(publisher.areaMap().areas).toEqual([CENTRE]);
    expect(readiness.isReady).toBe(true);
  });

  it('is not taken back by a reading that began before the last one and ended after it', async () => {
    const network = new Network();
    const { publisher } = publisherOf(three.coordinator('slow', network));
    let letPass = (): void => undefined;
    network.readingsPass = new Promise<void>((resolve) => (letPass = resolve));
    const late = publisher.readVoters();
    await expect.poll(() => network.readings).toBe(3);
    network.readingsPass = Promise.resolve();
    const x = three.coordinator('x');
    await install(x, 0, 'a');
    await putArea(x);
    await publisher.readVoters();
    letPass();
    await late;

    expect(publisher.snapshot().entries).toEqual([serving(0, 'a')]);
    expect(publisher.areaMap().areas).toEqual([CENTRE]);
  });
});

describe('the published area map', () => {
  it('has no area that fewer than a majority hold, until it is finished', async () => {
    const { term } = await three.judge(three.coordinator('dead'));
    await three.voter('c').putArea(term, CENTRE);
    const withoutC = publisherOf(three.coordinator('x', new Network('c')));
    const whole = publisherOf(three.coordinator('y'));
    await withoutC.publisher.readVoters();
    await whole.publisher.readVoters();

    expect(withoutC.publisher.areaMap()).toEqual({ areaMapVersion: 0, areas: [] });
    expect(whole.publisher.areaMap()).toEqual({ areaMapVersion: 1, areas: [CENTRE] });
    expect(await three.areas()).toEqual({ a: { Centre: 0 }, b: { Centre: 0 }, c: { Centre: 0 } });
  });
});

describe('routers are told', () => {
  it('of every change once, with what changed and the versions after it', async () => {
    const heard: RoutingChanged[] = [];
    const [sender, listener] = [0, 1].map(() => {
      const notices = new Notices(natsUrl(), 'spec', three.silent);
      ends.push(() => notices.stop());
      notices.start();
      return notices;
    });
    if (sender === undefined || listener === undefined) throw new Error('two are made');
    listener.listen(ROUTING_CHANGED_SUBJECT, routingChanged, (notice) => {
      // Shards that no other test speaks of: the broker is shared by the whole run.
      if (notice.entries.every(({ shard }) => shard >= 2_000 && shard < 2_010)) heard.push(notice);
    });
    const x = three.coordinator('x');
    const { publisher } = publisherOf(x, sender);
    await expect.poll(() => sender.isConnected && listener.isConnected).toBe(true);
    await install(x, 2_000, 'a');
    await publisher.readVoters();
    await publisher.readVoters();
    await install(x, 2_001, 'b');
    await install(x, 2_002, 'c');
    await publisher.readVoters();

    await expect.poll(() => heard).toHaveLength(2);
    expect(heard).toEqual([
      { tableVersion: 5, areaMapVersion: 0, entries: [serving(2_000, 'a')] },
      { tableVersion: 15, areaMapVersion: 0, entries: [serving(2_001, 'b'), serving(2_002, 'c')] },
    ]);
  });

  it('by a loop that reads again and again until it is stopped, and survives the loss of all voters', async () => {
    const network = new Network();
    const x = three.coordinator('x', network);
    const { publisher } = publisherOf(x);
    ends.push(() => publisher.stop());
    publisher.start();
    await install(three.coordinator('y'), 0, 'a');
    await expect.poll(() => publisher.snapshot().entries).toHaveLength(1);
    network.away.add('a').add('b');
    const lost = network.lost;
    await install(three.coordinator('z'), 1, 'b');
    await expect.poll(() => network.lost).toBeGreaterThan(lost);
    network.away.clear();

    await expect.poll(() => publisher.snapshot().entries, { timeout: 5_000 }).toHaveLength(2);
  });
});
