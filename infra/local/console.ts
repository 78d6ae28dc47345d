import { type WriteStream } from 'node:tty';
import { type Report } from './report.js';
import { StarterError } from './starter-error.js';

/** A step is shown once it has taken this long; most are done sooner. */
const SHOWN_AFTER_MS = 1000;
/** Where lines cannot be written over (a log, a pipe), a step that goes on says so this often. */
const REPEATED_EVERY_MS = 5000;

/**
 * Shows a cluster's reports to a person: a line per finished step and per notice and, while steps take their time, what they are
 * at. On a terminal that is one line, written over; elsewhere a line now and then.
 */
export function consoleReport(stream: Pick<WriteStream, 'write' | 'isTTY' | 'columns'>): Report {
  const running = new Map<string, { text: string; shownText: string; shownAtMs: number }>();
  const clearStatus = () => {
    if (stream.isTTY) stream.write('\r\u001b[K');
  };
  const drawStatus = () => {
    const texts = [...running.values()].flatMap(({ text }) => (text === '' ? [] : [text]));
    if (stream.isTTY && texts.length > 0) stream.write(`… ${texts.join('; ')}`.slice(0, stream.columns - 1));
  };
  return (report) => {
    clearStatus();
    switch (report.state) {
      case 'started':
        running.set(report.step, { text: '', shownText: '', shownAtMs: 0 });
        break;
      case 'progress': {
        if (report.elapsedMs < SHOWN_AFTER_MS) break;
        const detail = report.detail ?? 'not ready yet';
        const text = `${report.step}: ${detail} (${seconds(report.elapsedMs)})`;
        const shown = running.get(report.step) ?? { text, shownText: '', shownAtMs: 0 };
        const isNews = detail !== shown.shownText || report.elapsedMs - shown.shownAtMs >= REPEATED_EVERY_MS;
        if (!stream.isTTY && isNews) stream.write(`… ${text}\n`);
        const now = isNews ? { shownText: detail, shownAtMs: report.elapsedMs } : shown;
        running.set(report.step, { ...now, text });
        break;
      }
      case 'done':
        running.delete(report.step);
        stream.write(`✓ ${report.step}  ${seconds(report.elapsedMs)}\n`);
        break;
      case 'failed':
        running.delete(report.step);
        stream.write(`✗ ${report.step}\n`);
        break;
      case 'notice':
        stream.write(`  ${report.text}\n`);
        break;
    }
    drawStatus();
  };
}

export function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}

/** What to show of a fault: only the message of one that tells a person what to do (also a wrong option), all of any other. */
export function faultText(error: unknown): string {
  if (error instanceof StarterError || (error instanceof Error && error.name === 'CACError')) return error.message;
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
