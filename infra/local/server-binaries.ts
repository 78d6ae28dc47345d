import { accessSync, constants, statSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { type DebianServer, hasDebianPackages, unpackDebianServers, unpackedProgram } from './debian-packages.js';
import { type Progress } from './report.js';
import { plainEnvironment, runCommand } from './run-command.js';
import { StarterError } from './starter-error.js';

/** A server program, the environment it needs to find its libraries, and the first line of what it says its version is. */
export interface ServerBinary {
  path: string;
  environment: Record<string, string>;
  version: string;
}

/** The names a server's program may have, best first. Valkey is Redis under another name, for all we use of it. */
const PROGRAMS: Record<DebianServer, readonly string[]> = {
  'nats-server': ['nats-server'],
  'redis-server': ['redis-server', 'valkey-server'],
};

/** Servers are installed where ordinary users' PATH often does not lead. */
const MORE_FOLDERS = ['/usr/local/bin', '/usr/local/sbin', '/usr/bin', '/usr/sbin', '/opt/homebrew/bin'];

/**
 * Finds each server on PATH, or else in Debian's packages, downloaded into the cache.
 *
 * @throws StarterError that says, for each kind of system, the one line that installs what is missing
 */
export async function findServerBinaries<Name extends DebianServer>(
  servers: readonly Name[],
  cache: string,
  progress: Progress,
  signal?: AbortSignal,
): Promise<Record<Name, ServerBinary>> {
  const onPath = await Promise.all(servers.map((server) => installed(server)));
  const missing = servers.filter((_, index) => onPath[index] === undefined);
  const folder = missing.length === 0 ? '' : await unpackMissing(missing, cache, progress, signal);
  const found = await Promise.all(
    servers.map(async (name, index) => [name, onPath[index] ?? (await unpacked(name, folder))]),
  );
  return Object.fromEntries(found) as Record<Name, ServerBinary>;
}

async function installed(server: DebianServer): Promise<ServerBinary | undefined> {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), ...MORE_FOLDERS].filter((folder) => folder !== '');
  for (const program of PROGRAMS[server]) {
    const path = folders.map((folder) => join(folder, program)).find(isProgram);
    if (path === undefined) continue;
    const environment = plainEnvironment();
    const version = await runCommand({ file: path, args: ['--version'], environment });
    if (version.ok) return { path, environment, version: version.output.split('\n')[0] ?? '' };
  }
  return undefined;
}

async function unpackMissing(
  missing: readonly DebianServer[],
  cache: string,
  progress: Progress,
  signal?: AbortSignal,
): Promise<string> {
  if (!(await hasDebianPackages())) throw new StarterError(howToInstall(missing));
  return unpackDebianServers(missing, cache, progress, signal);
}

async function unpacked(server: DebianServer, folder: string): Promise<ServerBinary> {
  const program = unpackedProgram(server, folder);
  const version = await runCommand(program);
  if (!version.ok) {
    throw new StarterError(
      `${server} from Debian's packages, unpacked into ${folder}, does not run:\n${version.output}\n` +
        `Remove that folder to have it fetched again, or install it:  sudo apt-get install ${server}`,
    );
  }
  const environment = program.environment ?? plainEnvironment();
  return { path: program.file, environment, version: version.output.split('\n')[0] ?? '' };
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

/** @param missing at least one server */
export function howToInstall(missing: readonly DebianServer[]): string {
  const names = missing.map((server) => (server === 'nats-server' ? 'NATS' : 'Redis (or Valkey)')).join(' and ');
  return [
    `${names}: no program found on PATH, and this system has no apt to fetch it with. Install what is missing:`,
    '  macOS:             brew install nats-server valkey',
    '  Fedora:            sudo dnf install nats-server valkey',
    '  Arch:              sudo pacman -S nats-server valkey',
    '  any other system:  set NATS_URL=nats://user:password@host:4222 and REDIS_URLS=redis://:password@host:6379',
    '                     to servers you have (one Redis for all zones, or one each, parted by commas)',
  ].join('\n');
}
