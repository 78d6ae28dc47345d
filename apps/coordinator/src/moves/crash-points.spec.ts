import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { transformFileSync } from '@swc/core';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { HANDOVER_STEPS, crashesFrom } from './crash-points.js';

let folder: string;
let file: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'borough-crash-'));
  file = join(folder, 'point');
  // A process of its own runs what is tested here, and Node reads no TypeScript.
  const source = fileURLToPath(new URL('crash-points.ts', import.meta.url));
  const { code } = transformFileSync(source, { module: { type: 'es6' }, jsc: { parser: { syntax: 'typescript' } } });
  writeFileSync(join(folder, 'crash-points.mjs'), code);
  writeFileSync(
    join(folder, 'move.mjs'),
    `import { HANDOVER_STEPS, crashesFrom } from './crash-points.mjs';
     const crashes = crashesFrom(process.argv[2]);
     for (const point of HANDOVER_STEPS) {
       process.stdout.write(point + ' ');
       crashes.at(point);
     }
     process.stdout.write('ended');`,
  );
});

beforeEach(() => {
  rmSync(file, { force: true });
});

afterAll(() => {
  rmSync(folder, { recursive: true });
});

interface Death {
  readonly signal: string | null;
  readonly reached: string[];
}

/** A process that passes every step of a move. */
function runMove(...crashFile: string[]): Promise<Death> {
  return new Promise((resolve) => {
    const child = execFile(
      process.execPath,
      [join(folder, 'move.mjs'), ...crashFile],
      { timeout: 20_000 },
      (_error, stdout) => {
        resolve({ signal: child.signalCode, reached: stdout.trim().split(' ') });
      },
    );
  });
}

describe('a coordinator with a crash point', () => {
  it.each(HANDOVER_STEPS)('dies at %s as by a power cut, and the next one does not', async (point) => {
    writeFileSync(file, `${point}\n`);
    const dead = await runMove(file);
    const reached = HANDOVER_STEPS.slice(0, HANDOVER_STEPS.indexOf(point) + 1);
    expect(dead).toEqual({ signal: 'SIGKILL', reached });
    expect(existsSync(file)).toBe(false);
  });

  it('lives when nothing, or something else, stands in the file, or there is no file', async () => {
    const alive = { signal: null, reached: [...HANDOVER_STEPS, 'ended'] };
    expect(await runMove(file)).toEqual(alive);
    for (const text of ['', 'fence', 'intended at-one', 'fenced accepted']) {
      writeFileSync(file, text);
      expect(await runMove(file), text).toEqual(alive);
      expect(readFileSync(file, 'utf8')).toBe(text);
    }
  });

  it('lives without the variable', async () => {
    expect(await runMove()).toEqual({ signal: null, reached: [...HANDOVER_STEPS, 'ended'] });
  });
});

describe('whether a point is aimed at', () => {
  it('is read from the file each time, which stays', () => {
    const crashes = crashesFrom(file);
    expect(crashes.isAimedAt('fenced')).toBe(false);
    writeFileSync(file, ' fenced \n');
    expect([crashes.isAimedAt('fenced'), crashes.isAimedAt('served')]).toEqual([true, false]);
    writeFileSync(file, 'served');
    expect([crashes.isAimedAt('fenced'), crashes.isAimedAt('served')]).toEqual([false, true]);
    expect(existsSync(file)).toBe(true);
  });

  it('is never so without a file', () => {
    for (const point of HANDOVER_STEPS) expect(crashesFrom(undefined).isAimedAt(point)).toBe(false);
  });
});
