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
import { migrate } from './migrations/migrate.js';
import { InSyncGuard } from './replication/in-sync-guard.js';
import { linkName } from './replication/links.js';
import { Mesh } from './replication/mesh.js';
import { claimZone, requireGuards, requireServer } from './replication/preflight.js';
import { ZoneAgent } from './replication/zone-agent.js';
import { type ZoneConfig } from './platform/zone.config.js';
import { ZoneModule } from './zone.module.js';

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
  const app = await createHttpApp(ZoneModule.with(config, logger, pool), { logger });
  const fastify = app.getHttpAdapter().getInstance();
  fastify.addHook('onRequest', (_request, reply, done) => {
    void reply.header(ZONE_HEADER, config.ZONE_ID);
    done();
  });
  fastify.addHook('onClose', () => agent.stop());
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

function zoneAgent(config: ZoneConfig, guardSession: PostgresSession, readiness: Readiness, logger: Logger): ZoneAgent {
  const zoneId = config.ZONE_ID;
  const peers = [...config.PEER_DATABASE_URLS].map(([peerId, url]) => ({
    zoneId: peerId,
    url,
    session: new PostgresSession(url, { name: `borough-agent-of-${zoneId}`, logger }),
  }));
  const meshSession = new PostgresSession(config.OWNER_DATABASE_URL, { name: 'borough-mesh', logger });
  const links = new Map(peers.map((peer) => [linkName(peer.zoneId, zoneId), peer.zoneId]));
  return new ZoneAgent({
    zoneId,
    guardSession,
    guard: new InSyncGuard(guardSession, links, config.MEMBER_SILENCE_MS, logger),
    mesh: new Mesh(zoneId, meshSession, peers, logger),
    peers,
    readiness,
    logger,
  });
}
