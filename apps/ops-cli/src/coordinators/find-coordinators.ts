/**
 * Which coordinators to talk to:
 *
 *     --coordinator URL[,URL]   else   BOROUGH_COORDINATOR_URLS   else   the cluster that `npm start` runs in this checkout
 */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { CliFault } from '../terminal/cli-fault.js';
import { EXIT } from '../terminal/exit-codes.js';

const VARIABLE = 'BOROUGH_COORDINATOR_URLS';

/** The part of `.borough/cluster.json` that the CLI needs; the starter writes it once everything is ready. */
const localCluster = z.object({
  starterPid: z.int(),
  coordinatorUrl: z.url(),
  coordinatorUrls: z.array(z.url()).min(1).optional(),
});

/**
 * @param option value of `--coordinator`, where given
 * @param clusterFile where the local cluster leaves its addresses
 * @returns base URLs, at least one
 * @throws CliFault `usage` when a URL cannot be read, `no-coordinator-known` when none is named and no cluster runs here
 */
export function findCoordinators(
  option: string | undefined,
  env: Readonly<Record<string, string | undefined>>,
  clusterFile = localClusterFile(),
): readonly string[] {
  if (option !== undefined) return urlsOf(option, '--coordinator');
  const variable = env[VARIABLE] ?? '';
  if (variable !== '') return urlsOf(variable, VARIABLE);
  const local = clusterFile === undefined ? undefined : runningCluster(clusterFile);
  if (local !== undefined) return local.coordinatorUrls ?? [local.coordinatorUrl];
  throw new CliFault({
    code: 'no-coordinator-known',
    title: 'No coordinator is known: none was named, and no cluster runs from this checkout',
    next: [
      'start one here:  npm start',
      `or name them:  --coordinator http://host:port,http://other:port  (or ${VARIABLE})`,
    ],
    exitCode: EXIT.noCoordinator,
  });
}

function urlsOf(text: string, source: string): string[] {
  const urls = text.split(',').flatMap((part) => (part.trim() === '' ? [] : [part.trim()]));
  const wrong = urls.find((url) => !/^https?:\/\/[^\s]+$/.test(url) || !URL.canParse(url));
  if (urls.length > 0 && wrong === undefined) return urls;
  throw new CliFault({
    code: 'usage',
    title: wrong === undefined ? `${source} names no coordinator` : `${source}: ${wrong} is no http or https URL`,
    next: [`write  ${source}${source.startsWith('--') ? ' ' : '='}http://host:port,http://other:port`],
    exitCode: EXIT.usage,
  });
}

/** A file whose starter is dead was left behind by a kill: nobody listens at its addresses. */
function runningCluster(file: string): z.infer<typeof localCluster> | undefined {
  if (!existsSync(file)) return undefined;
  const reading = localCluster.safeParse(parsedJson(readFileSync(file, 'utf8')));
  return reading.success && isRunning(reading.data.starterPid) ? reading.data : undefined;
}

function parsedJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // Another user's process runs as well.
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}

/** `.borough/cluster.json` of the checkout this program runs from; undefined when it runs from no checkout. */
function localClusterFile(): string | undefined {
  for (let folder = dirname(fileURLToPath(import.meta.url)); ; folder = dirname(folder)) {
    if (existsSync(join(folder, 'package-lock.json'))) return join(folder, '.borough', 'cluster.json');
    if (folder === dirname(folder)) return undefined;
  }
}
