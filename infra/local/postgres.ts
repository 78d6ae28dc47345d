import { rmSync } from 'node:fs';
import { type Layout } from './layout.js';
import { commandLineOf } from './os-process.js';
import { choosePostgresAccount, commandAs } from './postgres-account.js';
import { type PostgresBinaries } from './postgres-binaries.js';
import { bootstrap, withSuperuser } from './postgres-bootstrap.js';
import { forgetForeignPid, postgresFiles, prepareData } from './postgres-data.js';
import { type Secrets } from './secrets.js';
import { type ServiceDefinition } from './service.js';

/** One zone's Postgres, ready to be started as a service. */
export interface PostgresOfZone {
  definition: ServiceDefinition;
  /** While it is down: makes the data directory if there is none. */
  prepare: (signal?: AbortSignal) => Promise<void>;
  /** Deletes the data directory of one that is down; `prepare` then makes a new and empty one. */
  wipe: () => void;
  /** Once it runs: makes database and roles if that was not done yet. */
  bootstrap: () => Promise<void>;
}

/** Says how to run a zone's Postgres: loopback and TCP only, no socket file. */
export async function postgresOfZone(
  zone: string,
  port: number,
  layout: Layout,
  binaries: PostgresBinaries,
  secrets: Secrets,
): Promise<PostgresOfZone> {
  const name = `postgres-${zone}`;
  const files = postgresFiles(layout.serviceFolder(name));
  const account = await choosePostgresAccount(files.data, binaries.postgres);
  const args = [
    '-D',
    files.data,
    '-p',
    String(port),
    '-c',
    'listen_addresses=127.0.0.1',
    '-c',
    'unix_socket_directories=',
  ];
  const definition: ServiceDefinition = {
    name,
    command: commandAs(account, binaries.postgres, args),
    marker: files.data,
    isReady: () =>
      withSuperuser(port, secrets, 'postgres', async (client) => (await client.query('SELECT 1')).rowCount === 1),
    readyWithinMs: 60_000, // recovery after a crash may have much to read again
    askEveryMs: 25,
    // Fast, then immediate. A fast shutdown waits until subscribers have all they are owed: the three are stopped at the same time.
    stopSteps: [
      { signal: 'SIGINT', waitMs: 10_000 },
      { signal: 'SIGQUIT', waitMs: 3000 },
    ],
    output: 'opaque',
    beforeStart: () => {
      forgetForeignPid(files, (pid) => commandLineOf(pid)?.includes(files.data) === true);
    },
  };
  return {
    definition,
    prepare: (signal) => prepareData(files, binaries, account, secrets, signal),
    wipe: () => {
      rmSync(files.folder, { recursive: true, force: true });
    },
    bootstrap: () => bootstrap(files, port, secrets),
  };
}
