/** The package as others get it: built, and used from outside of this repository. */
import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { builtinModules, createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { createContext, runInContext } from 'node:vm';
import { build, type Rollup } from 'vite';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { World, orderAt } from '../testing/world.js';
import { type createDeliveryClient } from './index.js';

const run = promisify(execFile);
const room = fileURLToPath(new URL('..', import.meta.url));
const repository = join(room, '..', '..');
const BUILD_MAX_MS = 180_000;

interface PackageJson {
  readonly dependencies: Readonly<Record<string, string>>;
  readonly exports: { readonly '.': { readonly types: string; readonly default: string } };
}

/** An empty project that has installed the package. */
let project: string;
let bundle: string;
let packageJson: PackageJson;

beforeAll(async () => {
  project = await mkdtemp(join(tmpdir(), 'borough-client-'));
  const installed = join(project, 'node_modules', '@borough', 'client');
  await mkdir(installed, { recursive: true });
  for (const file of ['package.json', 'README.md']) await cp(join(room, file), join(installed, file));
  packageJson = JSON.parse(await readFile(join(room, 'package.json'), 'utf8')) as PackageJson;
  for (const name of Object.keys(packageJson.dependencies)) {
    await symlink(join(repository, 'node_modules', name), join(project, 'node_modules', name));
  }
  await node(bin('vite'), 'build', '--config', 'vite.config.mjs', '--outDir', join(installed, 'dist'));
  await node(bin('typescript', 'tsc'), '-p', 'tsconfig.build.json', '--outDir', join(installed, 'dist', 'types'));
  await node('build/settle-types.mjs', join(installed, 'dist', 'types'));
  bundle = await readFile(join(installed, packageJson.exports['.'].default), 'utf8');
}, BUILD_MAX_MS);

afterAll(async () => {
  await rm(project, { recursive: true, force: true });
});

function node(...args: string[]) {
  return run(process.execPath, args, { cwd: room, timeout: BUILD_MAX_MS });
}

/** The file behind a command of a package. */
function bin(name: string, command = name): string {
  const require = createRequire(import.meta.url);
  const file = require.resolve(`${name}/package.json`);
  return join(dirname(file), (require(file) as { bin: Record<string, string> }).bin[command] ?? '');
}

/** As the bundler of an app makes it for a browser: one script that sets `app`. */
async function appScript(): Promise<string> {
  await writeFile(join(project, 'app.js'), `export { createDeliveryClient } from '@borough/client';\n`);
  const built = await build({
    configFile: false,
    root: project,
    logLevel: 'silent',
    build: {
      write: false,
      minify: false,
      lib: { entry: join(project, 'app.js'), formats: ['iife'], name: 'app' },
    },
  });
  const [output] = built as Rollup.RollupOutput[];
  return output?.output[0].code ?? '';
}

/** What only Node has. */
function expectNothingOfNode(code: string): void {
  const imported = [...code.matchAll(/(?:\bfrom|\bimport|\brequire\()\s*['"]([^'"]+)['"]/g)].map(
    ([, name]) => name ?? '',
  );
  expect(imported.filter((name) => name.startsWith('node:') || builtinModules.includes(name))).toEqual([]);
  expect(code.match(/\bprocess\s*(?:\.|\[|\?\.)/g) ?? []).toEqual([]);
  expect(code.match(/(?<![\w$.])Buffer\b/g) ?? []).toEqual([]);
  expect(code).not.toContain('__dirname');
}

describe('the bundle', () => {
  it('imports the dependencies that the package names, and nothing of Node', () => {
    const imported = new Set([...bundle.matchAll(/^import .* from ['"](.+)['"];$/gm)].map(([, name]) => name));
    expect([...imported].sort()).toEqual(Object.keys(packageJson.dependencies).sort());
    expectNothingOfNode(bundle);
  });

  it('asks for the same versions as the repository that tested it', async () => {
    const { dependencies } = JSON.parse(await readFile(join(repository, 'package.json'), 'utf8')) as PackageJson;
    expect(dependencies).toMatchObject(packageJson.dependencies);
  });

  it('leaves out the routes of ops', () => {
    expect(bundle).not.toContain('/ops/v1');
  });
});

describe('in an app', () => {
  let world: World;
  beforeEach(async () => {
    world = await World.start();
  });
  afterEach(async () => {
    await world.stop();
  });

  type App = { createDeliveryClient: typeof createDeliveryClient };

  /** Runs the script where only these globals are, and where no text may become code. */
  function appIn(globals: Readonly<Record<string, unknown>>, script: string): App {
    const context = createContext({ ...globals }, { codeGeneration: { strings: false, wasm: false } });
    return runInContext(`${script};app`, context) as App;
  }

  const WEB = { fetch, URL, AbortController, TextDecoder, TextEncoder, setTimeout, clearTimeout, crypto };

  it('of a browser it has all it needs, and listens', async () => {
    const script = await appScript();
    expectNothingOfNode(script);
    const client = appIn(WEB, script).createDeliveryClient({ routerUrls: [world.c.url] });
    await client.ready();
    expect(await client.orders.place(orderAt(1))).toMatchObject({ status: 'placed' });
    expect(world.called).toBe('a');
    await expect.poll(() => world.c.streams.size).toBe(1);
    world.cluster.say({ shard: 1, epoch: 2, state: 'serving', owner: 'b' });
    world.c.push(world.cluster.entries);
    await expect.poll(() => client.tableVersion).toBe(world.cluster.snapshot().tableVersion);
    await client.stores.open({ name: 'x', location: { latitude: 4.6, longitude: -74.1 } });
    expect(world.called).toBe('ab');
    await client.close();
    await expect.poll(() => world.c.streams.size).toBe(0);
  });

  it('of React Native it does with less: whole bodies, no UTF-16, no random values, bare signals', async () => {
    class BareDecoder {
      constructor(label = 'utf-8') {
        if (!/^utf-?8$/i.test(label)) throw new RangeError(`Unknown encoding: ${label}`);
      }
      decode = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
    }
    const wholeBodies: Parameters<typeof createDeliveryClient>[0]['fetch'] = async (url, init) => {
      const { ok, status, headers, ...answer } = await fetch(url, init).then(async (whole) => {
        const text = await whole.text();
        return { ok: whole.ok, status: whole.status, headers: whole.headers, text: () => Promise.resolve(text) };
      });
      return { ok, status, headers, text: answer.text };
    };
    const bare = {
      fetch: wholeBodies,
      URL,
      AbortController,
      TextDecoder: BareDecoder,
      TextEncoder,
      setTimeout,
      clearTimeout,
    };
    let made = 0;
    const client = appIn(bare, await appScript()).createDeliveryClient({
      routerUrls: [world.c.url],
      newKey: () => `key-${(made += 1)}`,
      pollMs: 50,
    });
    await client.ready();
    expect(await client.orders.place(orderAt(1))).toMatchObject({ status: 'placed' });
    expect(world.a.calls[0]?.headers['idempotency-key']).toBe('key-1');
    world.cluster.say({ shard: 1, epoch: 2, state: 'serving', owner: 'b' });
    await expect.poll(() => client.tableVersion, { timeout: 10_000 }).toBe(world.cluster.snapshot().tableVersion);
    expect(world.c.streams.size).toBe(0);
    await client.close();
  });

  it('of Node the example of the README runs, and ends by itself', async () => {
    const readme = await readFile(join(project, 'node_modules/@borough/client/README.md'), 'utf8');
    const [example = ''] = [...readme.matchAll(/```js\n([\s\S]*?)```/g)].map(([, code]) => code ?? '');
    expect(example).toContain('https://router.example');
    await writeFile(join(project, 'example.mjs'), example.replace('https://router.example', world.c.url));
    const { stdout, stderr } = await run(process.execPath, ['example.mjs'], { cwd: project, timeout: 20_000 });
    expect(stdout).toMatch(/^placed ord_\w{26}\naccepted\n$/);
    expect(stderr).toBe('');
    expect(world.cluster.effects.size).toBe(3);
  });

  it('of Node the one over restarts runs, too', async () => {
    const readme = await readFile(join(project, 'node_modules/@borough/client/README.md'), 'utf8');
    const [, example = ''] = [...readme.matchAll(/```js\n([\s\S]*?)```/g)].map(([, code]) => code ?? '');
    // An app ended before it heard of this order.
    const { storeId, ...order } = orderAt(1);
    const stored = { version: 1, operation: 'orders.place', idempotencyKey: 'k1', path: '/v1/orders', tag: storeId };
    const call = { ...stored, body: JSON.stringify({ storeId, ...order }), createdAtMs: Date.now() };
    const localStorage = `
      const texts = new Map([['borough/pending/k1', ${JSON.stringify(JSON.stringify(call))}]]);
      globalThis.localStorage = {
        get length() { return texts.size; },
        key: (index) => [...texts.keys()][index] ?? null,
        getItem: (key) => texts.get(key) ?? null,
        setItem: (key, value) => void texts.set(key, value),
        removeItem: (key) => void texts.delete(key),
      };`;
    await writeFile(join(project, 'local-storage.mjs'), localStorage);
    const code = example.replace('https://router.example', world.c.url);
    await writeFile(join(project, 'resume.mjs'), `import './local-storage.mjs';\n${code}\nawait client.close();`);
    const { stdout } = await run(process.execPath, ['resume.mjs'], { cwd: project, timeout: 20_000 });
    expect(stdout).toMatch(/^placed: ord_\w{26}\n$/);
    expect([...world.cluster.effects.keys()]).toEqual(['k1']);
  });

  it('of Node nothing keeps the process alive after close, whatever was under way', async () => {
    for (const router of world.routers) router.answer = () => undefined;
    await writeFile(
      join(project, 'closing.mjs'),
      `import { createDeliveryClient } from '@borough/client';
       const client = createDeliveryClient({ routerUrls: ['${world.c.url}'], deadlineMs: 3_600_000 });
       await client.ready();
       const call = client.orders.place(${JSON.stringify(orderAt(1))}).catch((error) => error);
       setTimeout(async () => {
         await client.close();
         console.log((await call).code);
       }, 300);`,
    );
    const { stdout } = await run(process.execPath, ['closing.mjs'], { cwd: project, timeout: 20_000 });
    expect(stdout).toBe('client-closed\n');
  });
});

describe('its types', () => {
  async function compile(source: string): Promise<string> {
    const compilerOptions = { noEmit: true, strict: true, exactOptionalPropertyTypes: true, skipLibCheck: false };
    const platform = { target: 'es2022', module: 'nodenext', lib: ['es2023', 'dom'], types: [] };
    const tsconfig = { compilerOptions: { ...compilerOptions, ...platform }, files: ['consumer.ts'] };
    await writeFile(join(project, 'package.json'), '{"type":"module"}');
    await writeFile(join(project, 'tsconfig.json'), JSON.stringify(tsconfig));
    await writeFile(join(project, 'consumer.ts'), source);
    return run(process.execPath, [bin('typescript', 'tsc'), '-p', project], { timeout: BUILD_MAX_MS }).then(
      () => '',
      (error: unknown) => (error as { stdout: string }).stdout,
    );
  }

  const CONSUMER = `
    import { createDeliveryClient, fromWebStorage, type OrderView, DeliveryProblem } from '@borough/client';
    const client = createDeliveryClient({ routerUrls: ['https://r.example'], storage: fromWebStorage(localStorage) });
    export async function place(signal: AbortSignal): Promise<OrderView> {
      const item = { name: 'Ajiaco', quantity: 1 };
      const dropOff = { latitude: 4.6, longitude: -74.1 };
      // @ts-expect-error: an order has a store
      await client.orders.place({ customerId: 'c', items: [item], dropOff });
      return client.orders.place({ storeId: 's', customerId: 'c', items: [item], dropOff }, { signal });
    }
    export async function resume(): Promise<string[]> {
      const resumed = await client.resumePending();
      return resumed.map((one) => {
        if (one.kind !== 'done') return one.kind;
        return one.operation === 'orders.place' ? one.answer.storeId : one.operation;
      });
    }
    export const status = (order: OrderView): 'placed' | 'other' => (order.status === 'placed' ? 'placed' : 'other');
    // @ts-expect-error: a status is no number, so it is not any either
    export const wrong = (order: OrderView): number => order.status;
    export const isOurs = (error: unknown) => error instanceof DeliveryProblem && error.isOutcomeUnknown;
  `;

  it('stand on their own in a browser app, with every library checked', { timeout: BUILD_MAX_MS }, async () => {
    expect(await compile(CONSUMER)).toBe('');
  });
});
