import { Notices, Readiness } from '@borough/server-kit';
import { type RoutingEntry, shardOfCell } from '@borough/topology';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FakeCoordinator } from '../far-side.js';
import { LiveTable, type LiveTableOptions } from './live-table.js';

const AMSTERDAM = '85196953fffffff';
const BERLIN = '851f1d4bfffffff';

const logger = pino({ level: 'silent' });
let first: FakeCoordinator;
let second: FakeCoordinator;
let readiness: Readiness;
const started: LiveTable[] = [];

beforeEach(async () => {
  [first, second] = await Promise.all([new FakeCoordinator().start(), new FakeCoordinator().start()]);
  readiness = new Readiness();
});

afterEach(async () => {
  await Promise.all(started.splice(0).map((table) => table.stop()));
  await Promise.all([first.kill(), second.kill()]);
});

function startTable(pollEveryMs = 3_600_000, more: Partial<LiveTableOptions> = {}): LiveTable {
  // Never started: these tests are about what a router learns by asking.
  const notices = new Notices('nats://127.0.0.1:1', 'spec', logger);
  const table = new LiveTable({
    coordinatorUrls: [first.url, second.url],
    notices,
    readiness,
    logger,
    pollEveryMs,
    pollWithoutNoticesMs: pollEveryMs,
    ...more,
  });
  started.push(table);
  table.start();
  return table;
}

async function startKnownTable(): Promise<LiveTable> {
  const table = startTable();
  await expect.poll(() => table.isKnown).toBe(true);
  return table;
}

describe('at the start', () => {
  it('the table is fetched, and the router is ready with it and not before', async () => {
    first.addArea(1, AMSTERDAM, 'a', 3);
    const table = startTable();
    expect(readiness.isReady).toBe(false);
    await expect.poll(() => readiness.isReady).toBe(true);

    expect(table.entryOf(1)).toEqual({ shard: 1, epoch: 3, state: 'serving', owner: 'a' });
    expect(table.tableVersion).toBe(13);
    expect(shardOfCell(table.areaMap, AMSTERDAM)).toBe(1);
  });

  it('an empty table is a table: the router is ready', async () => {
    await startKnownTable();

    expect(readiness.isReady).toBe(true);
  });

  it.each<[string, FakeCoordinator['answer']]>([
    ['refuses', (response) => void response.writeHead(503).end('{"code":"no-majority"}')],
    ['answers something that is no table', (response) => void response.end('{"tableVersion":"many"}')],
    ['answers something that is no JSON', (response) => void response.end('<html>')],
    ['hangs up', (response) => void response.destroy()],
  ])('the next coordinator is asked when the first %s', async (_how, answer) => {
    first.answer = answer;
    second.addArea(1, AMSTERDAM, 'a');
    const table = await startKnownTable();

    expect(table.entryOf(1)?.owner).toBe('a');
  });

  it('with every coordinator away it is tried again until one is there', async () => {
    await Promise.all([first.kill(), second.kill()]);
    const table = startTable();
    await first.start();
    await expect.poll(() => table.isKnown).toBe(true);
  });
});

describe('after a miss', () => {
  it('an area that was added meanwhile is found', async () => {
    const table = await startKnownTable();
    first.addArea(2, BERLIN, 'b');
    expect(shardOfCell(table.areaMap, BERLIN)).toBeUndefined();
    await table.refresh();

    expect(shardOfCell(table.areaMap, BERLIN)).toBe(2);
    expect(table.entryOf(2)?.owner).toBe('b');
  });

  it('many misses at once are one fetch', async () => {
    const table = await startKnownTable();
    const before = first.fetches;
    await Promise.all(Array.from({ length: 1_000 }, () => table.refresh()));

    expect(first.fetches - before).toBe(1);
  });

  it('a miss while a fetch is under way gets one of its own: that one may have read too early', async () => {
    const table = await startKnownTable();
    let open = (): void => undefined;
    first.gate = new Promise<void>((resolve) => (open = resolve));
    const before = first.fetches;
    const early = table.refresh();
    await expect.poll(() => first.fetches).toBe(before + 1);
    first.addArea(2, BERLIN, 'b');
    const late = table.refresh();
    open();
    await Promise.all([early, late]);

    expect(table.entryOf(2)?.owner).toBe('b');
  });

  it('nothing is lost when no coordinator can be asked', async () => {
    first.addArea(1, AMSTERDAM, 'a');
    const table = await startKnownTable();
    await Promise.all([first.kill(), second.kill()]);
    await table.refresh();

    expect(table.entryOf(1)?.owner).toBe('a');
    expect(readiness.isReady).toBe(true);
  });
});

describe('a table only goes forward', () => {
  it('a coordinator that is behind takes nothing back', async () => {
    first.addArea(1, AMSTERDAM, 'a', 2);
    first.addArea(2, BERLIN, 'b');
    const table = await startKnownTable();
    await first.kill();
    second.addArea(1, AMSTERDAM, 'c', 1);
    await table.refresh();

    expect(second.fetches).toBeGreaterThan(0);
    expect(table.entryOf(1)).toMatchObject({ epoch: 2, owner: 'a' });
    expect(shardOfCell(table.areaMap, BERLIN)).toBe(2);
  });

  it('a later epoch is taken by polling alone', async () => {
    first.addArea(1, AMSTERDAM, 'a');
    const table = startTable(20);
    await expect.poll(() => table.entryOf(1)?.owner).toBe('a');
    first.entries = [{ shard: 1, epoch: 2, state: 'serving', owner: 'b' }];

    await expect.poll(() => table.entryOf(1)?.owner).toBe('b');
  });

  it('the area map is fetched when it changed, and not every time', async () => {
    first.addArea(1, AMSTERDAM, 'a');
    const table = await startKnownTable();
    await table.refresh();
    await table.refresh();

    expect(first.received.filter(({ target }) => target === '/v1/area-map')).toHaveLength(1);
  });
});

describe('a coordinator that hangs', () => {
  const frozen = new Promise<never>(() => undefined);

  it('keeps nobody from what the others say, however often they are asked', async () => {
    first.gate = frozen;
    second.addArea(1, AMSTERDAM, 'a');
    const table = await startKnownTable();
    for (let epoch = 2; epoch < 20; epoch += 1) {
      second.say({ shard: 1, epoch, state: 'serving', owner: 'b' });
      await table.refresh();
      expect(table.entryOf(1)?.epoch).toBe(epoch);
    }

    // Asked again and again, but never owing more than a few answers.
    expect(first.fetches).toBeLessThan(10);
  });

  it('is heard again as soon as it goes on', async () => {
    let goOn = (): void => undefined;
    first.gate = new Promise<void>((resolve) => (goOn = resolve));
    first.addArea(1, AMSTERDAM, 'a');
    const table = await startKnownTable();
    expect(table.entryOf(1)).toBeUndefined();
    goOn();

    await expect.poll(() => table.entryOf(1)?.owner).toBe('a');
  });
});

describe('an area map that cannot be built', () => {
  it('does not keep routers from what moved; it is taken when it is mended', async () => {
    first.addArea(1, AMSTERDAM, 'a');
    const table = await startKnownTable();
    first.addArea(2, AMSTERDAM, 'b');
    first.say({ shard: 1, epoch: 2, state: 'serving', owner: 'b' });
    await table.refresh();
    expect(table.entryOf(1)).toMatchObject({ epoch: 2, owner: 'b' });
    expect(shardOfCell(table.areaMap, AMSTERDAM)).toBe(1);
    first.areas.splice(1, 1, { shard: 2, name: 'mended', cells: [BERLIN] });

    await expect
      .poll(
        async () => {
          await table.refresh();
          return shardOfCell(table.areaMap, BERLIN);
        },
        { timeout: 5_000 },
      )
      .toBe(2);
  });
});

describe('polling', () => {
  it('asks for what is new only: an unchanged table is not sent again', async () => {
    first.addArea(1, AMSTERDAM, 'a');
    const table = await startKnownTable();
    await table.refresh();
    const known = first.received.at(-1)?.headers['if-none-match'];
    first.say({ shard: 1, epoch: 2, state: 'serving', owner: 'b' });
    await table.refresh();

    expect(known).toMatch(/^".+"$/);
    expect(table.entryOf(1)?.owner).toBe('b');
  });

  it('is slow while notices come, and quick while NATS is away', async () => {
    const table = startTable(3_600_000, { pollWithoutNoticesMs: 20 });
    await expect.poll(() => table.isKnown).toBe(true);
    first.say({ shard: 1, epoch: 2, state: 'serving', owner: 'b' });

    await expect.poll(() => table.entryOf(1)?.owner).toBe('b');
  });

  it('tells every coordinator what this router holds', async () => {
    startTable(3_600_000, { pollHeaders: () => ({ 'borough-router': 'r-1', 'borough-held-requests': '7' }) });
    await expect.poll(() => first.fetches * second.fetches).toBeGreaterThan(0);

    for (const { received } of [first, second]) {
      expect(received[0]?.headers).toMatchObject({ 'borough-router': 'r-1', 'borough-held-requests': '7' });
    }
  });
});

describe('a listener', () => {
  it('is told what became later, and nothing else, until it listens no more', async () => {
    first.addArea(1, AMSTERDAM, 'a');
    first.addArea(2, BERLIN, 'a');
    const table = await startKnownTable();
    const told: (readonly RoutingEntry[])[] = [];
    const stop = table.onChange((changed) => told.push(changed));
    await table.refresh();
    const moving: RoutingEntry = { shard: 2, epoch: 1, state: 'moving', owner: 'a', heir: 'b' };
    first.say(moving);
    await table.refresh();
    stop();
    first.say({ shard: 2, epoch: 2, state: 'serving', owner: 'b' });
    await table.refresh();

    expect(told).toEqual([[moving]]);
  });
});
