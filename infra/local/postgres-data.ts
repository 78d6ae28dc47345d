import {
  appendFileSync,
  chmodSync,
  chownSync,
  existsSync,
  lchownSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { infraFile } from './checkout.js';
import { isMissing, readJson } from './private-file.js';
import { commandAs, type PostgresAccount } from './postgres-account.js';
import { type PostgresBinaries } from './postgres-binaries.js';
import { runCommand } from './run-command.js';
import { type Secrets } from './secrets.js';
import { StarterError } from './starter-error.js';

/** The files of one zone's Postgres: its folder holds the data directory and, written last, the mark that it is whole. */
export interface PostgresFiles {
  folder: string;
  data: string;
  mark: string;
}

export function postgresFiles(folder: string): PostgresFiles {
  return { folder, data: join(folder, 'data'), mark: join(folder, 'initialised.json') };
}

const markSchema = z.object({ bootstrap: z.string() });

/** Whether the data directory was made to its end. One that was interrupted holds nothing yet and may be thrown away. */
export function isInitialised(files: PostgresFiles): boolean {
  return readMark(files) !== undefined;
}

/**
 * Leaves a data directory with our settings: the one that is there, or a new one. One that was only begun is made anew.
 *
 * @throws StarterError when the data is of another major version than the server
 */
export async function prepareData(
  files: PostgresFiles,
  binaries: PostgresBinaries,
  account: PostgresAccount,
  secrets: Secrets,
  signal?: AbortSignal,
): Promise<void> {
  if (isInitialised(files)) {
    await refuseOtherMajor(files, binaries);
    giveTree(account, files.folder);
  } else {
    await initialise(files, binaries, account, secrets, signal);
  }
  // Written on every start, so that settings a later version of the checkout brings reach data that is already there.
  const settings = join(files.data, 'borough.conf');
  writeFileSync(settings, readFileSync(infraFile('postgres/borough.conf')), { mode: 0o600 });
  giveTo(account, settings);
}

async function initialise(
  files: PostgresFiles,
  binaries: PostgresBinaries,
  account: PostgresAccount,
  secrets: Secrets,
  signal?: AbortSignal,
): Promise<void> {
  rmSync(files.folder, { recursive: true, force: true });
  mkdirSync(files.folder, { mode: 0o700 });
  chmodSync(files.folder, 0o700);
  const passwordFile = join(files.folder, 'superuser-password');
  writeFileSync(passwordFile, secrets.postgresSuperuser, { mode: 0o600 });
  giveTo(account, files.folder);
  giveTo(account, passwordFile);
  const args = [
    '-D',
    files.data,
    '-U',
    'postgres',
    '--pwfile',
    passwordFile,
    '--auth=scram-sha-256',
    '--no-instructions',
  ];
  // The built-in C.UTF-8 sorts the same on every system and version, which the system's own may not.
  args.push('--encoding=UTF8', '--locale=C', '--locale-provider=builtin', '--builtin-locale=C.UTF-8');
  args.push('--no-sync'); // a crash in the middle leaves no mark, and the directory is made anew
  const result = await runCommand(commandAs(account, binaries.initdb, args), { signal });
  rmSync(passwordFile, { force: true });
  if (!result.ok) throw new StarterError(`initdb could not make ${files.data}:\n${result.output}`);
  // An include, not the command line: what ALTER SYSTEM sets (synchronous_standby_names) must be able to win.
  appendFileSync(join(files.data, 'postgresql.conf'), "\ninclude 'borough.conf'\n");
}

/**
 * Postgres refuses to start while `postmaster.pid` names a living process, whatever that is. After a container's restart pids
 * begin anew, and the one in the file is soon somebody else's. Naming a dead process instead (no pid is ever so high) keeps the
 * file's other use: Postgres still looks whether workers of the old server hold its shared memory.
 *
 * @param isOurs whether that pid is a Postgres on this data directory
 */
export function forgetForeignPid(files: PostgresFiles, isOurs: (pid: number) => boolean): void {
  const path = join(files.data, 'postmaster.pid');
  let lines: string[];
  try {
    lines = readFileSync(path, 'utf8').split('\n');
  } catch (error) {
    if (isMissing(error)) return;
    throw error;
  }
  if (isOurs(Number(lines[0]))) return;
  writeFileSync(path, [String(2 ** 31 - 1), ...lines.slice(1)].join('\n'));
}

async function refuseOtherMajor(files: PostgresFiles, binaries: PostgresBinaries): Promise<void> {
  const dataMajor = readFileSync(join(files.data, 'PG_VERSION'), 'utf8').trim();
  const version = await runCommand({ file: binaries.postgres, args: ['--version'] });
  const major = /\(PostgreSQL\) (\d+)/.exec(version.output)?.[1];
  if (dataMajor === major) return;
  throw new StarterError(
    `${files.data} was made by Postgres ${dataMajor}, and the installed one is ${major ?? version.output}.\n` +
      'To start anew without the data:  npm run reset',
  );
}

/** The mark of a data directory that was made to its end, or undefined. */
export function readMark(files: PostgresFiles): z.infer<typeof markSchema> | undefined {
  const mark = markSchema.safeParse(readJson(files.mark));
  return mark.success && existsSync(join(files.data, 'PG_VERSION')) ? mark.data : undefined;
}

/** Data that root once made in a user namespace has to change hands when there is no such namespace any more. */
function giveTree(account: PostgresAccount, folder: string): void {
  if (account.kind !== 'other' || statSync(join(folder, 'data')).uid === account.uid) return;
  for (const path of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
    lchownSync(join(folder, path), account.uid, account.gid);
  }
  giveTo(account, folder);
}

function giveTo(account: PostgresAccount, path: string): void {
  if (account.kind === 'other') chownSync(path, account.uid, account.gid);
}
