/**
 * Where what goes. For people: words on standard output, faults and questions on standard error. With `--json`: the
 * document alone on standard output, all words on standard error.
 */
import { type CliFault } from './cli-fault.js';
import { paintFor, type Paint } from './paint.js';
import { isRedrawable, type Screen, type Terminal } from './terminal.js';

export class Output {
  /** Where words go. */
  readonly screen: Screen;
  readonly paint: Paint;
  /** Whether words can be written over. */
  readonly isLive: boolean;

  constructor(
    private readonly terminal: Terminal,
    readonly isJson: boolean,
  ) {
    this.screen = isJson ? terminal.stderr : terminal.stdout;
    this.paint = paintFor(this.screen, terminal.env);
    // Documents on the same terminal would stand in the middle of what is redrawn.
    const isShared = isJson && terminal.stdout.isTTY === true;
    this.isLive = isRedrawable(this.screen, terminal.env) && !isShared;
  }

  words(lines: readonly string[]): void {
    writeLines(this.screen, lines);
  }

  /** The one document of a verb with `--json`; without it nothing. */
  document(value: unknown): void {
    if (this.isJson) writeLines(this.terminal.stdout, [JSON.stringify(value, undefined, 2)]);
  }

  /** One of many documents, each on a line of its own. */
  documentLine(value: unknown): void {
    if (this.isJson) writeLines(this.terminal.stdout, [JSON.stringify(value)]);
  }

  /** @param isLine among `documentLine`s the fault is one too */
  fault(fault: CliFault, isLine = false): void {
    const { code, message, details, next, exitCode, facts } = fault;
    const paint = paintFor(this.terminal.stderr, this.terminal.env);
    writeLines(this.terminal.stderr, [
      `${paint.red('✗')} ${paint.bold(message)}`,
      ...details.map((line) => `  ${line}`),
      ...next.map((line) => `  → ${line}`),
    ]);
    const document = { error: { code, title: message, details, next, ...facts }, exitCode };
    if (isLine) this.documentLine(document);
    else this.document(document);
  }
}

function writeLines(screen: Screen, lines: readonly string[]): void {
  if (lines.length > 0) screen.write(`${lines.join('\n')}\n`);
}
