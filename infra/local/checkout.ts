import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The folder of the checkout, whether this file runs from the sources or, compiled, from `dist`. */
export const CHECKOUT = findCheckout(dirname(fileURLToPath(import.meta.url)));

/** Where the build puts our own processes. */
export const BUILD = join(CHECKOUT, 'dist');

/** Where `npm start` keeps its data; everything in it may be removed with `npm run reset`. */
export const STARTER_DIRECTORY = join(CHECKOUT, '.borough');

/** Downloaded server binaries: the only thing a reset leaves, because it is the same for every run. */
export const STARTER_CACHE = join(STARTER_DIRECTORY, 'cache');

/** A file of `infra/` that is not code (settings, SQL). The build copies these beside the compiled files. */
export function infraFile(path: string): string {
  return fileURLToPath(new URL(`../${path}`, import.meta.url));
}

function findCheckout(start: string): string {
  for (let folder = start; ; folder = dirname(folder)) {
    if (existsSync(join(folder, 'package-lock.json'))) return folder;
    if (folder === dirname(folder)) throw new Error(`no package-lock.json in any folder above ${start}`);
  }
}
