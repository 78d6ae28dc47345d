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
  /** Once it runs: makes database and roles if that was not done yet. */
  bootstrap: () => Promise<void>;
}

/** Makes the data directory of a zone's Postgres if need be, and says how to run it. Loopback and TCP only, no socket file. */
export async function postgresOfZone(
  zone: string,
  port: number,
  layout: Layout,
  binaries: PostgresBinaries,
  secrets: Secrets,
  signal?: AbortSignal,
): Promise<PostgresOfZone> {
  const name = `postgres-${zone}`;
  const files = postgresFiles(layout.serviceFolder(name));
  const account = await choosePostgresAccount(files.data, binaries.postgres);
  await prepareData(files, binaries, account, secrets, signal);
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
  return { definition, bootstrap: () => bootstrap(files, port, secrets) };
}
