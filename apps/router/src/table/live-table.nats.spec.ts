import { ROUTING_CHANGED_SUBJECT } from '@borough/contracts';
import { Notices, Readiness } from '@borough/server-kit';
import { type RoutingEntry, shardOfCell } from '@borough/topology';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { natsUrl } from '../../../../test/support/databases.js';
import { FakeCoordinator } from '../far-side.js';
import { LiveTable } from './live-table.js';

const AMSTERDAM = '85196953fffffff';
const BERLIN = '851f1d4bfffffff';
/** Shards that no other test speaks of: the broker is shared by the whole run, and others may publish meanwhile. */
const ONE = 3_001;
const TWO = 3_002;
const PROBE: RoutingEntry = { shard: 3_003, epoch: 1, state: 'serving', owner: 'z' };

const logger = pino({ level: 'silent' });
let coordinator: FakeCoordinator;
let sender: Notices;
let listener: Notices;
let table: LiveTable;

/** A router that has its first table, and hears what `tell` says. Nothing is polled. */
beforeEach(async () => {
  coordinator = await new FakeCoordinator().start();
  coordinator.addArea(ONE, AMSTERDAM, 'a');
  sender = new Notices(natsUrl(), 'spec-sender', logger);
  listener = new Notices(natsUrl(), 'spec-listener', logger);
  sender.start();
  table = new LiveTable({
    coordinatorUrls: [coordinator.url],
    notices: listener,
    readiness: new Readiness(),
    logger,
    pollEveryMs: 3_600_000,
    pollWithoutNoticesMs: 3_600_000,
  });
  table.start();
  listener.start();
  await expect.poll(() => sender.isConnected && listener.isConnected && table.isKnown).toBe(true);
  // A notice is sent until it is heard: from here on none is lost.
  await expect
    .poll(() => {
      tell([PROBE], 0);
      return table.entryOf(PROBE.shard);
    })
    .toEqual(PROBE);
});

afterEach(async () => {
  await table.stop();
  await Promise.all([sender.stop(), listener.stop()]);
  await coordinator.kill();
});

function tell(entries: readonly RoutingEntry[], tableVersion: number, areaMapVersion = 1): void {
  sender.publish(ROUTING_CHANGED_SUBJECT, { tableVersion, areaMapVersion, entries });
}

/** More than this router can know. */
const GAP = 1_000_000;

describe('a notice', () => {
  it('that brings all that changed is taken as it is: nothing else is needed', async () => {
    await coordinator.kill();
    const moved: RoutingEntry = { shard: ONE, epoch: 2, state: 'serving', owner: 'b' };
    tell([moved], 0);

    await expect.poll(() => table.entryOf(ONE)).toEqual(moved);
  });

  it('that shows a gap makes the router fetch the snapshot', async () => {
    coordinator.entries = [{ shard: ONE, epoch: 7, state: 'serving', owner: 'c' }];
    tell([{ shard: TWO, epoch: 1, state: 'serving', owner: 'b' }], GAP);

    await expect.poll(() => table.entryOf(ONE)).toMatchObject({ epoch: 7, owner: 'c' });
    expect(table.entryOf(TWO)?.owner).toBe('b');
  });

  it('of a changed area map makes the router fetch that', async () => {
    coordinator.addArea(TWO, BERLIN, 'b');
    tell([{ shard: TWO, epoch: 1, state: 'serving', owner: 'b' }], 0, 2);

    await expect.poll(() => shardOfCell(table.areaMap, BERLIN)).toBe(TWO);
  });

  it('that comes while a snapshot is fetched is followed by another: that one may have been read too early', async () => {
    const fetchesBefore = coordinator.fetches;
    let open = (): void => undefined;
    coordinator.gate = new Promise<void>((resolve) => (open = resolve));
    const miss = table.refresh();
    await expect.poll(() => coordinator.fetches).toBeGreaterThan(fetchesBefore);
    coordinator.addArea(TWO, BERLIN, 'b');
    tell([{ shard: TWO, epoch: 1, state: 'serving', owner: 'b' }], 0, 2);
    await expect.poll(() => table.entryOf(TWO)?.owner).toBe('b');
    open();
    await miss;

    await expect.poll(() => shardOfCell(table.areaMap, BERLIN)).toBe(TWO);
  });

  it('that is late, repeated or out of order changes nothing', async () => {
    const later: RoutingEntry = { shard: ONE, epoch: 3, state: 'serving', owner: 'c' };
    tell([later], 0);
    tell([{ shard: ONE, epoch: 2, state: 'moving', owner: 'b', heir: 'c' }], 0);
    tell([{ shard: ONE, epoch: 1, state: 'serving', owner: 'a' }], 0);
    tell([later], 0);
    const last: RoutingEntry = { shard: TWO, epoch: 1, state: 'serving', owner: 'a' };
    tell([last], 0);
    await expect.poll(() => table.entryOf(TWO)).toEqual(last);

    expect(table.entryOf(ONE)).toEqual(later);
  });

  it('that is no notice is skipped, and the next one is taken', async () => {
    sender.publish(ROUTING_CHANGED_SUBJECT, { tableVersion: 'many', entries: [] });
    sender.publish(ROUTING_CHANGED_SUBJECT, { tableVersion: 1, areaMapVersion: 1, entries: [{ shard: 9_999 }] });
    tell([{ shard: ONE, epoch: 2, state: 'moving', owner: 'a', heir: 'b' }], 0);

    await expect.poll(() => table.entryOf(ONE)).toMatchObject({ state: 'moving', heir: 'b' });
  });

  it('whose snapshot cannot be fetched is not the end: the next one is taken', async () => {
    await coordinator.kill();
    tell([], GAP);
    tell([{ shard: ONE, epoch: 2, state: 'serving', owner: 'b' }], 0);

    await expect.poll(() => table.entryOf(ONE)?.owner).toBe('b');
  });
});
