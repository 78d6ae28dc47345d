/**
 * The replay: city-days, real or made up, through the router, and the proof that every zone holds what was acknowledged.
 *
 *     options → days → cluster → areas → stores → couriers → orders at their pace → completeness check → report
 *
 * Exit status: 0 passed; 1 errors, or not complete; 2 wrong options or data, nothing was started; 130 interrupted.
 */
import { randomUUID } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { type ClusterAddresses } from '../../../infra/local/cluster-addresses.js';
import { StarterError } from '../../../infra/local/starter-error.js';
import { createAreas, planAreas, waitForRouter, type Area } from './areas.js';
import { DAY_MS, firstOrders, ordersByPlacement, type CityDay } from './city-day.js';
import { checkCompleteness } from './completeness.js';
import { type SkippedRow } from './csv-table.js';
import { generateCityDays } from './generate-city-day.js';
import { HttpEndpoint } from './http-endpoint.js';
import { interruption, type Interruption } from './interruption.js';
import { readOptions, type ReplayOptions } from './options.js';
import { itemPrefix, orderRequests } from './order-requests.js';
import { placeOrders } from './place-orders.js';
import { expectedOrders, PlacementRecord } from './placement-record.js';
import { withProgress } from './progress.js';
import { readCityDays } from './read-city-days.js';
import { countPerShard, countPerZone, formatReport, verdictOf, type ReplayReport } from './report.js';
import { SetUpFault } from './set-up-request.js';
import { openStores, planStores, registerCouriers, type StoreIds } from './stores-and-couriers.js';
import { useCluster, type ClusterInUse } from './which-cluster.js';

/** How long the zones get to become equal once the last order is answered. */
const EQUAL_WITHIN_MS = 30_000;

interface Days {
  readonly days: readonly CityDay[];
  readonly skipped: readonly SkippedRow[];
  /** For the report. */
  readonly source: string;
}

process.exitCode = await main();

async function main(): Promise<number> {
  // npm runs scripts from the top of the checkout; paths are meant from where the person is.
  const reading = readOptions(process.argv, process.env['INIT_CWD'] ?? process.cwd());
  if (reading.kind === 'help') return 0;
  if (reading.kind === 'faults') return refuse(reading.faults);
  const { options } = reading;
  const days = await readDays(options);
  if (Array.isArray(days)) return refuse(days);

  const interrupted = interruption(say);
  let cluster: ClusterInUse | undefined;
  interrupted.whenImpatient(async () => cluster?.release());
  try {
    cluster = await useCluster(say, interrupted.signal);
    const report = await replay(cluster.addresses, days, options, interrupted);
    console.log(`\n${formatReport(report)}`);
    if (options.jsonFile !== undefined) await writeFile(options.jsonFile, `${JSON.stringify(report, undefined, 2)}\n`);
    return verdictOf(report).exitCode;
  } catch (error) {
    if (interrupted.signal.aborted) {
      say(`INTERRUPTED before the first order${error === interrupted.signal.reason ? '.' : `: ${String(error)}`}`);
      return 130;
    }
    if (!(error instanceof SetUpFault || error instanceof StarterError)) throw error;
    say(`FAILED before the first order: ${error.message}`);
    return 1;
  } finally {
    await cluster?.release();
    interrupted.forget();
  }
}

/** The days to replay, or what is wrong with them or with where the report is to go. */
async function readDays(options: ReplayOptions): Promise<Days | string[]> {
  const { dataDirectory, cities, limit, seed, jsonFile } = options;
  const fault = jsonFile === undefined ? undefined : await faultOfEmptying(jsonFile);
  if (fault !== undefined) return [`--json ${fault}`];
  const limited = (days: CityDay[]) => (limit === undefined ? days : firstOrders(days, limit));
  if (dataDirectory === undefined) {
    return { days: limited(generateCityDays(seed)), skipped: [], source: `made-up day, seed ${seed}` };
  }
  const reading = await readCityDays(dataDirectory, cities);
  if (reading.kind === 'faults') return reading.faults;
  return { days: limited(reading.days), skipped: reading.skipped, source: dataDirectory };
}

async function replay(
  addresses: ClusterAddresses,
  { days, skipped, source }: Days,
  options: ReplayOptions,
  { signal }: Interruption,
): Promise<ReplayReport> {
  const { pace, concurrency } = options;
  const runId = randomUUID().slice(0, 8);
  const startedAt = new Date();
  const router = new HttpEndpoint(addresses.routerUrl, concurrency);
  const coordinators = addresses.coordinatorUrls.map((url) => new HttpEndpoint(url, 1));
  try {
    const { areas, storeIds } = await setUp(router, coordinators, days, concurrency, signal);
    const dayStartsAtMs = Math.floor(startedAt.getTime() / DAY_MS) * DAY_MS;
    const requests = orderRequests(ordersByPlacement(days), storeIds, runId, dayStartsAtMs);
    const record = new PlacementRecord();
    const placing = await measured(() =>
      withProgress(
        'orders',
        requests.length,
        () => ({ done: record.acknowledged.length, errors: record.errors }),
        () => placeOrders(router, requests, pace, concurrency, signal, record),
      ),
    );

    say('Checking that every zone holds everything …');
    const zones = addresses.zones.map(({ id, postgres }) => ({ zoneId: id, connectionString: postgres.auditUrl }));
    const acknowledged = expectedOrders(record.acknowledged);
    const completeness = await checkCompleteness(zones, acknowledged, itemPrefix(runId), EQUAL_WITHIN_MS);
    const ordersPerShard = countPerShard(record.acknowledged, areas);
    const answered = record.acknowledged.length + record.errors;
    return {
      runId,
      startedAt: startedAt.toISOString(),
      source,
      pace,
      inFlightMax: concurrency,
      cities: days.map((day) => ({
        city: day.city,
        orders: day.orders.length,
        stores: planStores([day]).length,
        couriers: day.couriers.length,
      })),
      areas: areas.length,
      skippedRows: skipped,
      ordersDue: requests.length,
      ordersPlaced: record.acknowledged.length,
      errors: record.errors,
      errorsByCode: Object.fromEntries(record.errorsByCode),
      placingSeconds: placing.seconds,
      ordersPerSecond: record.acknowledged.length / placing.seconds,
      latencyMs: record.latencyMs(),
      clientCpuMicrosPerOrder: answered === 0 ? 0 : placing.cpuMicros / answered,
      ordersPerZone: countPerZone(ordersPerShard),
      ordersPerShard,
      completeness,
      zonesEqual: completeness.zonesEqual,
      interrupted: signal.aborted,
    };
  } finally {
    await Promise.all([router, ...coordinators].map((endpoint) => endpoint.close()));
  }
}

/** Areas, stores and couriers: all that must be there before the first order. */
async function setUp(
  router: HttpEndpoint,
  coordinators: readonly HttpEndpoint[],
  days: readonly CityDay[],
  concurrency: number,
  signal: AbortSignal,
): Promise<{ areas: Area[]; storeIds: StoreIds }> {
  const planned = planAreas(days);
  const { areas, made } = await createAreas(coordinators, planned, signal);
  await waitForRouter(router, areas, signal);
  say(`areas ${areas.length}, of which ${made} new: served by the router`);

  const stores = planStores(days);
  const storeIds = await counted('stores', stores.length, (count) =>
    openStores(router, stores, concurrency, signal, count),
  );
  signal.throwIfAborted();
  const couriers = days.reduce((sum, day) => sum + day.couriers.length, 0);
  await counted('couriers', couriers, (count) => registerCouriers(router, days, concurrency, signal, count));
  signal.throwIfAborted();
  return { areas, storeIds };
}

/** Runs `work` with progress; it calls `count` for each of the `total` things done. */
async function counted<Result>(label: string, total: number, work: (count: () => void) => Promise<Result>) {
  let done = 0;
  return withProgress(
    label,
    total,
    () => ({ done, errors: 0 }),
    () =>
      work(() => {
        done += 1;
      }),
  );
}

/** Runs `work` and tells how long it took, and how much processor time this process used meanwhile. */
async function measured(work: () => Promise<void>): Promise<{ seconds: number; cpuMicros: number }> {
  const cpuBefore = process.cpuUsage();
  const startedAtMs = performance.now();
  await work();
  const { user, system } = process.cpuUsage(cpuBefore);
  return { seconds: (performance.now() - startedAtMs) / 1000, cpuMicros: user + system };
}

/** Empties the file, so that an earlier report is never taken for this one's. @returns why it cannot be written */
async function faultOfEmptying(file: string): Promise<string | undefined> {
  try {
    await writeFile(file, '');
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

function refuse(faults: readonly string[]): number {
  for (const fault of faults) say(fault);
  say('Nothing was started. See --help.');
  return 2;
}

/** To the person who runs it; standard output is kept for the report. */
function say(line: string): void {
  process.stderr.write(`${line}\n`);
}
