/** What the command line asks for, checked before anything starts. */
import { resolve } from 'node:path';
import { cac } from 'cac';
import { type Pace } from './pacing.js';

export interface ReplayOptions {
  /** The directory of cities; undefined for a made-up day. */
  readonly dataDirectory: string | undefined;
  readonly cities: readonly string[] | undefined;
  readonly pace: Pace;
  /** Most requests in flight at once. */
  readonly concurrency: number;
  /** Most orders placed, and most couriers registered. */
  readonly limit: number | undefined;
  readonly seed: number;
  readonly jsonFile: string | undefined;
}

export type OptionsReading =
  | { readonly kind: 'options'; readonly options: ReplayOptions }
  | { readonly kind: 'help' }
  | { readonly kind: 'faults'; readonly faults: string[] };

const CLOSED_LOOP_IN_FLIGHT = 128;
/** An open loop does not slow down with the cluster, so more may pile up before orders wait for a free connection. */
const OPEN_LOOP_IN_FLIGHT = 1024;
const MAX_IN_FLIGHT = 4096;
/** The slowest and fastest day: beyond, Node's longest timer (24 days) and its shortest (1 ms) no longer keep the pace. */
const MIN_SPEED = 0.1;
const MAX_SPEED = 1_000_000;
const MAX_SEED = 2 ** 32 - 1;

/**
 * @param argv as in `process.argv`
 * @param workingDirectory what relative paths are relative to
 */
export function readOptions(argv: readonly string[], workingDirectory: string): OptionsReading {
  const cli = cac('npm run replay --');
  cli
    .usage('[options]\n\nPlaces the orders of city-days through the router and proves that every zone holds them all.')
    .option('--data <dir>', 'Directory of cities: <dir>/<city>/orders.csv and couriers.csv (default: a made-up day)')
    .option('--cities <names>', 'Only these cities, comma-separated')
    .option('--speed <n>', 'The day n times as fast as it was, or "max": as fast as it goes', { default: 'max' })
    .option(
      '--concurrency <n>',
      `Most requests in flight (default: ${CLOSED_LOOP_IN_FLIGHT}, with a speed ${OPEN_LOOP_IN_FLIGHT})`,
    )
    .option('--limit <n>', 'Only the first n orders, and at most n couriers')
    .option('--seed <n>', 'Another made-up day', { default: 1 })
    .option('--json <file>', 'Also write the report there, as JSON')
    .help();
  try {
    const { args, options } = cli.parse([...argv], { run: false });
    if (options['help'] === true) return { kind: 'help' };
    cli.globalCommand.checkUnknownOptions();
    cli.globalCommand.checkOptionValue();
    return checked(args, options, workingDirectory);
  } catch (error) {
    return { kind: 'faults', faults: [error instanceof Error ? error.message : String(error)] };
  }
}

function checked(
  args: readonly string[],
  given: Readonly<Record<string, unknown>>,
  workingDirectory: string,
): OptionsReading {
  const faults: string[] = args.length === 0 ? [] : [`unexpected ${args.join(' ')}: every input is an option (--help)`];
  const text = (name: string): string | undefined => {
    const value = given[name];
    if (value === undefined || typeof value === 'string') return value;
    if (typeof value === 'number') return String(value);
    faults.push(`--${name} may be given once`);
    return undefined;
  };
  const number = (name: string, least: number, most: number, isWhole = true): number | undefined => {
    const value = text(name);
    if (value === undefined) return undefined;
    const parsed = value.trim() === '' ? Number.NaN : Number(value);
    if (parsed >= least && parsed <= most && (!isWhole || Number.isInteger(parsed))) return parsed;
    faults.push(`--${name} ${value}: needs a ${isWhole ? 'whole ' : ''}number from ${least} to ${most}`);
    return undefined;
  };

  const citiesText = text('cities');
  const cities = citiesText?.split(',').map((city) => city.trim());
  if (cities?.includes('')) faults.push(`--cities ${citiesText ?? ''}: an empty name; write --cities a,b`);
  const data = text('data');
  const json = text('json');
  if (cities !== undefined && data === undefined) faults.push('--cities needs --data');
  const isMax = text('speed') === 'max';
  const speed = isMax ? undefined : number('speed', MIN_SPEED, MAX_SPEED, false);
  const options: ReplayOptions = {
    dataDirectory: data === undefined ? undefined : resolve(workingDirectory, data),
    cities: cities === undefined ? undefined : [...new Set(cities)],
    pace: speed === undefined ? { kind: 'max' } : { kind: 'scaled', speed },
    concurrency: number('concurrency', 1, MAX_IN_FLIGHT) ?? (isMax ? CLOSED_LOOP_IN_FLIGHT : OPEN_LOOP_IN_FLIGHT),
    limit: number('limit', 1, Number.MAX_SAFE_INTEGER),
    seed: number('seed', 0, MAX_SEED) ?? 1,
    jsonFile: json === undefined ? undefined : resolve(workingDirectory, json),
  };
  return faults.length > 0 ? { kind: 'faults', faults } : { kind: 'options', options };
}
