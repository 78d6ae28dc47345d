import { type NestFastifyApplication } from '@nestjs/platform-fastify';
import {
  acceptOrder,
  cancelOrder,
  getCourier,
  getOrder,
  getStore,
  listCustomerOrders,
  openStore,
  placeOrder,
  registerCourier,
  ZONE_HEADER,
} from '@borough/contracts';
import {
  addStandardRoutes,
  createHttpApp,
  createLogger,
  type Logger,
  openApiDocument,
  PostgresSession,
  Readiness,
} from '@borough/server-kit';
import { requestPool } from './database.js';
import { checkCurrency } from './http/currency-check.js';
import { migrate } from './migrations/migrate.js';
import { InSyncAgent } from './replication/agent/in-sync-agent.js';
import { AuditRunner } from './replication/audit/audit-runner.js';
import { SelfHealing } from './replication/agent/self-healing.js';
import { OwnServer } from './replication/agent/own-server.js';
import { inSyncRegister, REGISTER_DEADLINE_MS } from './replication/agent/register.js';
import { isEqual } from './replication/agent/compare.js';
import { Currency } from './replication/agent/currency.js';
import { ReplicationHealth } from './replication/health/replication-health.js';
import { Mesh } from './replication/mesh.js';
import { claimZone, requireGuards, requireServer } from './replication/preflight.js';
import { ZoneAgent } from './replication/zone-agent.js';
import { type ZoneConfig } from './platform/zone.config.js';
import { ZoneModule } from './zone.module.js';

/** Bounds of a member whose connection is gone, in ms: with commits waiting for it, and without. */
const MISSED_MS = 30;
const AWAY_MS = 1_000;

/** Everything a zone answers, for its OpenAPI document. */
const ROUTES = [
  placeOrder,
  getOrder,
  acceptOrder,
  cancelOrder,
  listCustomerOrders,
  openStore,
  getStore,
  registerCourier,
  getCourier,
];

/**
 * Starts a zone's API process: server checked → migrated → identity checked → guards checked → listening → mesh.
 *
 * It listens before the mesh is whole, since reads need no peer; writes are refused as `zone-starting` until then.
 *
 * @returns the application; closing it ends everything it started
 * @throws StartRefused with what to change, when this database must not be served
 */
export async function startZone(config: ZoneConfig): Promise<NestFastifyApplication> {
  const logger = createLogger('zone', config.LOG_LEVEL, { zoneId: config.ZONE_ID });
  const owner = new PostgresSession(config.OWNER_DATABASE_URL, { name: 'borough-agent', logger });
  await prepareDatabase(config, owner, logger);

  const pool = await requestPool(config.API_DATABASE_URL, config.DATABASE_CONNECTIONS).initialize();
  const readiness = new Readiness();
  const agent = zoneAgent(config, owner, readiness, logger);
  const currency = currencyOf(config, logger);
  currency.start();
  const app = await createHttpApp(ZoneModule.with(config, logger, pool), { logger });
  const fastify = app.getHttpAdapter().getInstance();
  fastify.addHook('onRequest', (_request, reply, done) => {
    void reply.header(ZONE_HEADER, config.ZONE_ID);
    done();
  });
  fastify.addHook('onRequest', checkCurrency(currency));
  fastify.addHook('onClose', async () => {
    await Promise.all([agent.stop(), currency.stop()]);
  });
  addStandardRoutes(app, readiness, () => openApiDocument('Borough zone', '0.1.0', ROUTES));
  await app.listen(config.HTTP_PORT, config.HTTP_HOST);
  agent.start();
  return app;
}

async function prepareDatabase(config: ZoneConfig, owner: PostgresSession, logger: Logger): Promise<void> {
  await requireServer(owner, config.PEER_DATABASE_URLS.size);
  const migrations = await migrate(config.OWNER_DATABASE_URL);
  if (migrations.length > 0) logger.info({ migrations }, 'database migrated');
  await claimZone(owner, config.ZONE_ID);
  await requireGuards(owner);
}

function currencyOf(config: ZoneConfig, logger: Logger): Currency {
  const name = `borough-currency-of-${config.ZONE_ID}`;
  return new Currency({
    zoneId: config.ZONE_ID,
    own: new PostgresSession(committingLocally(config.OWNER_DATABASE_URL), { name, logger }),
    peers: [...config.PEER_DATABASE_URLS].map(([zoneId, url]) => ({
      zoneId,
      session: new PostgresSession(url, { name, connectTimeoutMs: REGISTER_DEADLINE_MS, logger }),
    })),
    logger,
  });
}

/** What the agent does must never hang on a lost member of the in-sync set: it is what repairs that (T15). */
function committingLocally(url: string): string {
  const local = new URL(url);
  local.searchParams.set('options', '-csynchronous_commit=local');
  return local.href;
}

/** The agent has sessions of its own for each of its works, so that none waits for another, or for a frozen peer. */
function zoneAgent(config: ZoneConfig, lockSession: PostgresSession, readiness: Readiness, logger: Logger): ZoneAgent {
  const zoneId = config.ZONE_ID;
  const urls = [...config.PEER_DATABASE_URLS];
  const ownerSession = (name: string): PostgresSession =>
    new PostgresSession(committingLocally(config.OWNER_DATABASE_URL), { name, logger });
  const peerSession = (url: string): PostgresSession =>
    new PostgresSession(url, { name: `borough-agent-of-${zoneId}`, connectTimeoutMs: REGISTER_DEADLINE_MS, logger });
  const peers = urls.map(([peerId, url]) => ({ zoneId: peerId, url, session: peerSession(url) }));
  const voters = urls.map(([peerId, url]) => ({ zoneId: peerId, session: peerSession(url) }));
  const ownVoter = { zoneId, session: ownerSession('borough-agent-record') };
  const server = new OwnServer(
    zoneId,
    urls.map(([peerId]) => peerId),
    ownerSession('borough-agent-look'),
    ownerSession('borough-agent-wait'),
  );
  const comparing = urls.map(([peerId, url]) => [peerId, peerSession(url)] as const);
  const comparingHere = ownerSession('borough-agent-compare');
  const covered = new Set<string>();
  const inSync = new InSyncAgent({
    zoneId,
    peers: urls.map(([peerId]) => peerId),
    server,
    register: inSyncRegister([ownVoter, ...voters]),
    covered: () => covered,
    isEqual: (peerId) => {
      const session = new Map(comparing).get(peerId);
      const there = session === undefined ? undefined : { zoneId: peerId, session };
      return isEqual({ zoneId, session: comparingHere }, there, logger);
    },
    bounds: { missedMs: MISSED_MS, awayMs: AWAY_MS, silentMs: config.MEMBER_SILENCE_MS },
    logger,
  });
  const healing = new SelfHealing(
    zoneId,
    ownerSession('borough-healing'),
    urls.map(([peerId, url]) => ({ zoneId: peerId, session: peerSession(url) })),
    logger,
  );
  return new ZoneAgent({
    zoneId,
    lockSession,
    healing,
    audits: new AuditRunner({
      zoneId,
      own: ownerSession('borough-audit'),
      peers: urls.map(([peerId, url]) => ({ zoneId: peerId, session: peerSession(url) })),
      everyMs: config.AUDIT_EVERY_MS,
      logger,
    }),
    health: new ReplicationHealth(
      zoneId,
      urls.map(([peerId]) => peerId),
      ownerSession('borough-health'),
      logger,
    ),
    inSync,
    voters,
    end: async () => {
      const sessions = [ownVoter, ...voters].map(({ session }) => session);
      await Promise.all(
        [server, comparingHere, ...sessions, ...comparing.map(([, session]) => session)].map((each) => each.end()),
      );
    },
    mesh: new Mesh(zoneId, ownerSession('borough-mesh'), peers, logger),
    peers,
    covered,
    readiness,
    logger,
  });
}
