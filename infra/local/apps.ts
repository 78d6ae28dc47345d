import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { BUILD } from './checkout.js';
import { type ClusterAddresses, type ZoneAddresses } from './cluster-addresses.js';
import { type Layout } from './layout.js';
import { plainEnvironment } from './run-command.js';
import { type ServiceDefinition } from './service.js';
import { StarterError } from './starter-error.js';
import { tcpAnswer } from './tcp-answer.js';

/** The programs of the repository that a cluster runs. */
type App = 'zone' | 'coordinator' | 'router';

/** Our own processes of a cluster: a zone API per zone, coordinators and routers. */
export interface OwnServices {
  zones: ServiceDefinition[];
  coordinators: ServiceDefinition[];
  routers: ServiceDefinition[];
}

/**
 * At which address a service is to reach another: the address it has, or that of something between the two.
 *
 * @param from name of the service that connects, like `zone-a` (its Postgres connects there too), `coordinator`, `router-2`
 * @param to name of the service that it connects to, like `postgres-b`, `zone-b`, `coordinator`
 * @param url where that is
 */
export type AddressFor = (from: string, to: string, url: string) => string;

/** Where it is. */
const directly: AddressFor = (_from, _to, url) => url;

/** How coordinators go about a lost zone: by themselves, or when they are told. */
export type FailoverPolicy = 'automatic' | 'manual';

export interface OwnServicesOptions {
  /** Added to the environment of each; wins over ours. */
  environment?: Record<string, string>;
  /** Default: directly. A service and the Postgres and Redis of its own zone are one place: nothing comes between them. */
  addressFor?: AddressFor;
  /** Default: automatic. */
  failoverPolicy?: FailoverPolicy;
}

export function ownServices(addresses: ClusterAddresses, layout: Layout, options: OwnServicesOptions): OwnServices {
  const { addressFor, environment: more } = options;
  const define = (name: string, app: App, url: string, environment: Record<string, string>) =>
    ownService(name, app, url, { ...environment, ...more }, layout);
  return {
    zones: addresses.zones.map((zone) =>
      define(`zone-${zone.id}`, 'zone', zone.apiUrl, zoneEnvironment(zone, addresses.zones, addressFor)),
    ),
    coordinators: addresses.coordinatorUrls.map((url, at) =>
      define(nameOf('coordinator', at), 'coordinator', url, {
        ...coordinatorEnvironment(addresses, at, addressFor),
        FAILOVER_POLICY: options.failoverPolicy ?? 'automatic',
      }),
    ),
    routers: addresses.routerUrls.map((url, at) =>
      define(nameOf('router', at), 'router', url, routerEnvironment(addresses, at, addressFor)),
    ),
  };
}

export function zoneEnvironment(
  zone: ZoneAddresses,
  zones: readonly ZoneAddresses[],
  addressFor: AddressFor = directly,
): Record<string, string> {
  const peers = zones.filter((peer) => peer.id !== zone.id);
  return {
    ZONE_ID: zone.id,
    API_DATABASE_URL: zone.postgres.apiUrl,
    OWNER_DATABASE_URL: zone.postgres.ownerUrl,
    PEER_DATABASE_URLS: named(peers, ({ id, postgres }) =>
      addressFor(`zone-${zone.id}`, `postgres-${id}`, postgres.replicationUrl),
    ),
    REDIS_URL: zone.redisUrl,
  };
}

/** @param at which of the coordinators, from 0 */
export function coordinatorEnvironment(
  { natsUrl, zones }: ClusterAddresses,
  at = 0,
  addressFor: AddressFor = directly,
): Record<string, string> {
  const name = nameOf('coordinator', at);
  return {
    COORDINATOR_ID: `${at + 1}`,
    NATS_URL: addressFor(name, 'nats', natsUrl),
    VOTER_DATABASE_URLS: named(zones, ({ id, postgres }) => addressFor(name, `postgres-${id}`, postgres.controlUrl)),
    ZONE_URLS: named(zones, ({ id, apiUrl }) => addressFor(name, `zone-${id}`, apiUrl)),
  };
}

/** @param at which of the routers, from 0 */
export function routerEnvironment(
  addresses: ClusterAddresses,
  at = 0,
  addressFor: AddressFor = directly,
): Record<string, string> {
  const { coordinatorUrls, routerUrls, natsUrl, zones } = addresses;
  const name = nameOf('router', at);
  return {
    ROUTER_ID: `router-${at + 1}`,
    COORDINATOR_URLS: coordinatorUrls.map((url, of) => addressFor(name, nameOf('coordinator', of), url)).join(','),
    NATS_URL: addressFor(name, 'nats', natsUrl),
    ZONE_URLS: named(zones, ({ id, apiUrl }) => addressFor(name, `zone-${id}`, apiUrl)),
    // With one router there is nothing to choose for a client; with more, each zone has one of its own.
    ...(routerUrls.length === 1
      ? {}
      : { ROUTER_URLS: zones.map(({ id }, zone) => `${id}=${routerUrls[zone % routerUrls.length] ?? ''}`).join(',') }),
  };
}

/** `router`, `router-2`, `router-3`. */
function nameOf(what: string, at: number): string {
  return at === 0 ? what : `${what}-${at + 1}`;
}

/** @throws StarterError when the build is missing */
export function refuseMissingBuild(): void {
  const missing = (['zone', 'coordinator', 'router'] as const).map(programOf).find((path) => !existsSync(path));
  if (missing !== undefined) throw new StarterError(`${missing} is missing. Build first:  npm run build`);
}

function ownService(
  name: string,
  app: App,
  url: string,
  environment: Record<string, string>,
  layout: Layout,
): ServiceDefinition {
  const { hostname, port } = new URL(url);
  // Read by nobody but `ps` and the search for leftovers: which of the processes of one program this is, and of which cluster.
  const label = `${name} of ${layout.directory}`;
  return {
    name,
    command: {
      file: process.execPath,
      args: [programOf(app), label],
      environment: plainEnvironment({
        LOG_LEVEL: process.env['LOG_LEVEL'] ?? 'info',
        HTTP_HOST: hostname,
        HTTP_PORT: port,
        ...environment,
      }),
    },
    marker: label,
    // Not fetch: asked this often, it takes a tenth of the time in which the processes start.
    isReady: async () => {
      const request = `GET /health/ready HTTP/1.1\r\nHost: ${hostname}\r\nConnection: close\r\n\r\n`;
      return /^HTTP\/1\.1 200 /.test(await tcpAnswer(hostname, Number(port), request));
    },
    readyWithinMs: 60_000,
    askEveryMs: 100,
    stopSteps: [{ signal: 'SIGTERM', waitMs: 10_000 }],
    output: 'pino',
  };
}

function programOf(app: App): string {
  return join(BUILD, 'apps', app, 'src', 'main.js');
}

/** `a=postgres://…,b=postgres://…` */
function named(zones: readonly ZoneAddresses[], urlOf: (zone: ZoneAddresses) => string): string {
  return zones.map((zone) => `${zone.id}=${urlOf(zone)}`).join(',');
}
