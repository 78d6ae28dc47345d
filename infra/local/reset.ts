/** `npm run reset`: ends what a killed starter of this checkout left running, and removes its data. */
import { cac } from 'cac';
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import { STARTER_CACHE, STARTER_DIRECTORY } from './checkout.js';
import { faultText } from './console.js';
import { layoutOf } from './layout.js';
import { stopLeftovers } from './leftovers.js';
import { refuseLiveStarter } from './starter-claim.js';
import { StarterError } from './starter-error.js';

const cli = cac('npm run reset --');
cli
  .command('', 'Remove all data of the local cluster; the downloaded NATS and Redis stay')
  .option('--all', 'These too')
  .action(({ all }: { all?: boolean }) => reset(all === true));
cli.help();

try {
  cli.parse(process.argv, { run: false });
  await cli.runMatchedCommand();
} catch (error) {
  console.error(faultText(error));
  process.exitCode = 1;
}

async function reset(withCache: boolean): Promise<void> {
  if (!existsSync(STARTER_DIRECTORY)) {
    console.log('There is nothing to clear.');
    return;
  }
  const layouts = clusterDirectories().map(layoutOf);
  layouts.forEach(refuseLiveStarter);
  for (const layout of layouts) await stopLeftovers(layout, console.log);
  try {
    for (const name of readdirSync(STARTER_DIRECTORY)) {
      if (!withCache && name === basename(STARTER_CACHE)) continue;
      rmSync(join(STARTER_DIRECTORY, name), { recursive: true, force: true });
    }
  } catch (error) {
    throw new StarterError(
      `${STARTER_DIRECTORY} cannot be cleared by this user (${String(error)}).\nRun it as its owner.`,
    );
  }
  console.log(`Cleared ${STARTER_DIRECTORY}${withCache ? '' : ', except what was downloaded'}.`);
}

/** The starter's own directory, and those in which test runs keep their clusters: `.borough/tests/<run>`. */
function clusterDirectories(): string[] {
  const tests = join(STARTER_DIRECTORY, 'tests');
  const runs = existsSync(tests) ? readdirSync(tests).map((run) => join(tests, run)) : [];
  return [STARTER_DIRECTORY, ...runs];
}
