import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { findCoordinators } from './find-coordinators.js';

let folder: string;
let clusterFile: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'borough-cli-'));
  clusterFile = join(folder, 'cluster.json');
});

afterEach(() => {
  rmSync(folder, { recursive: true });
});

function leaveCluster(more: Record<string, unknown> = {}): void {
  const cluster = {
    starterPid: process.pid,
    coordinatorUrl: 'http://127.0.0.1:14001',
    routerUrl: 'x',
    zones: [],
    ...more,
  };
  writeFileSync(clusterFile, JSON.stringify(cluster));
}

const ENV = { BOROUGH_COORDINATOR_URLS: 'http://env:1, http://env:2,' };

it('the option wins over the environment, and that over the cluster of the checkout', () => {
  leaveCluster();
  expect(findCoordinators('https://ops/a,http://ops/b', ENV, clusterFile)).toEqual(['https://ops/a', 'http://ops/b']);
  expect(findCoordinators(undefined, ENV, clusterFile)).toEqual(['http://env:1', 'http://env:2']);
  expect(findCoordinators(undefined, {}, clusterFile)).toEqual(['http://127.0.0.1:14001']);
});

it('all coordinators of the local cluster are used where it names them', () => {
  const coordinatorUrls = ['http://127.0.0.1:14001', 'http://127.0.0.1:14003'];
  leaveCluster({ coordinatorUrls });
  expect(findCoordinators(undefined, {}, clusterFile)).toEqual(coordinatorUrls);
});

it('an empty variable is none', () => {
  leaveCluster();
  expect(findCoordinators(undefined, { BOROUGH_COORDINATOR_URLS: '' }, clusterFile)).toHaveLength(1);
});

it('the file of a cluster whose starter is dead is not believed', () => {
  const { pid } = spawnSync('true');
  leaveCluster({ starterPid: pid });
  expect(() => findCoordinators(undefined, {}, clusterFile)).toThrow(expect.objectContaining({ exitCode: 3 }) as Error);
});

it('without any, what to do is said', () => {
  writeFileSync(clusterFile, '{ half a fi');
  for (const file of [clusterFile, join(folder, 'missing.json')]) {
    expect(() => findCoordinators(undefined, {}, file)).toThrow(
      expect.objectContaining({
        code: 'no-coordinator-known',
        next: expect.arrayContaining([expect.stringContaining('npm start')]) as string[],
      }) as Error,
    );
  }
});

it.each(['localhost:14001', 'ftp://x', 'http://', '', ' , '])('%j is no list of URLs', (text) => {
  expect(() => findCoordinators(text, {}, clusterFile)).toThrow(expect.objectContaining({ exitCode: 2 }) as Error);
});
