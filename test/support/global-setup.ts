import { mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type {} from 'vitest';
import { type TestProject } from 'vitest/node';
import { migrate } from '../../apps/zone/src/migrations/migrate.js';
import { CHECKOUT } from '../../infra/local/checkout.js';
import { type ClusterAddresses } from '../../infra/local/cluster-addresses.js';
import { startCluster } from '../../infra/local/cluster.js';
import { layoutOf } from '../../infra/local/layout.js';
import { stopLeftovers } from '../../infra/local/leftovers.js';
import { liveStarter } from '../../infra/local/starter-claim.js';
import { freeTestPortBase } from './test-ports.js';

declare module 'vitest' {
  interface ProvidedContext {
    infrastructure: ClusterAddresses;
  }
}

/** Every run has a folder of its own in here, named after its process. */
const RUNS = join(CHECKOUT, '.borough', 'tests');

/**
 * Real Postgres (three), NATS and Redis (three) for the whole run, on ports of their own, so that a run meets neither
 * `npm start` nor another run. What a killed run left behind is ended first.
 */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  await sweepDeadRuns();
  const directory = join(RUNS, String(process.pid));
  const cluster = await startCluster({
    directory,
    portBase: await freeTestPortBase(400),
    services: 'infrastructure',
    report: () => undefined,
  });
  // Databases of the tests are cloned from this one.
  await Promise.all(cluster.addresses.zones.map((zone) => migrate(zone.postgres.ownerUrl)));
  project.provide('infrastructure', cluster.addresses);
  return async () => {
    await cluster.stop();
    rmSync(directory, { recursive: true, force: true });
  };
}

async function sweepDeadRuns(): Promise<void> {
  mkdirSync(RUNS, { recursive: true });
  for (const run of readdirSync(RUNS)) {
    const layout = layoutOf(join(RUNS, run));
    if (liveStarter(layout) !== undefined) continue;
    await stopLeftovers(layout, () => undefined);
    rmSync(join(RUNS, run), { recursive: true, force: true });
  }
}
