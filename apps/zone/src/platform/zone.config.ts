import { namedUrlsSetting, portSetting, readEnvironment } from '@borough/server-kit';
import { ZONE_ID_PATTERN } from '@borough/topology';
import { z } from 'zod';

const schema = z.object({
  ZONE_ID: z.string().regex(ZONE_ID_PATTERN).describe('this zone, a lower-case name like a'),
  HTTP_HOST: z.string().default('127.0.0.1').describe('address to listen on'),
  HTTP_PORT: portSetting.describe('port to listen on'),
  API_DATABASE_URL: z.url().describe("this zone's PostgreSQL as borough_api, which serves requests"),
  OWNER_DATABASE_URL: z.url().describe("this zone's PostgreSQL as borough_owner, which migrates and replicates"),
  PEER_DATABASE_URLS: namedUrlsSetting.describe(
    'all other zones as borough_replication, like b=postgres://…,c=postgres://…',
  ),
  REDIS_URL: z.url().describe("this zone's Redis"),
  DATABASE_CONNECTIONS: z.coerce.number().int().min(1).max(200).default(16).describe('connections of the request pool'),
  MAX_WAITING_WRITES: z.coerce
    .number()
    .int()
    .min(1)
    .default(2_000)
    .describe('writes that may wait for a batch; one more is refused as overloaded'),
  REQUEST_DEADLINE_MS: z.coerce
    .number()
    .int()
    .min(100)
    .default(5_000)
    .describe('longest time until a request is answered, in ms; a write is then answered as unknown'),
  MEMBER_SILENCE_MS: z.coerce
    .number()
    .int()
    .min(100)
    .default(500)
    .describe('how long a silent zone may hold up writes before it is dropped from the in-sync set, in ms'),
  AUDIT_EVERY_MS: z.coerce
    .number()
    .int()
    .min(0)
    .default(3_600_000)
    .describe('how often this zone compares its copies with their owners by itself, in ms; 0: never'),
  LOG_LEVEL: z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']).default('info'),
});

export type ZoneConfig = Readonly<z.infer<typeof schema>>;

/** @throws ConfigError naming every missing or wrong variable, and a peer list that names the zone itself */
export function readZoneConfig(environment: Readonly<Record<string, string | undefined>> = process.env): ZoneConfig {
  return readEnvironment(
    schema.refine((config) => !config.PEER_DATABASE_URLS.has(config.ZONE_ID), {
      path: ['PEER_DATABASE_URLS'],
      message: 'must not name this zone itself',
    }),
    environment,
  );
}
