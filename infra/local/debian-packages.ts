import { randomBytes } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs';
import { arch } from 'node:os';
import { join } from 'node:path';
import { type Progress } from './report.js';
import { type Command, type CommandResult, plainEnvironment, runCommand } from './run-command.js';
import { StarterError } from './starter-error.js';

/** Debian's two servers, by the name of the package. */
export type DebianServer = 'nats-server' | 'redis-server';

/** What they need besides on a bare Debian 12. Asking apt to work it out takes as long as all the rest, so this is tried first. */
const KNOWN_PACKAGES: Record<DebianServer, readonly string[]> = {
  'nats-server': ['nats-server'],
  'redis-server': ['redis-server', 'redis-tools', 'libjemalloc2', 'liblzf1'],
};

const APT_OPTIONS = ['-q', '-o', 'Acquire::Retries=2', '-o', 'Acquire::http::Timeout=20'];
const DRAFT_PREFIX = '.unpacking-';
const DRAFT_OLD_AFTER_MS = 60 * 60 * 1000;

/** Whether this system's packages can be downloaded and unpacked, which takes apt and dpkg but not root. */
export async function hasDebianPackages(): Promise<boolean> {
  const tools = await Promise.all(['apt-get', 'dpkg-deb'].map((file) => runCommand({ file, args: ['--version'] })));
  return tools.every((tool) => tool.ok);
}

/**
 * Downloads Debian's packages of the servers and unpacks them into a folder; nothing is installed and no service starts.
 *
 * @param cache where the folder is kept for the next time; several starters may share it
 * @returns the folder, which stands for `/`
 * @throws StarterError with what to run, when the packages cannot be had
 */
export async function unpackDebianServers(
  servers: readonly DebianServer[],
  cache: string,
  progress: Progress,
  signal?: AbortSignal,
): Promise<string> {
  const shelf = join(cache, 'debian');
  const folder = join(shelf, [releaseName(), arch(), ...[...servers].sort()].join('-'));
  if (existsSync(folder)) return folder;
  mkdirSync(shelf, { recursive: true });
  removeOldDrafts(shelf);
  const draft = join(shelf, `${DRAFT_PREFIX}${randomBytes(6).toString('hex')}`);
  const root = join(draft, 'root');
  mkdirSync(root, { recursive: true });
  try {
    await fetchInto(
      root,
      servers,
      servers.flatMap((server) => KNOWN_PACKAGES[server]),
      progress,
      signal,
    );
    if (!(await allRun(servers, root))) {
      // Another release, where they need other packages.
      progress(`asking apt what ${servers.join(' and ')} need`);
      await fetchInto(root, servers, await packagesToInstall(servers, signal), progress, signal);
    }
    chmodSync(root, 0o755);
    return moveIntoPlace(root, folder);
  } finally {
    rmSync(draft, { recursive: true, force: true });
  }
}

/** An unpacked server's program, which is not sure to be there or to run. */
export function unpackedProgram(server: DebianServer, folder: string): Command {
  const [bin, sbin] = [join(folder, 'usr/bin', server), join(folder, 'usr/sbin', server)];
  return { file: existsSync(sbin) ? sbin : bin, args: ['--version'], environment: unpackedEnvironment(folder) };
}

/** Environment in which unpacked programs find the libraries that were unpacked beside them. */
export function unpackedEnvironment(folder: string): Record<string, string> {
  const libraries = join(folder, 'usr', 'lib');
  const triplets = existsSync(libraries) ? readdirSync(libraries).filter((name) => name.includes('-linux-')) : [];
  const paths = [libraries, ...triplets.map((name) => join(libraries, name))];
  return plainEnvironment({ LD_LIBRARY_PATH: paths.join(':') });
}

async function allRun(servers: readonly DebianServer[], folder: string): Promise<boolean> {
  const results = await Promise.all(servers.map((server) => runCommand(unpackedProgram(server, folder))));
  return results.every(({ ok }) => ok);
}

/** What an installation would add to this system. @returns nothing when apt cannot say */
async function packagesToInstall(servers: readonly DebianServer[], signal?: AbortSignal): Promise<string[]> {
  const plan = await apt('apt-get', ['install', '--simulate', '--no-install-recommends', ...servers], {}, signal);
  return [...plan.output.matchAll(/^Inst (\S+) /gm)].flatMap((match) => match[1] ?? []);
}

async function fetchInto(
  root: string,
  servers: readonly DebianServer[],
  packages: readonly string[],
  progress: Progress,
  signal?: AbortSignal,
): Promise<void> {
  const folder = join(root, '..', 'packages');
  mkdirSync(folder, { recursive: true });
  await download(servers, packages, folder, progress, signal);
  progress('unpacking');
  for (const file of readdirSync(folder).filter((name) => name.endsWith('.deb'))) {
    const result = await apt('dpkg-deb', ['-x', join(folder, file), root], {}, signal);
    if (!result.ok) throw new StarterError(`dpkg-deb could not unpack ${file}:\n${result.output}`);
  }
}

async function download(
  servers: readonly DebianServer[],
  packages: readonly string[],
  folder: string,
  progress: Progress,
  signal?: AbortSignal,
): Promise<void> {
  progress(`asking apt for ${servers.join(' and ')}`);
  const first = await downloadOnce(packages, folder, progress, signal);
  if (first.ok) return;
  // No package lists (a fresh container), or lists so old that the files they name are gone.
  if (process.getuid?.() !== 0) throw cannotDownload(servers, first, 'sudo apt-get update');
  progress('apt-get update');
  const update = await apt('apt-get', [...APT_OPTIONS, 'update'], { onLine: progress }, signal);
  const second = await downloadOnce(packages, folder, progress, signal);
  // Another starter may have held apt's lock and updated the lists meanwhile, so the second download is what counts.
  if (!second.ok) throw cannotDownload(servers, update.ok ? second : update, 'apt-get update');
}

function downloadOnce(packages: readonly string[], folder: string, progress: Progress, signal?: AbortSignal) {
  let begun = 0;
  const onLine = (line: string) => {
    const name = /^Get:\d+ \S+ \S+ \S+ (\S+) /.exec(line)?.[1];
    if (name === undefined) return;
    begun += 1;
    progress(`downloading ${name} (${begun} of ${packages.length})`);
  };
  return apt('apt-get', [...APT_OPTIONS, 'download', ...packages], { cwd: folder, onLine }, signal);
}

function apt(
  file: string,
  args: readonly string[],
  options: { cwd?: string; onLine?: (line: string) => void },
  signal?: AbortSignal,
): Promise<CommandResult> {
  const environment = plainEnvironment({ LC_ALL: 'C', DEBIAN_FRONTEND: 'noninteractive', ...proxyEnvironment() });
  const { cwd, onLine } = options;
  return runCommand(
    { file, args, environment, ...(cwd === undefined ? {} : { cwd }) },
    { signal, ...(onLine ? { onLine } : {}) },
  );
}

/** apt may need the proxy that our servers must not see. */
function proxyEnvironment(): Record<string, string> {
  const names = ['http_proxy', 'https_proxy', 'HTTP_PROXY', 'HTTPS_PROXY', 'no_proxy', 'NO_PROXY'];
  return Object.fromEntries(names.flatMap((name) => (process.env[name] ? [[name, process.env[name]]] : [])));
}

/** Renames the finished folder to its name. If another starter was quicker, its folder is as good. */
function moveIntoPlace(root: string, folder: string): string {
  try {
    renameSync(root, folder);
  } catch (error) {
    if (!existsSync(folder)) throw error;
  }
  return folder;
}

function removeOldDrafts(shelf: string): void {
  for (const name of readdirSync(shelf).filter((entry) => entry.startsWith(DRAFT_PREFIX))) {
    const path = join(shelf, name);
    const ageMs = Date.now() - (statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? Date.now());
    if (ageMs > DRAFT_OLD_AFTER_MS) rmSync(path, { recursive: true, force: true });
  }
}

/** `debian-12`, `ubuntu-24.04`: a cache made on one release is not used on another. */
function releaseName(): string {
  const text = existsSync('/etc/os-release') ? readFileSync('/etc/os-release', 'utf8') : '';
  const field = (name: string) => new RegExp(`^${name}="?([\\w.]+)"?$`, 'm').exec(text)?.[1] ?? 'unknown';
  return `${field('ID')}-${field('VERSION_ID')}`;
}

function cannotDownload(servers: readonly DebianServer[], result: CommandResult, firstTry: string): StarterError {
  return new StarterError(
    `apt could not download ${servers.join(' and ')}:\n${result.output.split('\n').slice(-6).join('\n')}\n` +
      `Try:  ${firstTry}\n` +
      `Or install them:  sudo apt-get install ${servers.join(' ')}\n` +
      'Or use servers you have:  NATS_URL=nats://… REDIS_URLS=redis://… npm start',
  );
}
