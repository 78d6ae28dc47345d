// Makes the emitted declarations stand on their own: `@borough/topology` and `@borough/contracts` are no packages, so
// what imports them by these names imports the files beside it.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import process from 'node:process';
import { dirname, join, relative, sep } from 'node:path';

const root = process.argv[2] ?? 'dist/types';
const LIBRARY = /(['"])@borough\/(topology|contracts)\1/g;

for (const name of readdirSync(root, { recursive: true })) {
  if (!name.endsWith('.d.ts')) continue;
  const file = join(root, name);
  const text = readFileSync(file, 'utf8');
  const settled = text.replace(LIBRARY, (_, quote, library) => {
    const path = relative(dirname(file), join(root, library, 'src', 'index.js'))
      .split(sep)
      .join('/');
    return `${quote}${path.startsWith('.') ? path : `./${path}`}${quote}`;
  });
  if (settled !== text) writeFileSync(file, settled);
}
