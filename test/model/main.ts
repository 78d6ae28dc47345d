/**
 * Looks through the model by hand, for as long as wanted: `npm run model -- --help`.
 *
 * Exit status: 0 nothing found; 1 a violation, told as a story; 2 wrong options.
 */
import { Command, InvalidArgumentError, Option } from 'commander';
import { exploreAll, walkAtRandom } from './checker/explore.js';
import { type Finding, type Model } from './checker/model.js';
import { RULES, without, isRule, type Rule } from './protocol/rules.js';
import { modelOf, SCENARIOS, isScenario, type ScenarioName } from './protocol/scenarios.js';
import { type World } from './protocol/world.js';
import { seededRandom } from './checker/seeded-random.js';

interface Options {
  readonly minutes: number;
  readonly seed: number;
  readonly scenario?: ScenarioName;
  readonly without: readonly Rule[];
  readonly depth: number;
  readonly states: number;
  readonly walk: boolean;
}

const say = (line = ''): void => void process.stdout.write(`${line}\n`);

const program = new Command('npm run model --')
  .description(
    'Looks for a way to break what Borough promises, in a model of its zones, coordinators and in-sync sets.',
  )
  .option('--minutes <n>', 'how long to look, all scenarios together', positive, 2)
  .option('--seed <n>', 'of the random walks', whole, 1)
  .addOption(new Option('--scenario <name>', 'only this one').argParser(scenario))
  .option('--without <rules>', 'leaves rules out, separated by commas', rules, [])
  .option('--depth <n>', 'longest path, in steps', whole, 1_000)
  .option('--states <n>', 'most states kept of one scenario', whole, 20_000_000)
  .option('--walk', 'random walks in every scenario, not only in the one that is too large', false)
  .addHelpText(
    'after',
    () => `\nScenarios:\n${list(SCENARIOS, ({ about }) => about)}\n\nRules:\n${list(RULES, (about) => about)}`,
  );

process.exitCode = main(program.parse().opts<Options>());

function main(options: Options): number {
  const names = options.scenario === undefined ? Object.keys(SCENARIOS).filter(isScenario) : [options.scenario];
  const startedMs = performance.now();
  const wholeMs = options.minutes * 60_000;
  let isBroken = false;
  for (const [at, name] of names.entries()) {
    const leftMs = wholeMs - (performance.now() - startedMs);
    const untilMs = performance.now() + leftMs / (names.length - at);
    const model = modelOf(SCENARIOS[name], without(...options.without));
    say(`${name}: ${SCENARIOS[name].about}`);
    isBroken = report(() => look(name, model, options, untilMs)) || isBroken;
  }
  return isBroken ? 1 : 0;
}

function look(
  name: ScenarioName,
  model: Model<World>,
  { depth, states, seed, walk }: Options,
  untilMs: number,
): Finding {
  if (walk || name === 'everything') {
    say(`  random walks, seed ${seed}`);
    const walks = { walks: Number.MAX_SAFE_INTEGER, depth: Math.min(depth, 150), untilMs, homeEvery: 1 };
    return walkAtRandom(model, walks, seededRandom(seed));
  }
  return exploreAll(model, { states, depth, untilMs, homeEvery: 1 });
}

/** @returns whether a violation was found */
function report(search: () => Finding): boolean {
  const startedMs = performance.now();
  const { states, steps, depth, isExhausted, ledHome, violation } = search();
  const seconds = (performance.now() - startedMs) / 1_000;
  const perSecond = Math.round(states / seconds).toLocaleString('en');
  say(
    `  ${states.toLocaleString('en')} states, ${steps.toLocaleString('en')} steps, depth ${depth}, ${seconds.toFixed(1)} s, ${perSecond} states/s`,
  );
  if (violation === undefined) {
    say(
      `  ${isExhausted ? 'nothing left to look at' : 'stopped at a bound'}; from ${ledHome.toLocaleString('en')} states a way home was looked for and found`,
    );
    say();
    return false;
  }
  say(`\n  VIOLATION: ${violation.breach}\n`);
  violation.story.forEach((sentence, step) => {
    say(`  ${String(step + 1).padStart(3)}. ${sentence}`);
  });
  say(`\n  ${violation.end}\n`);
  return true;
}

function list<Item>(items: Readonly<Record<string, Item>>, about: (item: Item) => string): string {
  return Object.entries(items)
    .map(([name, item]) => `  ${name.padEnd(26)} ${about(item)}`)
    .join('\n');
}

function positive(text: string): number {
  const value = Number(text);
  if (!(value > 0)) throw new InvalidArgumentError('a number above 0 is wanted');
  return value;
}

function whole(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 0) throw new InvalidArgumentError('a whole number is wanted');
  return value;
}

function scenario(name: string): ScenarioName {
  if (!isScenario(name)) throw new InvalidArgumentError(`there are ${Object.keys(SCENARIOS).join(', ')}`);
  return name;
}

function rules(names: string): Rule[] {
  return names.split(',').map((name) => {
    if (!isRule(name)) throw new InvalidArgumentError(`there is no rule ${name}: see --help`);
    return name;
  });
}
