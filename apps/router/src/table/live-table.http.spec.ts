import { Notices, Readiness } from '@borough/server-kit';
import { shardOfCell } from '@borough/topology';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FakeCoordinator } from '../far-side.js';
import { LiveTable } from './live-table.js';

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

function startTable(pollEveryMs = 3_600_000): LiveTable {
  // Never started: these tests are about what a router learns by asking.
  const notices = new Notices('nats://127.0.0.1:1', 'spec', logger);
  const table = new LiveTable([first.url, second.url], notices, readiness, logger, pollEveryMs);
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
    await table.refreshAfterMiss();

    expect(shardOfCell(table.areaMap, BERLIN)).toBe(2);
    expect(table.entryOf(2)?.owner).toBe('b');
  });

  it('many misses at once are one fetch', async () => {
    const table = await startKnownTable();
    const before = first.fetches;
    await Promise.all(Array.from({ length: 1_000 }, () => table.refreshAfterMiss()));

    expect(first.fetches - before).toBe(1);
  });

  it('a miss while a fetch is under way gets one of its own: that one may have read too early', async () => {
    const table = await startKnownTable();
    let open = (): void => undefined;
    first.gate = new Promise<void>((resolve) => (open = resolve));
    const before = first.fetches;
    const early = table.refreshAfterMiss();
    await expect.poll(() => first.fetches).toBe(before + 1);
    first.addArea(2, BERLIN, 'b');
    const late = table.refreshAfterMiss();
    open();
    await Promise.all([early, late]);

    expect(table.entryOf(2)?.owner).toBe('b');
  });

  it('nothing is lost when no coordinator can be asked', async () => {
    first.addArea(1, AMSTERDAM, 'a');
    const table = await startKnownTable();
    await Promise.all([first.kill(), second.kill()]);
    await table.refreshAfterMiss();

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
    await table.refreshAfterMiss();

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
    await table.refreshAfterMiss();
    await table.refreshAfterMiss();

    expect(first.received.filter(({ target }) => target === '/v1/area-map')).toHaveLength(1);
  });
});
