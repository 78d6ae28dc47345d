import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

/** A program with arguments, and as whom and with what it runs. */
export interface Command {
  file: string;
  args: readonly string[];
  environment?: Record<string, string>;
  cwd?: string;
  /** Another account to run as; only root may set it. */
  account?: { uid: number; gid: number };
}

export interface CommandResult {
  ok: boolean;
  /** Standard output and error together, the last lines of it. */
  output: string;
}

const KEPT_LINES = 200;

/**
 * Runs a program to its end.
 *
 * @param onLine is given each line of its output as it comes
 * @returns `ok: false` when it ended with a fault, or could not be started at all
 * @throws the signal's reason when it was aborted (the program is killed)
 */
export function runCommand(
  command: Command,
  options: { onLine?: (line: string) => void; signal?: AbortSignal | undefined } = {},
): Promise<CommandResult> {
  return new Promise((resolve, reject) => {
    const child = spawn(command.file, command.args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: command.environment ?? plainEnvironment(),
      ...(command.cwd === undefined ? {} : { cwd: command.cwd }),
      ...command.account,
      ...(options.signal === undefined ? {} : { signal: options.signal, killSignal: 'SIGKILL' as const }),
    });
    const lines: string[] = [];
    for (const stream of [child.stdout, child.stderr]) {
      createInterface({ input: stream }).on('line', (line) => {
        lines.push(line);
        if (lines.length > KEPT_LINES) lines.shift();
        options.onLine?.(line);
      });
    }
    child.once('error', (error) => {
      if (options.signal?.aborted === true) reject(options.signal.reason as Error);
      else resolve({ ok: false, output: error.message });
    });
    child.once('close', (code) => {
      resolve({ ok: code === 0, output: lines.join('\n') });
    });
  });
}

const INHERITED = ['PATH', 'HOME', 'USER', 'TMPDIR', 'LANG', 'TZ', 'NODE_ENV', 'NODE_OPTIONS'];

/**
 * The part of our environment that programs we start may see. Not all of it: a stray PGSSLMODE, PGDATA or HTTP_PROXY would
 * change what they do.
 */
export function plainEnvironment(more: Record<string, string> = {}): Record<string, string> {
  const kept = INHERITED.flatMap((name) => {
    const value = process.env[name];
    return value === undefined ? [] : [[name, value] as const];
  });
  return { ...Object.fromEntries(kept), ...more };
}
