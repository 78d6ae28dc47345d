import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { type Layout } from './layout.js';
import {
  birthOf,
  commandLineOf,
  endProcess,
  type ProcessRecord,
  processRecordSchema,
  stillRuns,
  type StopStep,
} from './os-process.js';
import { readJson } from './private-file.js';
import { StarterError } from './starter-error.js';

interface Leftover {
  name: string;
  pid: number;
  birth: string;
}

/** Postgres: a fast shutdown, then an immediate one. Everything else has nobody left to be polite to. */
const POSTGRES_STOP: readonly StopStep[] = [
  { signal: 'SIGINT', waitMs: 5000 },
  { signal: 'SIGQUIT', waitMs: 2000 },
];
const OTHERS_STOP: readonly StopStep[] = [{ signal: 'SIGTERM', waitMs: 2000 }];

/**
 * Ends what an earlier starter of this directory left running because it was killed, and nothing else: a process is touched only
 * if it began when its record says and its command line carries the record's marker.
 *
 * @param notice told in one line, if there was anything
 */
export async function stopLeftovers(layout: Layout, notice: (text: string) => void): Promise<void> {
  const leftovers = findLeftovers(layout);
  const ended = await Promise.all(
    leftovers.map(({ name, pid, birth }) =>
      endProcess(pid, birth, name.startsWith('postgres-') ? POSTGRES_STOP : OTHERS_STOP),
    ),
  );
  const stubborn = leftovers.filter((_, index) => ended[index] !== true);
  if (stubborn.length > 0) {
    throw new StarterError(`An earlier run left these behind and they do not end: ${listOf(stubborn)}`);
  }
  rmSync(layout.runFolder, { recursive: true, force: true });
  if (leftovers.length > 0) notice(`stopped what an earlier run left behind: ${listOf(leftovers)}`);
}

/** What still runs of an earlier starter of this directory. */
function findLeftovers(layout: Layout): Leftover[] {
  const byPid = new Map<number, Leftover>();
  for (const leftover of [...recorded(layout), ...postmasters(layout)]) byPid.set(leftover.pid, leftover);
  return [...byPid.values()];
}

function recorded(layout: Layout): Leftover[] {
  if (!existsSync(layout.runFolder)) return [];
  return readdirSync(layout.runFolder).flatMap((file) => {
    const found = processRecordSchema.safeParse(readJson(join(layout.runFolder, file)));
    if (!found.success || !stillRuns(found.data)) return [];
    const { pid, birth }: ProcessRecord = found.data;
    return [{ name: file.replace(/\.json$/, ''), pid, birth }];
  });
}

/** Postgres also keeps its own pid file. It is the only trace when the starter died between starting it and writing ours. */
function postmasters(layout: Layout): Leftover[] {
  if (!existsSync(layout.directory)) return [];
  const names = readdirSync(layout.directory).filter((name) => name.startsWith('postgres-'));
  return names.flatMap((name) => {
    const data = join(layout.serviceFolder(name), 'data');
    const pidFile = join(data, 'postmaster.pid');
    if (!existsSync(pidFile)) return [];
    const pid = Number(readFileSync(pidFile, 'utf8').split('\n')[0]);
    const birth = Number.isInteger(pid) && pid > 0 ? birthOf(pid) : undefined;
    if (birth === undefined || commandLineOf(pid)?.includes(data) !== true) return [];
    return [{ name, pid, birth }];
  });
}

function listOf(leftovers: readonly Leftover[]): string {
  return leftovers.map(({ name, pid }) => `${name} (${pid})`).join(', ');
}
