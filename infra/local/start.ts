/** `npm start`: a cluster from the checkout's own directory, until Ctrl-C. */
import { cac } from 'cac';
import { type FailoverPolicy } from './apps.js';
import { STARTER_DIRECTORY } from './checkout.js';
import { type ClusterAddresses } from './cluster-addresses.js';
import { type Cluster, startCluster } from './cluster.js';
import { consoleReport, faultText, seconds } from './console.js';
import { makeDemoData, thingsToTry } from './demo.js';
import { layoutOf } from './layout.js';
import { DEFAULT_PORT_BASE } from './ports.js';
import { type Report, reportStep } from './report.js';
import { StarterError } from './starter-error.js';

/**
 * npm passes a terminal's Ctrl-C on to us although we have had it ourselves; that echo is not a second one. A person takes
 * longer than this.
 */
const ECHO_WITHIN_MS = 500;

interface Options {
  infrastructure?: boolean;
  demo: boolean;
  routers: number;
  coordinators: number;
  failover: string;
}

const cli = cac('npm start --');
cli
  .command('', 'Start a whole cluster on this machine, until Ctrl-C')
  .option('--infrastructure', 'Only Postgres, NATS and Redis, without our own processes')
  .option('--routers <n>', 'How many routers, 1 to 4', { default: 1 })
  .option('--coordinators <n>', 'How many coordinators, 1 to 4', { default: 1 })
  .option('--failover <policy>', 'Who gives a lost zone up: automatic, or manual (only people do)', {
    default: 'automatic',
  })
  .option('--no-demo', 'Without the three demo areas and stores')
  .example(`BOROUGH_PORT_BASE=15000 npm start   # other ports; the default is ${DEFAULT_PORT_BASE}`)
  .action(start);
cli.help();

try {
  cli.parse(process.argv, { run: false });
  await cli.runMatchedCommand();
} catch (error) {
  console.error(faultText(error));
  process.exitCode = 1;
}

async function start(options: Options): Promise<void> {
  const begin = performance.now();
  const failoverPolicy = failoverPolicyOf(options.failover);
  const report = consoleReport(process.stdout);
  const stop = new AbortController();
  const kill = new AbortController();
  listenForSignals(stop, kill);
  let cluster: Cluster;
  try {
    cluster = await startCluster({
      directory: STARTER_DIRECTORY,
      services: options.infrastructure === true ? 'infrastructure' : 'all',
      routers: options.routers,
      coordinators: options.coordinators,
      failoverPolicy,
      report,
      signal: stop.signal,
      killSignal: kill.signal,
    });
  } catch (error) {
    if (!stop.signal.aborted) throw error;
    console.log('Stopped.');
    return;
  }
  try {
    const tries = options.infrastructure === true || !options.demo ? [] : await demo(cluster.addresses, report);
    if (!stop.signal.aborted) console.log(welcome(cluster.addresses, tries, performance.now() - begin));
    await aborted(stop.signal);
  } finally {
    await cluster.stop();
    console.log('Stopped.');
  }
}

function failoverPolicyOf(text: string): FailoverPolicy {
  if (text === 'automatic' || text === 'manual') return text;
  throw new StarterError(`--failover must be automatic or manual, not "${text}".`);
}

function listenForSignals(stop: AbortController, kill: AbortController): void {
  let askedAt: number | undefined;
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      if (askedAt === undefined) {
        askedAt = Date.now();
        console.log('\nStopping; Ctrl-C again kills at once.');
        stop.abort();
      } else if (Date.now() - askedAt > ECHO_WITHIN_MS) {
        kill.abort();
      }
    });
  }
  process.stdout.on('error', () => undefined); // the reader of a pipe has gone: no reason to drop the cluster
}

/** The demo is a convenience: when it cannot be made, the cluster runs all the same. */
async function demo(addresses: ClusterAddresses, report: Report): Promise<string[]> {
  try {
    const [store] = await reportStep(report, 'Demo areas and stores', () => makeDemoData(addresses));
    return store === undefined ? [] : thingsToTry(addresses.routerUrl, store, `try-${Date.now().toString(36)}`);
  } catch (error) {
    report({ state: 'notice', text: `no demo data: ${error instanceof Error ? error.message : String(error)}` });
    return [];
  }
}

function welcome(addresses: ClusterAddresses, tries: readonly string[], tookMs: number): string {
  return [
    '',
    `Borough is ready after ${seconds(tookMs)}.`,
    '',
    ...addresses.routerUrls.map((url) => `  router       ${url}`),
    ...addresses.coordinatorUrls.map((url) => `  coordinator  ${url}`),
    ...addresses.zones.map(
      ({ id, apiUrl, postgres, redisUrl }) =>
        `  zone ${id}       ${apiUrl}   Postgres on port ${postgres.port}, Redis on port ${new URL(redisUrl).port || '6379'}`,
    ),
    '',
    ...(tries.length === 0 ? [] : ['Try, in another terminal:', '', ...tries.map((line) => `  ${line}`), '']),
    `Logs are in ${layoutOf(STARTER_DIRECTORY).logsFolder}, all addresses with passwords in ${layoutOf(STARTER_DIRECTORY).addressesFile}.`,
    'Ctrl-C stops everything; npm run reset then clears the data.',
  ].join('\n');
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener('abort', () => {
      resolve();
    });
  });
}
