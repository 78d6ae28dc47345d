/**
 * Starts a whole cluster on this machine and looks after it: three zones with a Postgres and a Redis each, NATS, a coordinator
 * and a router. `npm start`, the tests and the replay tool all use this.
 *
 *   claim the directory → end leftovers → refuse taken ports → Postgres × 3 ┐
 *                                          find programs → NATS, Redis × 3 ┴→ zones, coordinator, router → cluster.json
 *
 * Stopping goes the other way. A SIGKILL of the starter leaves everything running; the next start from the same directory finds
 * and ends it by the files in `run/` (see leftovers.ts).
 */
import { accessSync, constants, mkdirSync, rmdirSync, rmSync } from 'node:fs';
import { isAbsolute } from 'node:path';
import { ownServices, type OwnServicesOptions, refuseMissingBuild } from './apps.js';
import { STARTER_CACHE } from './checkout.js';
import { addressesOf, type ClusterAddresses } from './cluster-addresses.js';
import { type ExternalServers, externalServers } from './external-servers.js';
import { type Layout, layoutOf } from './layout.js';
import { stopLeftovers } from './leftovers.js';
import { natsService, natsUrl } from './nats.js';
import { planPorts, portBaseFromEnvironment, type PortPlan, refuseTakenPorts } from './ports.js';
import { findPostgresBinaries } from './postgres-binaries.js';
import { isInitialised, postgresFiles } from './postgres-data.js';
import { type PostgresOfZone, postgresOfZone } from './postgres.js';
import { writePrivateJson } from './private-file.js';
import { redisService, redisUrl } from './redis.js';
import { type Report, reportStep } from './report.js';
import { readOrMakeSecrets, type Secrets } from './secrets.js';
import { findServerBinaries } from './server-binaries.js';
import { type ServiceDefinition } from './service.js';
import { type ProcessView, type Rank, ServiceGroup } from './service-group.js';
import { together } from './together.js';
import { claimDirectory } from './starter-claim.js';
import { StarterError } from './starter-error.js';

export interface ClusterOptions extends OwnServicesOptions {
  /** Absolute. All data, logs and pid files live here; one starter at a time owns it. */
  directory: string;
  /** The cluster uses ports in [portBase, portBase + 40]. Default: BOROUGH_PORT_BASE, else 14000. */
  portBase?: number;
  /** `infrastructure`: Postgres, NATS and Redis only, without our own processes. */
  services: 'all' | 'infrastructure';
  /** Default a, b, c. */
  zones?: readonly string[];
  /** How many of each, 1 to 4. Default 1. */
  routers?: number;
  coordinators?: number;
  /** Told of each step and, once it runs, of restarts and warnings. */
  report: Report;
  /** Where downloaded NATS and Redis are kept. Default: the cache of the checkout, which all its clusters share. */
  cache?: string;
  /** Aborting it ends a start under way; everything begun is stopped before `startCluster` rejects. */
  signal?: AbortSignal;
  /** Aborting it kills all processes at once, without order: a start, a stop or a run under way is over. */
  killSignal?: AbortSignal;
}

export interface Cluster {
  addresses: ClusterAddresses;
  processes(): readonly ProcessView[];
  /**
   * Plays an accident. An ending signal (SIGKILL, SIGTERM, SIGINT, SIGQUIT, SIGABRT) also suspends supervision: the process stays
   * down until `startService`; resolves once it is gone. SIGKILL of a Postgres takes its workers with it, SIGSTOP and SIGCONT
   * reach them too. Any other signal (SIGHUP) is just sent. A process killed from outside is started again by itself.
   */
  killService(name: string, signal: NodeJS.Signals): Promise<void>;
  /** The same for all processes of a zone at once: its API, its Postgres, its Redis, as far as this cluster runs them. */
  killZone(zone: string, signal: NodeJS.Signals): Promise<void>;
  /** Deletes the data directory of a zone's Postgres; the next start makes an empty one. @throws StarterError while it runs */
  wipeZone(zone: string): void;
  /** Starts a killed service; resolves when it is ready. Does nothing but wait for a running one. */
  startService(name: string): Promise<void>;
  /** Starts what was killed of a zone, its API last. */
  startZone(zone: string): Promise<void>;
  /** Stops all in order and gives the directory up. Safe to call again: later calls wait for the first. */
  stop(): Promise<void>;
}

/** @throws StarterError with what to do, when the cluster cannot start; everything begun has then been stopped again */
export async function startCluster(options: ClusterOptions): Promise<Cluster> {
  if (!isAbsolute(options.directory)) {
    throw new StarterError(`The cluster's directory must be absolute: ${options.directory}`);
  }
  const zones = options.zones ?? ['a', 'b', 'c'];
  const plan = planPorts(options.portBase ?? portBaseFromEnvironment(), zones, options.routers, options.coordinators);
  if (options.services === 'all') refuseMissingBuild();
  const layout = layoutOf(options.directory);
  makeDirectory(layout);
  const giveUp = claimDirectory(layout, `http://127.0.0.1:${plan.routers[0] ?? 0}`);
  const notice = (text: string) => {
    options.report({ state: 'notice', text });
  };
  const group = new ServiceGroup(layout, notice);
  options.killSignal?.addEventListener('abort', () => {
    group.killNow();
  });
  const end = async () => {
    rmSync(layout.addressesFile, { force: true });
    await group.stop();
    removeIfEmpty(layout.runFolder);
    giveUp();
  };
  try {
    await stopLeftovers(layout, notice);
    for (const folder of [layout.runFolder, layout.logsFolder]) mkdirSync(folder, { recursive: true, mode: 0o700 });
    const databases = new Map<string, PostgresOfZone>();
    const addresses = await startAll(options, plan, layout, group, databases);
    writePrivateJson(layout.addressesFile, addresses);
    let ended: Promise<void> | undefined;
    return { addresses, ...accidents(group, databases), stop: () => (ended ??= end()) };
  } catch (error) {
    await end();
    throw error;
  }
}

/** What a caller may do to a cluster that runs. @param databases by name of their service */
function accidents(
  group: ServiceGroup,
  databases: ReadonlyMap<string, PostgresOfZone>,
): Omit<Cluster, 'addresses' | 'stop'> {
  const startService = async (name: string): Promise<void> => {
    const service = group.service(name);
    const database = databases.get(name);
    if (service.pid === undefined) await database?.prepare();
    await service.start();
    await database?.bootstrap();
  };
  return {
    processes: () => group.processes(),
    killService: async (name, signal) => group.service(name).signal(signal),
    killZone: async (zone, signal) => {
      const services = group.servicesNamed([`zone-${zone}`, `redis-${zone}`, `postgres-${zone}`]);
      await Promise.all(services.map((service) => service.signal(signal)));
    },
    wipeZone: (zone) => {
      const name = `postgres-${zone}`;
      if (group.service(name).pid !== undefined) throw new StarterError(`${name} runs: kill it before its data goes.`);
      databases.get(name)?.wipe();
    },
    startService,
    startZone: async (zone) => {
      const there = group.processes().map(({ name }) => name);
      await Promise.all([`postgres-${zone}`, `redis-${zone}`].filter((name) => there.includes(name)).map(startService));
      if (there.includes(`zone-${zone}`)) await startService(`zone-${zone}`);
    },
  };
}

/** @param databases is filled in */
async function startAll(
  options: ClusterOptions,
  plan: PortPlan,
  layout: Layout,
  group: ServiceGroup,
  databases: Map<string, PostgresOfZone>,
): Promise<ClusterAddresses> {
  const external = await externalServers(plan.zones.length);
  await refuseTakenPorts(wantedPorts(options, plan, external), plan.routers[0] ?? 0);
  const secrets = readOrMakeSecrets(
    layout,
    plan.zones.some(({ id }) => hasData(layout, id)),
  );
  const redisUrls = external.redisUrls ?? plan.zones.map((zone) => redisUrl(zone.redis, secrets));
  const addresses = addressesOf(plan, secrets, external.natsUrl ?? natsUrl(plan.nats, secrets), redisUrls);
  await together(options.signal, [
    (signal) => startPostgres(options.report, plan, layout, group, secrets, databases, signal),
    (signal) => startNatsAndRedis(options, plan, layout, group, secrets, external, signal),
  ]);
  if (options.services === 'all') await startOwn(options, addresses, layout, group);
  return addresses;
}

/** The three are made and started side by side; stopping them takes place at the same time too (see `postgresOfZone`). */
function startPostgres(
  report: Report,
  plan: PortPlan,
  layout: Layout,
  group: ServiceGroup,
  secrets: Secrets,
  databases: Map<string, PostgresOfZone>,
  signal: AbortSignal,
): Promise<void> {
  return reportStep(report, `Postgres, ${plan.zones.length} zones`, async (progress) => {
    const binaries = findPostgresBinaries();
    const fresh = plan.zones.filter(({ id }) => !hasData(layout, id));
    progress(fresh.length === 0 ? 'starting' : `making ${fresh.length} data directories`);
    await together(
      signal,
      plan.zones.map(({ id, postgres: port }) => async (own) => {
        const database = await postgresOfZone(id, port, layout, binaries, secrets);
        databases.set(database.definition.name, database);
        await database.prepare(own);
        await group.start('postgres', database.definition, own);
        await database.bootstrap();
      }),
    );
  });
}

async function startNatsAndRedis(
  options: ClusterOptions,
  plan: PortPlan,
  layout: Layout,
  group: ServiceGroup,
  secrets: Secrets,
  external: ExternalServers,
  signal: AbortSignal,
): Promise<void> {
  const needsNats = external.natsUrl === undefined;
  const needsRedis = external.redisUrls === undefined;
  if (!needsNats && !needsRedis) return;
  const title = [...(needsNats ? ['NATS'] : []), ...(needsRedis ? [`Redis, ${plan.zones.length} zones`] : [])].join(
    ', ',
  );
  await reportStep(options.report, title, async (progress) => {
    const needed = [...(needsNats ? ['nats-server' as const] : []), ...(needsRedis ? ['redis-server' as const] : [])];
    const binaries = await findServerBinaries(needed, options.cache ?? STARTER_CACHE, progress, signal);
    progress('starting');
    const definitions = [
      ...(needsNats ? [natsService(plan.nats, binaries['nats-server'], secrets)] : []),
      ...(needsRedis
        ? plan.zones.map((zone) => redisService(zone.id, zone.redis, layout, binaries['redis-server'], secrets))
        : []),
    ];
    await together(
      signal,
      definitions.map((definition) => (own) => group.start('broker', definition, own)),
    );
  });
}

function startOwn(
  options: ClusterOptions,
  addresses: ClusterAddresses,
  layout: Layout,
  group: ServiceGroup,
): Promise<void> {
  const { zones, coordinators, routers } = ownServices(addresses, layout, options);
  const title = `Zones ${addresses.zones.map(({ id }) => id).join(', ')}, ${several('coordinator', coordinators.length)}, ${several('router', routers.length)}`;
  return reportStep(options.report, title, async (progress) => {
    const waiting = new Set([...zones, ...coordinators, ...routers].map(({ name }) => name));
    const begin = (rank: Rank, definition: ServiceDefinition) => async (signal: AbortSignal) => {
      await group.start(rank, definition, signal);
      waiting.delete(definition.name);
      progress(`waiting for ${[...waiting].join(', ')}`);
    };
    progress(`waiting for ${[...waiting].join(', ')}`);
    await together(options.signal, [
      ...zones.map((zone) => begin('zone', zone)),
      ...coordinators.map((coordinator) => begin('coordinator', coordinator)),
      ...routers.map((router) => begin('router', router)),
    ]);
  });
}

function several(what: string, count: number): string {
  return count === 1 ? what : `${count} ${what}s`;
}

function wantedPorts(options: ClusterOptions, plan: PortPlan, external: ExternalServers) {
  const own = options.services === 'all';
  return [
    ...(own ? plan.routers.map((port) => ({ service: 'the router', port })) : []),
    ...(own ? plan.coordinators.map((port) => ({ service: 'the coordinator', port })) : []),
    ...(external.natsUrl === undefined ? [{ service: 'NATS', port: plan.nats }] : []),
    ...plan.zones.flatMap(({ id, api, postgres, redis }) => [
      ...(own ? [{ service: `the API of zone ${id}`, port: api }] : []),
      { service: `Postgres of zone ${id}`, port: postgres },
      ...(external.redisUrls === undefined ? [{ service: `Redis of zone ${id}`, port: redis }] : []),
    ]),
  ];
}

function hasData(layout: Layout, zone: string): boolean {
  return isInitialised(postgresFiles(layout.serviceFolder(`postgres-${zone}`)));
}

/** Not empty means that something could not be ended; the next start will try again. */
function removeIfEmpty(folder: string): void {
  try {
    rmdirSync(folder);
  } catch {
    // not empty, or not there
  }
}

function makeDirectory(layout: Layout): void {
  try {
    mkdirSync(layout.directory, { recursive: true });
    accessSync(layout.directory, constants.W_OK);
  } catch {
    throw new StarterError(
      `${layout.directory} cannot be written by this user; perhaps root started the cluster before.\n` +
        'Run as its owner, or let its owner remove it with:  npm run reset -- --all',
    );
  }
}
