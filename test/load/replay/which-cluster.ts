/** The cluster the replay runs against: the one that runs in this checkout, else one of its own for as long as it takes. */
import { STARTER_DIRECTORY } from '../../../infra/local/checkout.js';
import { readClusterAddresses, type ClusterAddresses } from '../../../infra/local/cluster-addresses.js';
import { startCluster } from '../../../infra/local/cluster.js';
import { consoleReport } from '../../../infra/local/console.js';
import { portBaseFromEnvironment } from '../../../infra/local/ports.js';

export interface ClusterInUse {
  readonly addresses: ClusterAddresses;
  /** Stops the cluster if it is ours; lets it be if not. */
  release(): Promise<void>;
}

/**
 * @param say where to tell a person what happens
 * @param signal ends a start under way
 * @throws StarterError with what to do, when no cluster can be started
 */
export async function useCluster(say: (line: string) => void, signal: AbortSignal): Promise<ClusterInUse> {
  const running = readClusterAddresses(STARTER_DIRECTORY);
  if (running !== undefined) {
    say(`Using the cluster that runs from this checkout (router ${running.routerUrl}).`);
    return { addresses: running, release: () => Promise.resolve() };
  }
  say('No cluster runs from this checkout: starting one for this replay.');
  const cluster = await startCluster({
    directory: STARTER_DIRECTORY,
    portBase: portBaseFromEnvironment(),
    services: 'all',
    signal,
    report: consoleReport(process.stderr),
  });
  return {
    addresses: cluster.addresses,
    release: async () => {
      say('Stopping the cluster of this replay.');
      await cluster.stop();
    },
  };
}
