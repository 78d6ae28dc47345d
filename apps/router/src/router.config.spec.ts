import { ConfigError } from '@borough/server-kit';
import { expect, it } from 'vitest';
import { readRouterConfig } from './router.config.js';

const GOOD = {
  HTTP_PORT: '0',
  COORDINATOR_URLS: 'http://127.0.0.1:1/, http://127.0.0.1:2',
  NATS_URL: 'nats://user:password@127.0.0.1:4222',
  ZONE_URLS: 'a=http://127.0.0.1:3,b=http://127.0.0.1:4',
};

function faultsOf(environment: Record<string, string>): readonly string[] {
  try {
    readRouterConfig(environment);
  } catch (error) {
    if (error instanceof ConfigError) return error.faults;
    throw error;
  }
  return [];
}

it('a router needs only to be told where everything is', () => {
  const config = readRouterConfig(GOOD);

  expect(config.COORDINATOR_URLS).toEqual(['http://127.0.0.1:1', 'http://127.0.0.1:2']);
  expect([...config.ZONE_URLS.keys()]).toEqual(['a', 'b']);
  expect(config.MAX_BODY_BYTES).toBe(1_048_576);
});

it('a router names every fault of its environment at once, an empty list of zones among them', () => {
  const faults = faultsOf({ COORDINATOR_URLS: 'nowhere', ZONE_URLS: '', POLL_EVERY_MS: '1' });

  expect(faults.map((fault) => fault.split(' ', 1)[0])).toEqual([
    'HTTP_PORT',
    'COORDINATOR_URLS',
    'NATS_URL',
    'ZONE_URLS',
    'POLL_EVERY_MS',
  ]);
});

it.each(['', 'http://127.0.0.1:1,', 'nowhere'])('a router does not start with the coordinators "%s"', (urls) => {
  expect(faultsOf({ ...GOOD, COORDINATOR_URLS: urls })).toHaveLength(1);
});

it('a router that could hold no body it promises to hold does not start', () => {
  expect(faultsOf({ ...GOOD, HOLD_MAX_BYTES: '2048', HOLD_MAX_BODY_BYTES: '4096' })).toEqual([
    expect.stringContaining('HOLD_MAX_BODY_BYTES must not exceed HOLD_MAX_BYTES'),
  ]);
});

it.each(['shop.example', 'https://shop.example/', 'https://a.example,,', 'https://a.example/path'])(
  'a router does not start with the origins "%s"',
  (origins) => {
    expect(faultsOf({ ...GOOD, ALLOWED_ORIGINS: origins })).toHaveLength(1);
  },
);

it('a router has a name of its own when it is given none', () => {
  expect(readRouterConfig(GOOD).ROUTER_ID).not.toBe('');
});

it('a zone list that cannot be read is one fault, not two', () => {
  expect(faultsOf({ ...GOOD, ZONE_URLS: 'a' })).toHaveLength(1);
});
