import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { infraFile } from './checkout.js';
import { type Layout } from './layout.js';
import { type Secrets } from './secrets.js';
import { type ServerBinary } from './server-binaries.js';
import { type ServiceDefinition } from './service.js';
import { tcpAnswer } from './tcp-answer.js';

export function redisUrl(port: number, secrets: Secrets): string {
  return `redis://:${secrets.redis}@127.0.0.1:${port}`;
}

/** One zone's Redis. Its settings file is the shared one and, below it, what only this one has: the password among it. */
export function redisService(
  zone: string,
  port: number,
  layout: Layout,
  binary: ServerBinary,
  secrets: Secrets,
): ServiceDefinition {
  const name = `redis-${zone}`;
  const folder = layout.serviceFolder(name);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const settings = join(folder, 'redis.conf');
  const own = [`bind 127.0.0.1`, `port ${port}`, `dir "${escaped(folder)}"`, `requirepass ${secrets.redis}`];
  writeFileSync(settings, `${readFileSync(infraFile('redis/redis.conf'), 'utf8')}\n${own.join('\n')}\n`, {
    mode: 0o600,
  });
  return {
    name,
    command: { file: binary.path, args: [settings], environment: binary.environment },
    marker: `127.0.0.1:${port}`, // Redis shows this in its command line instead of the arguments it was given
    isReady: async () => (await tcpAnswer('127.0.0.1', port, `AUTH ${secrets.redis}\r\n`)).startsWith('+OK'),
    readyWithinMs: 10_000,
    askEveryMs: 25,
    stopSteps: [{ signal: 'SIGTERM', waitMs: 5000 }],
    output: 'opaque',
  };
}

/** For a quoted string in Redis's settings, where a path may hold blanks. */
function escaped(text: string): string {
  return text.replaceAll('\\', '\\\\').replaceAll('"', '\\"');
}
