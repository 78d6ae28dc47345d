/**
 * Lets a cluster audit itself, and checks that it finds what was planted in it and nothing else.
 *
 *   fill → plant → load → audit → audit and heal → audit → load ends
 */
import { mkdirSync, rmSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { type ClusterAddresses } from '../../../infra/local/cluster-addresses.js';
import { startCluster } from '../../../infra/local/cluster.js';
import { consoleReport } from '../../../infra/local/console.js';
import { freeBaseAfter, portBaseFromEnvironment } from '../../../infra/local/ports.js';
import { seededRandom } from '../../load/replay/seeded-random.js';
import { type DrillParts } from '../handover-drill.js';
import { PlainClient } from '../load/clients.js';
import { Load } from '../load/load.js';
import { MoveDriver } from '../moves.js';
import { type AuditOptions } from '../options.js';
import { setUpAreas } from '../set-up.js';
import { audited } from './audited.js';
import { fillZones, plantDifferences, uprootExtras } from './planted-rows.js';
import { type AuditReport, auditReportOf, type AuditRun } from './report.js';

const WARM_UP_MS = 2_000;
const PROGRESS_ROWS = 200_000;

/** @throws StarterError when the cluster cannot start; Error when the drill itself could not go on */
export async function auditDrill(options: AuditOptions, parts: DrillParts): Promise<AuditReport> {
  const { directory, signal } = parts;
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true });
  const cluster = await startCluster({
    directory,
    portBase: await freeBaseAfter(portBaseFromEnvironment()),
    services: 'all',
    failoverPolicy: 'manual',
    report: consoleReport(process.stdout),
    signal,
  });
  try {
    return await drillOn(cluster.addresses, options, parts);
  } finally {
    await cluster.stop();
  }
}

async function drillOn(
  addresses: ClusterAddresses,
  { orders, differences, rate, seed, shards }: AuditOptions,
  { say, signal }: DrillParts,
): Promise<AuditReport> {
  const startedAt = new Date();
  const { zones } = addresses;
  const areas = await setUpAreas(addresses, shards);
  const random = seededRandom(seed);
  const owners = await new MoveDriver(addresses, random).owners();
  const numbers = [...owners.keys()];
  let told = 0;
  await fillZones(zones, numbers, orders, (rows) => {
    signal.throwIfAborted();
    if (rows - told < PROGRESS_ROWS && rows < orders) return;
    told = rows;
    say(`${rows} of ${orders} orders in each of ${zones.length} zones`);
  });
  const planted = await plantDifferences(zones, owners, orders, differences, random);
  const client = new PlainClient(addresses.routerUrls);
  const load = new Load(areas, [client], rate, random, `audit${seed}`);
  load.start();
  const runs: AuditRun[] = [];
  const play = async (name: AuditRun['name'], request: object): Promise<void> => {
    const { view, tookMs } = await audited(addresses, request);
    runs.push({ name, view, tookMs });
    say(`${name}: ${view.differing} rows differ, ${Math.round(tookMs)} ms`);
  };
  try {
    await sleep(WARM_UP_MS, undefined, { signal });
    await play('audit', {});
    await play('audit and heal', { heal: true });
    await uprootExtras(zones, planted);
    await play('audit again', {});
  } finally {
    await load.stop();
    await client.close();
  }
  return auditReportOf({ startedAt, seed, orders, planted, runs, requests: load.records.length, failed: load.failed });
}
