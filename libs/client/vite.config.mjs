// Builds the package: `npm run build` in this folder. topology and contracts go into it, since they are not published.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const { dependencies } = JSON.parse(readFileSync(here('./package.json'), 'utf8'));

/**
 * h3-js goes into the package in its browser form, without the one line that keeps it from React Native: it makes a
 * decoder of UTF-16 when it is loaded, which Hermes has not, and which nothing in it uses.
 */
const h3WithoutUtf16 = {
  name: 'h3-without-utf-16',
  transform(code, id) {
    if (!id.includes('/h3-js/')) return undefined;
    const line = /typeof TextDecoder !== ['"]undefined['"] \? new TextDecoder\(['"]utf-16le['"]\) : undefined/g;
    const changed = code.replace(line, 'undefined');
    if (changed === code || changed.includes('utf-16le')) throw new Error(`${id} has changed: look at it again`);
    return changed;
  },
};

export default {
  root: here('.'),
  logLevel: 'warn',
  plugins: [h3WithoutUtf16],
  resolve: {
    alias: {
      '@borough/topology': here('../topology/src/index.ts'),
      '@borough/contracts': here('../contracts/src/index.ts'),
      'h3-js': here('../../node_modules/h3-js/dist/browser/h3-js.es.js'),
    },
  },
  build: {
    target: 'es2022',
    minify: false,
    sourcemap: false,
    emptyOutDir: true,
    outDir: 'dist',
    lib: { entry: here('./src/index.ts'), formats: ['es'], fileName: 'index' },
    rollupOptions: {
      external: Object.keys(dependencies),
      // The schemas of routes that the SDK does not call are left out.
      treeshake: { moduleSideEffects: (id) => !id.includes('/libs/') },
    },
  },
};
