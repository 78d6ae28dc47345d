import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { latLngToCell } from 'h3-js';
import pg from 'pg';
import { CHECKOUT } from '../../infra/local/checkout.js';
import { type Cluster, type ClusterOptions, startCluster } from '../../infra/local/cluster.js';
import { askLeader } from './coordinators.js';
import { freeTestPortBase } from './test-ports.js';

/** A whole cluster of a test's own: real processes, real ports, its own data. */
export interface TestCluster extends Cluster {
  /** One area per zone, and the store opened in it, by zone id. */
  readonly stores: ReadonlyMap<string, { shard: number; storeId: string }>;
  /** Warnings and restarts the starter reported, in order. */
  readonly notices: readonly string[];
  /** Runs SQL in a zone as the superuser. */
  sql<Row extends pg.QueryResultRow>(
    zoneId: string,
    statement: string,
    parameters?: readonly unknown[],
  ): Promise<Row[]>;
}

/** One place per zone, far from each other. */
const PLACES: Readonly<Record<string, { latitude: number; longitude: number }>> = {
  a: { latitude: 53.1, longitude: 8.8 },
  b: { latitude: 48.1, longitude: 11.5 },
  c: { latitude: 41.4, longitude: 2.2 },
};

/**
 * Starts three zones, a coordinator and a router, with one area and one store in each zone. `stop()` it after the test.
 *
 * @param more settings of the cluster besides
 */
export async function startTestCluster(name: string, more: Partial<ClusterOptions> = {}): Promise<TestCluster> {
  const directory = join(CHECKOUT, '.borough', 'tests', `${process.pid}-${name}`);
  const notices: string[] = [];
  const cluster = await startCluster({
    directory,
    portBase: await freeTestPortBase(6_000),
    services: 'all',
    // A test says itself when a zone is given up.
    failoverPolicy: 'manual',
    ...more,
    report: (step) => {
      if (step.state === 'notice') notices.push(step.text);
    },
  });
  try {
    const stores = new Map<string, { shard: number; storeId: string }>();
    for (const { id } of cluster.addresses.zones) stores.set(id, await openStoreIn(cluster, id));
    return {
      ...cluster,
      stores,
      notices,
      sql: (zoneId, statement, parameters = []) => runSql(cluster, zoneId, statement, parameters),
      stop: async () => {
        await cluster.stop();
        rmSync(directory, { recursive: true, force: true });
      },
    };
  } catch (error) {
    await cluster.stop();
    throw error;
  }
}

async function openStoreIn({ addresses }: Cluster, zone: string): Promise<{ shard: number; storeId: string }> {
  const location = PLACES[zone];
  if (location === undefined) throw new Error(`no place for zone ${zone}`);
  const cell = latLngToCell(location.latitude, location.longitude, 5);
  const { status, body: area } = await askLeader(addresses.coordinatorUrls, '/ops/v1/areas', {
    name: `area of ${zone}`,
    cells: [cell],
    zone,
  });
  if (status >= 400) throw new Error(`no area for zone ${zone}: ${JSON.stringify(area)}`);
  const store = await sendJson(
    `${addresses.routerUrl}/v1/stores`,
    { name: `store of ${zone}`, location },
    { 'traffic-tag': `geo:${cell}`, 'idempotency-key': `store-of-${zone}` },
  );
  return { shard: Number(area['shard']), storeId: String(store['id']) };
}

async function sendJson(
  url: string,
  body: object,
  headers: Record<string, string> = {},
): Promise<Record<string, unknown>> {
  const answer = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body),
  });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`${url} answered ${answer.status}: ${text}`);
  return JSON.parse(text) as Record<string, unknown>;
}

async function runSql<Row extends pg.QueryResultRow>(
  { addresses }: Cluster,
  zoneId: string,
  statement: string,
  parameters: readonly unknown[],
): Promise<Row[]> {
  const zone = addresses.zones.find(({ id }) => id === zoneId);
  if (zone === undefined) throw new Error(`no zone ${zoneId}`);
  const client = new pg.Client({ connectionString: zone.postgres.superuserUrl, connectionTimeoutMillis: 2_000 });
  await client.connect();
  try {
    return (await client.query<Row>(statement, [...parameters])).rows;
  } finally {
    await client.end();
  }
}
