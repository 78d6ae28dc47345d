import { StarterError } from './starter-error.js';
import { tcpAnswer } from './tcp-answer.js';

/** NATS and Redis that somebody else runs, where the environment names them (`NATS_URL`, `REDIS_URLS`). They are used and never stopped. */
export interface ExternalServers {
  natsUrl: string | undefined;
  redisUrls: string[] | undefined;
}

/** What the environment names. @throws StarterError when a server it names does not answer */
export async function externalServers(zones: number): Promise<ExternalServers> {
  const natsUrl = process.env['NATS_URL']?.trim() || undefined;
  const redisUrls = redisUrlsFromEnvironment(zones);
  if (natsUrl !== undefined) await refuseSilentNats(natsUrl);
  if (redisUrls !== undefined) await refuseSilentRedis(redisUrls);
  return { natsUrl, redisUrls };
}

/**
 * `REDIS_URLS` as one URL per zone, or undefined when it is not set.
 *
 * @throws StarterError when it holds neither one URL for all zones nor one for each
 */
export function redisUrlsFromEnvironment(
  zones: number,
  environment: NodeJS.ProcessEnv = process.env,
): string[] | undefined {
  const urls = (environment['REDIS_URLS'] ?? '').split(',').flatMap((url) => (url.trim() === '' ? [] : [url.trim()]));
  const [only] = urls;
  if (only === undefined) return undefined;
  if (urls.length === 1) return Array<string>(zones).fill(only);
  if (urls.length === zones) return urls;
  throw new StarterError(
    `REDIS_URLS must hold one URL for all zones or ${zones}, one for each; it holds ${urls.length}.`,
  );
}

/** @throws StarterError when no Redis answers at a URL given from outside. Whether the password is right, its users will tell */
async function refuseSilentRedis(urls: readonly string[]): Promise<void> {
  for (const url of new Set(urls)) {
    const address = URL.canParse(url) ? new URL(url) : undefined;
    // Redis answers +PONG, or -NOAUTH when it wants a password first.
    const answer =
      address && (await tcpAnswer(address.hostname, Number(address.port || 6379), 'PING\r\n').catch(() => ''));
    if (answer === undefined || !/^[+-]/.test(answer)) {
      throw new StarterError(`No Redis answers at ${withoutPassword(url)}, from REDIS_URLS.`);
    }
  }
}

/** @throws StarterError when no NATS answers at a URL given from outside */
async function refuseSilentNats(url: string): Promise<void> {
  const address = URL.canParse(url) ? new URL(url) : undefined;
  const answer = address && (await tcpAnswer(address.hostname, Number(address.port || 4222)).catch(() => ''));
  if (answer?.startsWith('INFO ') !== true) {
    throw new StarterError(`No NATS answers at NATS_URL, ${withoutPassword(url)}.`);
  }
}

/** A URL as it may be shown. */
function withoutPassword(url: string): string {
  return url.replace(/\/\/[^@/]*@/, '//…@');
}
