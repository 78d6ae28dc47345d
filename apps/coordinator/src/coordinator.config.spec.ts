import { ConfigError } from '@borough/server-kit';
import { expect, it } from 'vitest';
import { readCoordinatorConfig } from './coordinator.config.js';

const GOOD = {
  COORDINATOR_ID: 'c1',
  HTTP_PORT: '0',
  NATS_URL: 'nats://127.0.0.1:4222',
  VOTER_DATABASE_URLS: 'a=postgres://h:1/db,b=postgres://h:2/db',
};

function faultsOf(environment: Record<string, string>): readonly string[] {
  try {
    readCoordinatorConfig(environment);
  } catch (error) {
    if (error instanceof ConfigError) return error.faults;
    throw error;
  }
  return [];
}

it('a coordinator starts with two voters or more', () => {
  expect([...readCoordinatorConfig(GOOD).VOTER_DATABASE_URLS.keys()]).toEqual(['a', 'b']);
});

it.each(['', 'a=postgres://h:1/db'])('a coordinator does not start with the voters "%s"', (urls) => {
  expect(faultsOf({ ...GOOD, VOTER_DATABASE_URLS: urls })).toEqual([expect.stringContaining('at least two zones')]);
});

it('a coordinator names every fault of its environment at once, too few voters among them', () => {
  const faults = faultsOf({ COORDINATOR_ID: 'C 1', VOTER_DATABASE_URLS: 'a=postgres://h:1/db' });

  expect(faults.map((fault) => fault.split(' ', 1)[0])).toEqual([
    'COORDINATOR_ID',
    'HTTP_PORT',
    'NATS_URL',
    'VOTER_DATABASE_URLS',
  ]);
});
