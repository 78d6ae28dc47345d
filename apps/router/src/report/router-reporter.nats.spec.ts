import { ROUTER_REPORT_SUBJECT, type RouterReport, routerReport } from '@borough/contracts';
import { Notices, Readiness } from '@borough/server-kit';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { natsUrl } from '../../../../test/support/databases.js';
import { FakeCoordinator } from '../far-side.js';
import { LiveTable } from '../table/live-table.js';
import { newRouterId, reportHeaders, RouterReporter } from './router-reporter.js';

/** A shard that no other test speaks of: the broker is shared by the whole run. */
const SHARD = 3_201;

const logger = pino({ level: 'silent' });
let coordinator: FakeCoordinator;
let heard: RouterReport[];
const ends: (() => Promise<void>)[] = [];

beforeEach(async () => {
  coordinator = await new FakeCoordinator().start();
  coordinator.addArea(SHARD, '85196953fffffff', 'a');
  heard = [];
});

afterEach(async () => {
  vi.useRealTimers();
  for (const end of ends.splice(0)) await end();
  await coordinator.kill();
});

function notices(url = natsUrl()): Notices {
  const connection = new Notices(url, 'spec', logger);
  connection.start();
  ends.push(() => connection.stop());
  return connection;
}

/** A router whose reports a coordinator hears, from `hear` on. */
async function startReporterWithNats(): Promise<{ table: LiveTable; routerId: string; hear: () => void }> {
  const ear = notices();
  const mouth = notices();
  await expect.poll(() => ear.isConnected && mouth.isConnected).toBe(true);
  const started = await startReporter(mouth);
  const hear = (): void => {
    ear.listen(ROUTER_REPORT_SUBJECT, routerReport, (report) => {
      if (report.routerId === started.routerId) heard.push(report);
    });
  };
  return { ...started, hear };
}

/** A router's table and its reports. */
async function startReporter(own: Notices): Promise<{ table: LiveTable; routerId: string }> {
  const routerId = newRouterId('spec');
  const report = (): RouterReport => ({ routerId, tableVersion: table.tableVersion, heldRequests: 3 });
  const table = new LiveTable({
    coordinatorUrls: [coordinator.url],
    notices: own,
    readiness: new Readiness(),
    logger,
    pollEveryMs: 3_600_000,
    pollWithoutNoticesMs: 3_600_000,
    pollHeaders: () => reportHeaders(report()),
  });
  const reporter = new RouterReporter(table, own, report);
  ends.push(() => {
    reporter.stop();
    return table.stop();
  });
  reporter.start();
  table.start();
  await expect.poll(() => table.isKnown).toBe(true);
  return { table, routerId };
}

describe('a report', () => {
  it('goes out again and again', async () => {
    const { routerId, hear } = await startReporterWithNats();
    hear();

    await expect.poll(() => heard.length, { timeout: 10_000 }).toBeGreaterThan(1);
    expect(heard[0]).toMatchObject({ routerId, heldRequests: 3 });
  });

  it('goes out with each change of the table, and does not wait for its time', async () => {
    vi.useFakeTimers({ toFake: ['setInterval'] });
    const { table, hear } = await startReporterWithNats();
    hear();
    // A report is asked for until one is heard: from here on none is lost.
    let epoch = 1;
    await expect
      .poll(async () => {
        epoch += 1;
        coordinator.say({ shard: SHARD, epoch, state: 'serving', owner: 'b' });
        await table.refresh();
        return heard.length;
      })
      .toBeGreaterThan(0);
    coordinator.say({ shard: SHARD, epoch: 100, state: 'serving', owner: 'b' });
    await table.refresh();

    // Others may publish meanwhile: the table may hold more than this test put there.
    await expect.poll(() => heard.at(-1)?.tableVersion).toBeGreaterThanOrEqual(401);
  });

  it('goes with a poll, at once, when NATS is away and the table changed', async () => {
    const { table, routerId } = await startReporter(new Notices('nats://127.0.0.1:1', 'spec', logger));
    coordinator.say({ shard: SHARD, epoch: 2, state: 'serving', owner: 'b' });
    await table.refresh();

    await expect
      .poll(() => coordinator.received.at(-1)?.headers)
      .toMatchObject({ 'borough-router': routerId, 'borough-table-version': '9', 'borough-held-requests': '3' });
  });
});

describe('the name of a router', () => {
  it('is new with each start, and always fits a header and the report', () => {
    const names = ['eu-1', 'a name, with such signs ü', 'x'.repeat(500), ''].flatMap((name) => [
      newRouterId(name),
      newRouterId(name),
    ]);

    expect(new Set(names).size).toBe(names.length);
    for (const routerId of names) {
      expect(routerId).toMatch(/^[\w.-]+$/);
      expect(routerReport.safeParse({ routerId, tableVersion: 0, heldRequests: 0 }).success).toBe(true);
    }
  });
});
