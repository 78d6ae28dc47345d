import { z } from 'zod';
import { layoutOf } from './layout.js';
import { type PortPlan } from './ports.js';
import { readJson } from './private-file.js';
import { type Secrets } from './secrets.js';
import { liveStarter } from './starter-claim.js';

const postgresAddressSchema = z.object({
  host: z.string(),
  port: z.number(),
  database: z.literal('borough'),
  superuserUrl: z.string(),
  ownerUrl: z.string(),
  apiUrl: z.string(),
  controlUrl: z.string(),
  replicationUrl: z.string(),
  auditUrl: z.string(),
});

const clusterAddressesSchema = z.object({
  starterPid: z.number().int(),
  /** The first of each; all of them are in the lists. */
  routerUrl: z.string(),
  coordinatorUrl: z.string(),
  routerUrls: z.array(z.string()).min(1),
  coordinatorUrls: z.array(z.string()).min(1),
  natsUrl: z.string(),
  zones: z.array(
    z.object({ id: z.string(), apiUrl: z.string(), redisUrl: z.string(), postgres: postgresAddressSchema }),
  ),
});

/** Where everything of a cluster is, with passwords in the URLs: for the starter's own machine and user only. */
export type ClusterAddresses = z.infer<typeof clusterAddressesSchema>;
export type ZoneAddresses = ClusterAddresses['zones'][number];
export type PostgresAddress = z.infer<typeof postgresAddressSchema>;

/**
 * The addresses of the cluster that runs from `directory` (absolute), or undefined when none does: there is no file, or the
 * starter that wrote it is dead. It is written once everything is ready.
 */
export function readClusterAddresses(directory: string): ClusterAddresses | undefined {
  const layout = layoutOf(directory);
  const found = clusterAddressesSchema.safeParse(readJson(layout.addressesFile));
  return found.success && liveStarter(layout)?.pid === found.data.starterPid ? found.data : undefined;
}

/** The addresses a cluster with these ports and passwords has. */
export function addressesOf(plan: PortPlan, secrets: Secrets, natsUrl: string, redisUrls: readonly string[]) {
  const urls = (ports: readonly number[]): string[] => ports.map((port) => `http://127.0.0.1:${port}`);
  const routerUrls = urls(plan.routers);
  const coordinatorUrls = urls(plan.coordinators);
  return {
    starterPid: process.pid,
    routerUrl: routerUrls[0] ?? '',
    coordinatorUrl: coordinatorUrls[0] ?? '',
    routerUrls,
    coordinatorUrls,
    natsUrl,
    zones: plan.zones.map((zone, index) => ({
      id: zone.id,
      apiUrl: `http://127.0.0.1:${zone.api}`,
      redisUrl: redisUrls[index] ?? '',
      postgres: postgresAddress(zone.postgres, secrets),
    })),
  } satisfies ClusterAddresses;
}

function postgresAddress(port: number, secrets: Secrets): PostgresAddress {
  const url = (user: string, password: string) => `postgres://${user}:${password}@127.0.0.1:${port}/borough`;
  return {
    host: '127.0.0.1',
    port,
    database: 'borough',
    superuserUrl: url('postgres', secrets.postgresSuperuser),
    ownerUrl: url('borough_owner', secrets.owner),
    apiUrl: url('borough_api', secrets.api),
    controlUrl: url('borough_control', secrets.control),
    replicationUrl: url('borough_replication', secrets.replication),
    auditUrl: url('borough_audit', secrets.audit),
  };
}
