import { createWriteStream, existsSync, readFileSync, renameSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { type Readable } from 'node:stream';

/** Puts the log of the last run aside as `<path>.1`, over the one before it. */
export function rotateLog(path: string): void {
  if (existsSync(path)) renameSync(path, `${path}.1`);
}

/** The last lines of a log that are not blank, for an error message. */
export function lastLines(path: string, count: number): string {
  if (!existsSync(path)) return '';
  const lines = readFileSync(path, 'utf8').split('\n');
  return lines
    .filter((line) => line.trim() !== '')
    .slice(-count)
    .join('\n');
}

/** Appends everything the streams say to a log, and shows each line to `onLine`. */
export function logLines(streams: readonly Readable[], path: string, onLine: (line: string) => void): void {
  const log = createWriteStream(path, { flags: 'a', mode: 0o600 });
  log.on('error', () => undefined); // a full disk must not end the cluster
  let open = streams.length;
  for (const stream of streams) {
    const lines = createInterface({ input: stream });
    lines.on('line', (line) => {
      log.write(`${line}\n`);
      onLine(line);
    });
    lines.on('close', () => {
      open -= 1;
      if (open === 0) log.end();
    });
  }
}

const LEVEL_NAMES = new Map([
  [40, 'warn'],
  [50, 'error'],
  [60, 'fatal'],
]);

/**
 * A log line of one of our processes as a person reads it (`zone-b  warn  message`), or undefined when it is of no concern:
 * information, or no pino line at all (a stack is found in the log file).
 */
export function readableWarning(service: string, line: string): string | undefined {
  // Most lines are information: do not parse those.
  if (!/"level":[456]0\b/.test(line)) return undefined;
  try {
    const entry = JSON.parse(line) as { level?: unknown; msg?: unknown; err?: { message?: unknown } };
    const level = typeof entry.level === 'number' ? LEVEL_NAMES.get(entry.level) : undefined;
    if (level === undefined) return undefined;
    const message = [entry.msg, entry.err?.message].filter((text) => typeof text === 'string' && text !== '');
    return `${service}  ${level}  ${[...new Set(message)].join(': ')}`;
  } catch {
    return undefined;
  }
}
