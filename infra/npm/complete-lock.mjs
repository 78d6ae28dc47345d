// Adds to package-lock.json the optional platform packages that the registry at hand does not have.
//
// npm leaves an optional package out of the lock when the registry answers 404 for it, as a partial mirror does for other
// platforms' binaries; `npm ci` then refuses the lock everywhere ("Missing: @swc/core-darwin-arm64@ from lock file").
// The versions are exact in the packages that want them, so the entries can be written without asking anybody. They carry
// no integrity: the machine that installs them gets it from its registry.
//
//   node infra/npm/complete-lock.mjs      after every change of dependencies
import { readFileSync, writeFileSync } from 'node:fs';

const LOCK = new URL('../../package-lock.json', import.meta.url);
const SYSTEMS = ['android', 'darwin', 'freebsd', 'linux', 'netbsd', 'openbsd', 'openharmony', 'sunos', 'aix', 'win32'];
const PROCESSORS = ['arm64', 'x64', 'ia32', 'arm', 'ppc64', 's390x', 'riscv64', 'loong64'];

const lock = JSON.parse(readFileSync(LOCK, 'utf8'));
const added = [];
for (const [path, wanting] of Object.entries({ ...lock.packages })) {
  if (path === '') continue;
  for (const [name, version] of Object.entries(wanting.optionalDependencies ?? {})) {
    const words = name.split(/[/-]/);
    const os = SYSTEMS.find((system) => words.includes(system));
    const cpu = PROCESSORS.find((processor) => words.includes(processor));
    // A range, or no platform in the name: not one of those.
    if (isLocked(path, name) || !/^\d/.test(version) || os === undefined || cpu === undefined) continue;
    const libc = words.some((word) => word.startsWith('musl'))
      ? ['musl']
      : words.includes('gnu') && os === 'linux'
        ? ['glibc']
        : undefined;
    lock.packages[`node_modules/${name}`] = {
      version,
      cpu: [cpu],
      ...(wanting.dev === true ? { dev: true } : {}),
      ...(libc === undefined ? {} : { libc }),
      optional: true,
      os: [os],
    };
    added.push(`${name}@${version}`);
  }
}
lock.packages = Object.fromEntries(Object.entries(lock.packages).sort(([a], [b]) => (a < b ? -1 : 1)));
writeFileSync(LOCK, `${JSON.stringify(lock, null, 2)}\n`);
console.log(added.length === 0 ? 'The lock is complete.' : `Added ${added.length}:\n  ${added.join('\n  ')}`);

/** Node's own look-up: beside the package that wants it, or in any folder above. */
function isLocked(from, name) {
  for (let folder = from; ; folder = folder.slice(0, Math.max(0, folder.lastIndexOf('/node_modules/')))) {
    if (lock.packages[`${folder === '' ? '' : `${folder}/`}node_modules/${name}`] !== undefined) return true;
    if (folder === '') return false;
  }
}
