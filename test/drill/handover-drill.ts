import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { type Cluster, startCluster } from '../../infra/local/cluster.js';
import { consoleReport } from '../../infra/local/console.js';
import { freeBaseAfter, portBaseFromEnvironment } from '../../infra/local/ports.js';
import { seededRandom } from '../load/replay/seeded-random.js';
import { checkHistory } from './checker/check-history.js';
import { type History } from './checker/history.js';
import { nowMs } from './clock.js';
import { playFault } from './faults.js';
import { PlainClient, SdkClient } from './load/clients.js';
import { Load } from './load/load.js';
import { locksOf, MoveDriver, type MoveResult } from './moves.js';
import { type Fault, type HandoverOptions } from './options.js';
import { type DrillReport, reportOf } from './report.js';
import { setUpAreas } from './set-up.js';
import { quietZones } from './zone-rows.js';
import { writeHistory } from './write-history.js';

/** Load before the first move and after the last, in ms: connections are open, caches warm. */
const WARM_UP_MS = 2_000;
const SDK_CLIENTS = 4;
const PROGRESS_EVERY_MS = 2_000;

export interface DrillParts {
  /** Absolute; emptied first. */
  readonly directory: string;
  readonly say: (line: string) => void;
  readonly signal: AbortSignal;
}

/**
 * Starts a cluster, loads it, moves shards about, plays the faults, and checks what came of it.
 *
 * @throws StarterError when the cluster cannot start; Error when the drill itself could not go on
 */
export async function handoverDrill(options: HandoverOptions, parts: DrillParts): Promise<DrillReport> {
  const { directory, signal } = parts;
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true });
  const crashPointFile = join(directory, 'crash-point');
  const cluster = await startCluster({
    directory,
    portBase: await freeBaseAfter(portBaseFromEnvironment()),
    services: 'all',
    routers: options.routers,
    coordinators: options.coordinators,
    environment: { CRASH_POINT_FILE: crashPointFile },
    // What is frozen here comes back: it is handovers that are tried.
    failoverPolicy: 'manual',
    report: consoleReport(process.stdout),
    signal,
  });
  try {
    return await drillOn(cluster, options, parts, crashPointFile);
  } finally {
    await cluster.stop();
  }
}

async function drillOn(
  cluster: Cluster,
  options: HandoverOptions,
  { say, signal, directory }: DrillParts,
  crashPointFile: string,
): Promise<DrillReport> {
  const { addresses } = cluster;
  const areas = await setUpAreas(addresses, options.shards);
  say(
    `${areas.length} areas in ${addresses.zones.length} zones; ${options.rate} requests a second, ${options.moves} moves`,
  );
  const random = seededRandom(options.seed);
  const clients = [new PlainClient(addresses.routerUrls), new SdkClient(addresses.routerUrls, SDK_CLIENTS)];
  const load = new Load(areas, clients, options.rate, random, `drill${options.seed}`);
  const driver = new MoveDriver(addresses, seededRandom(options.seed + 1));
  const results: MoveResult[] = [];
  const faults: string[] = [];
  const startedAt = new Date();
  const begin = performance.now();
  const progress = setInterval(() => {
    say(`${results.length} moves, ${load.records.length} requests, ${load.failed} failed, ${load.inFlight} under way`);
  }, PROGRESS_EVERY_MS);
  let stopped: Error | undefined;
  try {
    load.start();
    await pause(WARM_UP_MS, signal);
    const plan = faultPlan(options);
    while (results.length < options.moves && !signal.aborted) {
      const fault = plan.get(results.length) ?? [];
      plan.delete(results.length);
      for (const name of fault) {
        const played = await playFault(name, {
          cluster,
          driver,
          crashPointFile,
          say: (line) => {
            faults.push(line);
            say(line);
          },
          answered: () => load.records.length - load.failed,
        });
        results.push(...played);
      }
      results.push(...(await driver.next()));
      // Several moves at once may step over the place of a fault.
      for (const [at, names] of plan) {
        if (at >= results.length) continue;
        plan.delete(at);
        plan.set(results.length, [...(plan.get(results.length) ?? []), ...names]);
      }
    }
    await pause(WARM_UP_MS, signal);
  } catch (error) {
    stopped = error instanceof Error ? error : new Error('the drill could not go on', { cause: error });
  }
  clearInterval(progress);
  await load.stop();
  await Promise.all(clients.map((client) => client.close()));
  const seconds = (performance.now() - begin) / 1_000;
  await writeHistory(join(directory, 'history.ndjson'), load.records);
  if (stopped !== undefined) throw stopped;
  say(`checking ${load.records.length} requests against the rows of every zone`);
  const heldRequests = await heldByRouters(addresses.routerUrls);
  const history: History = {
    requests: load.records,
    zones: await quietZones(addresses.zones),
    locks: locksOf(results.flatMap((result) => (result.kind === 'ended' ? [result.move] : []))),
    // Coordinators and zones note whole ms; the drill's own clock may have drifted from the machine's since it started.
    clockErrorMs: 2 + Math.abs(Date.now() - nowMs()),
  };
  return reportOf({ startedAt, seconds, history, results, breaches: checkHistory(history), heldRequests, faults });
}

/** Before which move each fault comes: spread over the moves, a single one half-way. */
function faultPlan({ fault, moves }: HandoverOptions): Map<number, Fault[]> {
  const plan = new Map<number, Fault[]>();
  for (const [at, name] of fault.entries()) {
    const before = Math.min(moves - 1, Math.floor((moves * (at + 1)) / (fault.length + 1)));
    plan.set(before, [...(plan.get(before) ?? []), name]);
  }
  return plan;
}

/** From the routers' own counters. */
async function heldByRouters(routerUrls: readonly string[]): Promise<number> {
  const texts = await Promise.all(routerUrls.map(async (url) => (await fetch(`${url}/metrics`)).text()));
  return texts
    .flatMap((text) => text.split('\n'))
    .filter((line) => line.startsWith('borough_hold_held_total'))
    .reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = (): void => {
      clearTimeout(timer);
      resolve();
    };
    const timer = setTimeout(end, ms);
    if (signal.aborted) end();
    signal.addEventListener('abort', end, { once: true });
  });
}
