import { namedUrlsSetting, portSetting, readEnvironment } from '@borough/server-kit';
import { hostname } from 'node:os';
import { z } from 'zod';

const urlList = z
  .string()
  .transform((text) => text.split(',').map((url) => url.trim().replace(/\/$/, '')))
  .refine((urls) => urls.every((url) => URL.canParse(url)), 'must be a comma-separated list of URLs');

const originList = z
  .string()
  .transform((text) => text.split(',').map((origin) => origin.trim()))
  .refine(
    (origins) =>
      origins.every((origin) => origin === '*' || (URL.canParse(origin) && new URL(origin).origin === origin)),
    'must be a comma-separated list of origins like https://app.example',
  );

const ms = z.coerce.number().int();
const count = z.coerce.number().int().min(1);
const bytes = z.coerce.number().int().min(1_024);

const settings = z.object({
  HTTP_HOST: z.string().default('127.0.0.1').describe('address to listen on'),
  HTTP_PORT: portSetting.describe('port to listen on'),
  COORDINATOR_URLS: urlList.describe('coordinators to fetch snapshots from, comma separated'),
  NATS_URL: z.url().describe('where notices come from, like nats://user:password@host:4222'),
  ZONE_URLS: namedUrlsSetting
    .refine((urls) => urls.size > 0, 'must name at least one zone')
    .describe("every zone's API, like a=http://…,b=http://…"),
  ROUTER_ID: z
    .string()
    .min(1)
    .default(() => hostname().split('.', 1)[0] ?? 'router')
    .describe('name of this router in reports, for people; each start adds something of its own'),
  POLL_EVERY_MS: ms.min(100).default(5_000).describe('how often the snapshot is asked for besides notices, in ms'),
  POLL_WITHOUT_NOTICES_MS: ms
    .min(50)
    .default(500)
    .describe('the same while NATS is away, or while the table is behind what was announced, in ms'),
  MAX_BODY_BYTES: bytes.default(1_048_576).describe('largest request body, in bytes'),
  ZONE_CONNECTIONS: count.default(64).describe('connections kept to each zone'),
  MAX_FORWARDED: count
    .default(4_096)
    .describe('requests on their way to one zone at once; more are refused as overloaded'),
  ZONE_DEADLINE_MS: ms
    .min(100)
    .default(10_000)
    .describe("longest wait for a zone's answer, in ms; must exceed the zones' own deadline"),
  ZONE_SILENT_AFTER_MS: ms
    .min(10)
    .default(150)
    .describe(
      'a read that waits longer for one zone is asked of another one too, in ms; a zone that answers nothing for so long is avoided',
    ),
  HOLD_MAX_MS: ms
    .min(1)
    .default(5_000)
    .describe('longest time a request waits here for a move to end or a zone to be back, in ms, over all its waits'),
  HOLD_MAX_REQUESTS: count.default(10_000).describe('requests that wait at once; a busy shard gets three quarters'),
  HOLD_MAX_BYTES: bytes.default(67_108_864).describe('bytes of bodies of requests that wait, together'),
  HOLD_MAX_BODY_BYTES: bytes
    .default(262_144)
    .describe('largest body kept for a wait or another try, in bytes; a larger one is refused meanwhile'),
  HOLD_RELEASE_PER_SECOND: count.default(5_000).describe('requests let go per second after a wait'),
  HOLD_MAX_UNANSWERED: count
    .default(256)
    .describe('requests let go after a wait that one zone has not answered yet; the next ones wait for an answer'),
  FEED_MAX_CLIENTS: count.default(10_000).describe('clients that listen to routing changes at once'),
  FEED_MAX_BUFFERED_BYTES: bytes
    .min(65_536)
    .default(1_048_576)
    .describe('bytes of routing changes a client may have left unread before it is dropped'),
  FEED_HEARTBEAT_MS: ms.min(10).default(15_000).describe('how often listeners are sent a comment, in ms'),
  ROUTER_URLS: namedUrlsSetting
    .optional()
    .describe("the public address of each zone's router, told to clients, like a=https://…,b=https://…"),
  ALLOWED_ORIGINS: originList
    .optional()
    .describe('web origins whose pages may call this router, comma separated; * for any, then without cookies'),
  LOG_LEVEL: z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']).default('info'),
});

const schema = settings.refine((config) => config.HOLD_MAX_BODY_BYTES <= config.HOLD_MAX_BYTES, {
  path: ['HOLD_MAX_BODY_BYTES'],
  message: 'must not exceed HOLD_MAX_BYTES',
});

export type RouterConfig = Readonly<z.infer<typeof schema>>;

/** @throws ConfigError naming every missing or wrong variable */
export function readRouterConfig(
  environment: Readonly<Record<string, string | undefined>> = process.env,
): RouterConfig {
  return readEnvironment(schema, environment);
}
