import { expect, test, vi } from 'vitest';
import { externalServers, redisUrlsFromEnvironment } from './external-servers.js';

test('one Redis serves all zones, or each has its own', () => {
  expect(redisUrlsFromEnvironment(3, {})).toBeUndefined();
  expect(redisUrlsFromEnvironment(3, { REDIS_URLS: ' , ' })).toBeUndefined();
  expect(redisUrlsFromEnvironment(3, { REDIS_URLS: 'redis://x' })).toEqual(['redis://x', 'redis://x', 'redis://x']);
  expect(redisUrlsFromEnvironment(2, { REDIS_URLS: 'redis://x, redis://y' })).toEqual(['redis://x', 'redis://y']);
  expect(() => redisUrlsFromEnvironment(3, { REDIS_URLS: 'redis://x,redis://y' })).toThrow(
    /3, one for each; it holds 2/,
  );
});

test('a NATS that does not answer is refused, without showing its password', async () => {
  vi.stubEnv('REDIS_URLS', '');
  vi.stubEnv('NATS_URL', 'nats://borough:secret@127.0.0.1:9');
  try {
    await expect(externalServers(3)).rejects.toThrow('No NATS answers at NATS_URL, nats://…@127.0.0.1:9.');
  } finally {
    vi.unstubAllEnvs();
  }
});
