#!/usr/bin/env node
// `npx borough …` in the checkout: builds what has changed, without a word, then runs the command line.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import process from 'node:process';
import { fileURLToPath, pathToFileURL } from 'node:url';

const checkout = join(dirname(fileURLToPath(import.meta.url)), '../../..');
const main = join(checkout, 'dist/apps/ops-cli/src/main.js');
const EXIT_FAULT = 70;

// No way through npm: a person in a hurry waits for a `find`, and for nothing else.
const build = spawnSync('sh', ['infra/local/build-if-changed.sh'], { cwd: checkout, encoding: 'utf8' });
if (build.status !== 0) {
  const why = (build.error?.message ?? `${build.stdout}${build.stderr}`).trim();
  const isUsable = existsSync(main);
  console.error(`borough: the build failed${isUsable ? '; going on with the last one' : ''}: ${why}`);
  if (!isUsable) process.exit(EXIT_FAULT);
}
await import(pathToFileURL(main).href);
