import { join } from 'node:path';

/** Where a cluster keeps what, below its one directory. Names of services are those of `cluster.ts` (`postgres-a`, `nats` …). */
export interface Layout {
  directory: string;
  starterFile: string;
  addressesFile: string;
  secretsFile: string;
  runFolder: string;
  logsFolder: string;
  serviceFolder: (service: string) => string;
  processFile: (service: string) => string;
  logFile: (service: string) => string;
}

export function layoutOf(directory: string): Layout {
  return {
    directory,
    starterFile: join(directory, 'starter.json'),
    addressesFile: join(directory, 'cluster.json'),
    secretsFile: join(directory, 'secrets.json'),
    runFolder: join(directory, 'run'),
    logsFolder: join(directory, 'logs'),
    serviceFolder: (service) => join(directory, service),
    processFile: (service) => join(directory, 'run', `${service}.json`),
    logFile: (service) => join(directory, 'logs', `${service}.log`),
  };
}
