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

/** @param more is added to the environment of each, and wins */
export function ownServices(addresses: ClusterAddresses, layout: Layout, more: Record<string, string>): OwnServices {
  const define = (name: string, app: App, url: string, environment: Record<string, string>) =>
    ownService(name, app, url, { ...environment, ...more }, layout);
  return {
    zones: addresses.zones.map((zone) =>
      define(`zone-${zone.id}`, 'zone', zone.apiUrl, zoneEnvironment(zone, addresses.zones)),
    ),
    coordinators: addresses.coordinatorUrls.map((url, at) =>
      define(nameOf('coordinator', at), 'coordinator', url, coordinatorEnvironment(addresses, at)),
    ),
    routers: addresses.routerUrls.map((url, at) =>
      define(nameOf('router', at), 'router', url, routerEnvironment(addresses, at)),
    ),
  };
}

export function zoneEnvironment(zone: ZoneAddresses, zones: readonly ZoneAddresses[]): Record<string, string> {
  const peers = zones.filter((peer) => peer.id !== zone.id);
  return {
    ZONE_ID: zone.id,
    API_DATABASE_URL: zone.postgres.apiUrl,
    OWNER_DATABASE_URL: zone.postgres.ownerUrl,
    PEER_DATABASE_URLS: named(peers, (peer) => peer.postgres.replicationUrl),
    REDIS_URL: zone.redisUrl,
  };
}

/** @param at which of the coordinators, from 0 */
export function coordinatorEnvironment({ natsUrl, zones }: ClusterAddresses, at = 0): Record<string, string> {
  return {
    COORDINATOR_ID: `${at + 1}`,
    NATS_URL: natsUrl,
    VOTER_DATABASE_URLS: named(zones, (zone) => zone.postgres.controlUrl),
    ZONE_URLS: named(zones, (zone) => zone.apiUrl),
  };
}

/** @param at which of the routers, from 0 */
export function routerEnvironment(addresses: ClusterAddresses, at = 0): Record<string, string> {
  const { coordinatorUrls, routerUrls, natsUrl, zones } = addresses;
  return {
    ROUTER_ID: `router-${at + 1}`,
    COORDINATOR_URLS: coordinatorUrls.join(','),
    NATS_URL: natsUrl,
    ZONE_URLS: named(zones, (zone) => zone.apiUrl),
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
