import { FAILOVER_POLICIES } from './moves/failover-policy.js';
import { namedUrlsSetting, portSetting, readEnvironment } from '@borough/server-kit';
import { z } from 'zod';

const schema = z.object({
  COORDINATOR_ID: z
    .string()
    .regex(/^[a-z0-9-]{1,16}$/)
    .describe('this coordinator, unlike every other one'),
  HTTP_HOST: z.string().default('127.0.0.1').describe('address to listen on'),
  HTTP_PORT: portSetting.describe('port to listen on'),
  NATS_URL: z.url().describe('where notices go, like nats://user:password@host:4222'),
  VOTER_DATABASE_URLS: namedUrlsSetting
    .refine((urls) => urls.size >= 2, 'must name at least two zones')
    .describe('every zone as borough_control, like a=postgres://…,b=postgres://…'),
  READ_EVERY_MS: z.coerce.number().int().min(50).default(500).describe('how often the voters are read, in ms'),
  ZONE_URLS: namedUrlsSetting
    .default(new Map())
    .describe("every zone's API, like a=http://…,b=http://…: asked before a move whether it is ready"),
  CRASH_POINT_FILE: z.string().optional().describe('for drills: end this process at the step of a move named in it'),
  FAILOVER_POLICY: z
    .enum(FAILOVER_POLICIES)
    .default('manual')
    .describe('automatic: a zone that is lost is left by itself; manual: people decide'),
  FAILOVER_BACK_OFF_MS: z.coerce
    .number()
    .int()
    .min(0)
    .default(60_000)
    .describe('a zone that was left by itself is not left again for so long, in ms'),
  LOG_LEVEL: z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']).default('info'),
});

export type CoordinatorConfig = Readonly<z.infer<typeof schema>>;

/** @throws ConfigError naming every missing or wrong variable; one voter alone could never be outvoted, so 2 is least */
export function readCoordinatorConfig(
  environment: Readonly<Record<string, string | undefined>> = process.env,
): CoordinatorConfig {
  return readEnvironment(schema, environment);
}
