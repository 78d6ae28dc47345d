import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { layoutOf, type Layout } from './layout.js';
import { claimDirectory, liveStarter } from './starter-claim.js';

let layout: Layout;

beforeEach(() => {
  layout = layoutOf(mkdtempSync(join(tmpdir(), 'borough claim ')));
});

afterEach(() => {
  rmSync(layout.directory, { recursive: true });
});

test('a directory has one owner, until that gives it up', () => {
  const giveUp = claimDirectory(layout, 'http://127.0.0.1:14000');
  expect(() => claimDirectory(layout, 'http://127.0.0.1:15000')).toThrow(
    new RegExp(`starter is process ${process.pid}, its router http://127.0.0.1:14000`),
  );
  giveUp();
  expect(existsSync(layout.starterFile)).toBe(false);
  claimDirectory(layout, 'http://127.0.0.1:15000')();
});

test.each([
  ['of a dead starter, whose pid is somebody else by now', { pid: process.pid, birth: 'long ago', routerUrl: '' }],
  ['that a kill left half-written', 'no JSON'],
])('a claim %s is taken over', (_, content) => {
  writeFileSync(layout.starterFile, JSON.stringify(content).slice(0, -1) + (typeof content === 'string' ? '' : '}'));
  expect(liveStarter(layout)).toBeUndefined();
  const giveUp = claimDirectory(layout, '');
  expect(liveStarter(layout)?.pid).toBe(process.pid);
  giveUp();
});
