import { writeFileSync } from 'node:fs';
import { InvalidArgumentError, Command, Option } from 'commander';
import { FAILOVER_FAULTS, type FailoverFault } from './failover/plan.js';
import { MOST_COORDINATORS, MOST_ROUTERS } from '../../infra/local/ports.js';

/** What goes wrong meanwhile. */
const FAULTS = ['nats', 'coordinator', 'router-frozen', 'zone-api-frozen', 'all-coordinators'] as const;
export type Fault = (typeof FAULTS)[number];

export interface HandoverOptions {
  readonly moves: number;
  readonly rate: number;
  readonly shards: number;
  readonly routers: number;
  readonly coordinators: number;
  readonly fault: readonly Fault[];
  readonly seed: number;
  readonly json?: string;
  readonly directory?: string;
  readonly keep: boolean;
}

export interface FailoverOptions {
  readonly rounds: number;
  readonly rate: number;
  readonly shards: number;
  readonly routers: number;
  readonly coordinators: number;
  readonly fault: readonly FailoverFault[];
  readonly seed: number;
  /** Whether outages are judged by what is aimed at. */
  readonly bounds: boolean;
  readonly json?: string;
  readonly directory?: string;
  readonly keep: boolean;
}

export interface AuditOptions {
  readonly orders: number;
  readonly differences: number;
  readonly rate: number;
  readonly shards: number;
  readonly seed: number;
  readonly json?: string;
  readonly directory?: string;
  readonly keep: boolean;
}

/** What to do for each command; their failures end the program through it alone. */
export interface Drills {
  readonly handover: (options: HandoverOptions) => Promise<void>;
  readonly failover: (options: FailoverOptions) => Promise<void>;
  readonly audit: (options: AuditOptions) => Promise<void>;
}

/** The command line of `npm run drill --`. */
export function drillCommand({ handover, failover, audit }: Drills): Command {
  const program = new Command('npm run drill --')
    .description(
      'Starts a cluster, breaks or moves things in it under load, and proves from the outside that nothing was lost.',
    )
    .showHelpAfterError('Add --help for the options.')
    .exitOverride();
  program
    .command('handover')
    .description('hands shards over from zone to zone under load, back to back')
    .addOption(new Option('--moves <n>', 'how many moves').default(200).argParser(wholeNumber(1, 1_000_000)))
    .addOption(new Option('--rate <n>', 'requests a second, open loop').default(200).argParser(wholeNumber(1, 100_000)))
    .addOption(new Option('--shards <n>', 'areas, spread over the zones').default(12).argParser(wholeNumber(3, 200)))
    .addOption(new Option('--routers <n>', `1 to ${MOST_ROUTERS}`).default(3).argParser(wholeNumber(1, MOST_ROUTERS)))
    .addOption(
      new Option('--coordinators <n>', `1 to ${MOST_COORDINATORS}`)
        .default(2)
        .argParser(wholeNumber(1, MOST_COORDINATORS)),
    )
    .addOption(
      new Option('--fault <name...>', 'what goes wrong meanwhile; several are spread over the moves')
        .choices(FAULTS)
        .default([], 'none'),
    )
    .addOption(new Option('--seed <n>', 'of what is moved and asked for').default(1).argParser(wholeNumber(0, 2 ** 31)))
    .option('--json <file>', 'writes the report as JSON')
    .option('--directory <path>', "the cluster's data, logs and the history; emptied first (default: .borough/drill)")
    .option('--keep', 'keeps that directory afterwards', false)
    .addHelpText(
      'after',
      [
        '',
        'Ends with status 0 when nothing was lost, failed or done twice, 1 when something was, 2 when it could not be tried.',
        '',
        'Examples:',
        '  npm run drill -- handover --moves 1000 --rate 200',
        '  npm run drill -- handover --moves 100 --fault coordinator --json report.json',
      ].join('\n'),
    )
    .action(handover);
  program
    .command('failover')
    .description('loses zones under load, one after the other: killed, wiped, frozen, cut off')
    .addOption(
      new Option('--rounds <n>', 'how many losses').default(FAILOVER_FAULTS.length).argParser(wholeNumber(1, 100_000)),
    )
    .addOption(new Option('--rate <n>', 'requests a second, open loop').default(100).argParser(wholeNumber(1, 100_000)))
    .addOption(new Option('--shards <n>', 'areas, spread over the zones').default(12).argParser(wholeNumber(3, 200)))
    .addOption(new Option('--routers <n>', `1 to ${MOST_ROUTERS}`).default(3).argParser(wholeNumber(1, MOST_ROUTERS)))
    .addOption(
      new Option('--coordinators <n>', `1 to ${MOST_COORDINATORS}`)
        .default(2)
        .argParser(wholeNumber(1, MOST_COORDINATORS)),
    )
    .addOption(
      new Option('--fault <name...>', 'what befalls a zone, in turn').choices(FAILOVER_FAULTS).default([], 'all'),
    )
    .addOption(new Option('--seed <n>', 'of what is lost and asked for').default(1).argParser(wholeNumber(0, 2 ** 31)))
    .option('--no-bounds', 'tells how long outages were and does not judge them, for slow machines')
    .option('--json <file>', 'writes the report as JSON')
    .option('--directory <path>', "the cluster's data, logs and the history; emptied first (default: .borough/drill)")
    .option('--keep', 'keeps that directory afterwards', false)
    .addHelpText(
      'after',
      [
        '',
        'Ends with status 0 when nothing was lost, failed or done twice and outages were short, 1 when something was not',
        'so, 2 when it could not be tried.',
        '',
        'Examples:',
        '  npm run drill -- failover --rounds 50 --json report.json',
        '  npm run drill -- failover --rounds 10 --fault zone-killed-and-wiped heir-stalled --seed 7',
      ].join('\n'),
    )
    .action(failover);
  program
    .command('audit')
    .description('fills the zones, makes a few rows differ, and lets the cluster find and heal them under load')
    .addOption(new Option('--orders <n>', 'in every zone').default(1_000_000).argParser(wholeNumber(100, 10_000_000)))
    .addOption(new Option('--differences <n>', 'rows to be found').default(10).argParser(wholeNumber(0, 500)))
    .addOption(new Option('--rate <n>', 'requests a second meanwhile').default(50).argParser(wholeNumber(1, 100_000)))
    .addOption(new Option('--shards <n>', 'areas, spread over the zones').default(12).argParser(wholeNumber(3, 200)))
    .addOption(
      new Option('--seed <n>', 'of what differs and is asked for').default(1).argParser(wholeNumber(0, 2 ** 31)),
    )
    .option('--json <file>', 'writes the report as JSON')
    .option('--directory <path>', "the cluster's data and logs; emptied first (default: .borough/drill)")
    .option('--keep', 'keeps that directory afterwards', false)
    .addHelpText(
      'after',
      [
        '',
        'Ends with status 0 when exactly the planted rows were found, and healed where healing may write; 1 when not so, 2',
        'when it could not be tried.',
        '',
        'Example:',
        '  npm run drill -- audit --orders 100000 --differences 25',
      ].join('\n'),
    )
    .action(audit);
  return program;
}

function wholeNumber(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (Number.isInteger(value) && value >= least && value <= most) return value;
    throw new InvalidArgumentError(`It must be a whole number from ${least} to ${most}.`);
  };
}

/** Fails before hours of work when the report could not be written. */
export function requireWritable(file: string | undefined): void {
  if (file !== undefined) writeFileSync(file, '');
}
