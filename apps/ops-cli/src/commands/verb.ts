/** What all verbs have alike: options, help, how a fault ends. */
import { OpsClient } from '@borough/ops-client';
import { Command, InvalidArgumentError } from 'commander';
import { findCoordinators } from '../coordinators/find-coordinators.js';
import { EXIT_LINES, type ExitCode } from '../terminal/exit-codes.js';
import { Output } from '../terminal/output.js';
import { type Terminal } from '../terminal/terminal.js';

export interface CommonOptions {
  readonly json?: true;
  readonly coordinator?: string;
  readonly timeout?: number;
}

/** What a verb works with. */
export interface Work {
  readonly terminal: Terminal;
  readonly output: Output;
  /** Made when first used: a wrong command line is refused before anybody is looked for. */
  readonly ops: () => OpsClient;
  readonly signal: AbortSignal;
}

export interface VerbText {
  /** One line, for the list of verbs. */
  readonly summary: string;
  /** File in `infra/runbooks`, without `.md`. */
  readonly page: string;
  /** Command lines that work as they stand. */
  readonly examples: readonly string[];
  /** What `--json` prints. */
  readonly json: string;
}

/** How the verbs hand their exit status out of commander. */
export interface Run {
  readonly terminal: Terminal;
  exitCode: ExitCode;
}

/**
 * A command with its help, and with the options that every verb has.
 *
 * @param usage its name and what it takes: `apply <shards...>`
 */
export function verb(usage: string, text: VerbText): Command {
  const [name = '', ...takes] = usage.split(' ');
  const command = new Command(name)
    .description(text.summary)
    .option('--json', text.json)
    .helpOption('-h, --help', 'this help')
    .addHelpText('after', helpFoot(text));
  for (const argument of takes) command.argument(argument);
  return withCoordinatorOptions(command);
}

function withCoordinatorOptions(command: Command): Command {
  return command
    .option(
      '--coordinator <urls>',
      'base URLs of all coordinators, comma-separated (default: BOROUGH_COORDINATOR_URLS, else the cluster of this checkout)',
    )
    .option('--timeout <seconds>', 'how long to look for a coordinator that answers (default: 10)', secondsOf);
}

export function workOf(terminal: Terminal, options: CommonOptions): Work {
  let client: OpsClient | undefined;
  return {
    terminal,
    output: new Output(terminal, options.json === true),
    ops: () =>
      (client ??= new OpsClient({
        coordinatorUrls: findCoordinators(options.coordinator, terminal.env),
        ...(options.timeout === undefined ? {} : { deadlineMs: options.timeout * 1000 }),
      })),
    signal: terminal.interruption.signal,
  };
}

/** For commander: a whole number from `least` to `most`. */
export function wholeNumber(least: number, most: number): (text: string) => number {
  return (text) => {
    const number = Number(text);
    if (/^\d+$/.test(text) && number >= least && number <= most) return number;
    throw new InvalidArgumentError(`It needs a whole number from ${least} to ${most}.`);
  };
}

const MAX_TIMEOUT_SECONDS = 3600;

/** For commander: seconds, above 0 and up to an hour. */
export function secondsOf(text: string): number {
  const seconds = text.trim() === '' ? Number.NaN : Number(text);
  if (seconds > 0 && seconds <= MAX_TIMEOUT_SECONDS) return seconds;
  throw new InvalidArgumentError(`It needs seconds, above 0 and up to ${MAX_TIMEOUT_SECONDS}.`);
}

function helpFoot({ examples, page }: VerbText): string {
  const lines = [
    '',
    'Examples:',
    ...examples.map((example) => `  ${example}`),
    '',
    'Exit status:',
    ...EXIT_LINES.map((line) => `  ${line}`),
    '',
    `Runbook: infra/runbooks/${page}.md`,
  ];
  return lines.join('\n');
}
