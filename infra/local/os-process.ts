import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { platform } from 'node:os';
import { z } from 'zod';
import { waitUntil } from './wait-until.js';

/**
 * Enough about a process to find it again after the starter was killed, and to be sure it is still the same one:
 * a pid alone may by then belong to somebody else's program.
 */
export const processRecordSchema = z.object({
  pid: z.number().int().positive(),
  /** When it began, as the system counts it (`birthOf`). */
  birth: z.string(),
  /** A part of its command line that no other program has. */
  marker: z.string(),
  command: z.string(),
  startedAt: z.string(),
});
export type ProcessRecord = z.infer<typeof processRecordSchema>;

/** One way to end a process, and how long to wait for it before the next way is tried. */
export interface StopStep {
  signal: NodeJS.Signals;
  waitMs: number;
}

/**
 * The moment a process began, in a form that is only good for comparing. Undefined when there is no such process, or only its
 * zombie: where nobody reaps orphans (a container without init), a zombie keeps its pid for ever but holds no port and no file.
 */
export function birthOf(pid: number): string | undefined {
  if (platform() === 'linux') {
    const stat = readProc(pid, 'stat');
    if (stat === undefined) return undefined;
    const { state, startTicks } = parseProcStat(stat);
    return state === 'Z' || state === 'X' ? undefined : `${bootId()} ${startTicks}`;
  }
  const state = ps(pid, 'stat=');
  return state === undefined || state.startsWith('Z') ? undefined : ps(pid, 'lstart=');
}

/** The command line with its arguments, parted by blanks, or undefined when the process is gone. */
export function commandLineOf(pid: number): string | undefined {
  if (platform() === 'linux') return readProc(pid, 'cmdline')?.replaceAll('\0', ' ').trim();
  return ps(pid, 'command=');
}

/** Whether the recorded process itself still runs, not a later one with its pid. */
export function stillRuns(record: Pick<ProcessRecord, 'pid' | 'birth'> & { marker?: string }): boolean {
  if (birthOf(record.pid) !== record.birth) return false;
  return record.marker === undefined || (commandLineOf(record.pid)?.includes(record.marker) ?? false);
}

/** Pids whose parent is `pid`. Postgres moves each of its workers into a process group of its own, so no group signal finds them. */
export function childrenOf(pid: number): number[] {
  const pairs = platform() === 'linux' ? parentsFromProc() : parentsFromPs();
  return pairs.flatMap(([child, parent]) => (parent === pid ? [child] : []));
}

/** Sends a signal; false when there is no such process any more. */
export function signalProcess(pid: number, signal: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, signal);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ESRCH') return false;
    throw error;
  }
}

/** Ends a process that is no child of ours. Tries the steps in turn, then SIGKILL; true once it is gone. */
export async function endProcess(pid: number, birth: string, steps: readonly StopStep[]): Promise<boolean> {
  const isGone = () => birthOf(pid) !== birth;
  for (const { signal, waitMs } of [...steps, { signal: 'SIGKILL' as const, waitMs: 5000 }]) {
    if (isGone() || !signalProcess(pid, signal)) return true;
    if (await waitUntil(isGone, { withinMs: waitMs, everyMs: 10 })) return true;
  }
  return false;
}

/** From the text of Linux's `/proc/<pid>/stat`: `123 (name, which may hold blanks and brackets) S 1 …`. */
export function parseProcStat(stat: string): { state: string; parent: number; startTicks: string } {
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  // The man page counts from 1, and two fields are cut off: state is its field 3, the parent 4, the start time 22.
  return { state: fields[0] ?? '', parent: Number(fields[1]), startTicks: fields[19] ?? '' };
}

/** Slim Linux images have no `ps`; every Linux has this. */
function parentsFromProc(): [child: number, parent: number][] {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  return pids.map(Number).flatMap((pid) => {
    const stat = readProc(pid, 'stat');
    return stat === undefined ? [] : [[pid, parseProcStat(stat).parent]];
  });
}

function parentsFromPs(): [child: number, parent: number][] {
  const table = execFileSync('ps', ['-A', '-o', 'pid=,ppid='], { encoding: 'utf8' });
  return table.split('\n').map((line) => {
    const [child, parent] = line.trim().split(/\s+/);
    return [Number(child), Number(parent)];
  });
}

function readProc(pid: number, file: string): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8');
  } catch {
    return undefined; // gone, or gone while it was read (ESRCH)
  }
}

function ps(pid: number, column: string): string | undefined {
  try {
    const environment = { PATH: process.env['PATH'] ?? '', LC_ALL: 'C', TZ: 'UTC' };
    const text = execFileSync('ps', ['-ww', '-o', column, '-p', String(pid)], { encoding: 'utf8', env: environment });
    return text.trim() === '' ? undefined : text.trim();
  } catch {
    return undefined; // ps ends with 1 when it finds no such process
  }
}

let knownBootId: string | undefined;

function bootId(): string {
  return (knownBootId ??= readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim());
}
