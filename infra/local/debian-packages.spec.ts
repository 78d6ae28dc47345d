import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { unpackedEnvironment } from './debian-packages.js';
import { howToInstall } from './server-binaries.js';

test('unpacked programs find the libraries unpacked beside them', () => {
  const folder = mkdtempSync(join(tmpdir(), 'borough unpacked '));
  try {
    mkdirSync(join(folder, 'usr/lib/x86_64-linux-gnu'), { recursive: true });
    mkdirSync(join(folder, 'usr/lib/redis'));
    expect(unpackedEnvironment(folder)['LD_LIBRARY_PATH']).toBe(`${folder}/usr/lib:${folder}/usr/lib/x86_64-linux-gnu`);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('where nothing can be fetched, each kind of system is told its one line', () => {
  const text = howToInstall(['nats-server']);
  expect(text).toMatch(/^NATS: no program found/);
  for (const part of ['brew install nats-server valkey', 'dnf install', 'pacman -S', 'NATS_URL=', 'REDIS_URLS=']) {
    expect(text).toContain(part);
  }
});
