import { namedUrlsSetting, portSetting, readEnvironment } from '@borough/server-kit';
import { z } from 'zod';

const urlList = z
  .string()
  .transform((text) => text.split(',').map((url) => url.trim().replace(/\/$/, '')))
  .refine((urls) => urls.every((url) => URL.canParse(url)), 'must be a comma-separated list of URLs');

const schema = z.object({
  HTTP_HOST: z.string().default('127.0.0.1').describe('address to listen on'),
  HTTP_PORT: portSetting.describe('port to listen on'),
  COORDINATOR_URLS: urlList.describe('coordinators to fetch snapshots from, comma separated'),
  NATS_URL: z.url().describe('where notices come from, like nats://user:password@host:4222'),
  ZONE_URLS: namedUrlsSetting
    .refine((urls) => urls.size > 0, 'must name at least one zone')
    .describe("every zone's API, like a=http://…,b=http://…"),
  POLL_EVERY_MS: z.coerce
    .number()
    .int()
    .min(100)
    .default(5_000)
    .describe('how often the snapshot is asked for besides notices, in ms'),
  MAX_BODY_BYTES: z.coerce.number().int().min(1_024).default(1_048_576).describe('largest request body, in bytes'),
  ZONE_CONNECTIONS: z.coerce.number().int().min(1).default(64).describe('connections kept to each zone'),
  MAX_FORWARDED: z.coerce
    .number()
    .int()
    .min(1)
    .default(4_096)
    .describe('requests on their way to one zone at once; more are refused as overloaded'),
  ZONE_DEADLINE_MS: z.coerce
    .number()
    .int()
    .min(100)
    .default(10_000)
    .describe("longest wait for a zone's answer, in ms; must exceed the zones' own deadline"),
  LOG_LEVEL: z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']).default('info'),
});

export type RouterConfig = Readonly<z.infer<typeof schema>>;

/** @throws ConfigError naming every missing or wrong variable */
export function readRouterConfig(
  environment: Readonly<Record<string, string | undefined>> = process.env,
): RouterConfig {
  return readEnvironment(schema, environment);
}
