import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { layoutOf, type Layout } from './layout.js';
import { readOrMakeSecrets } from './secrets.js';

let layout: Layout;

beforeEach(() => {
  layout = layoutOf(mkdtempSync(join(tmpdir(), 'borough-secrets-')));
});

afterEach(() => {
  rmSync(layout.directory, { recursive: true });
});

test('passwords are made once, all different, and readable by their owner alone', () => {
  const secrets = readOrMakeSecrets(layout, false);
  expect(new Set(Object.values(secrets)).size).toBe(8);
  expect(statSync(layout.secretsFile).mode & 0o777).toBe(0o600);
  expect(readOrMakeSecrets(layout, true)).toEqual(secrets);
});

test('when databases are there and their passwords are not, no new ones are made', () => {
  expect(() => readOrMakeSecrets(layout, true)).toThrow(/npm run reset/);
  writeFileSync(layout.secretsFile, '{}');
  expect(() => readOrMakeSecrets(layout, false)).toThrow(/missing or damaged/);
});
