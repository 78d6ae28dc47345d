import { randomBytes } from 'node:crypto';
import { type NestFastifyApplication } from '@nestjs/platform-fastify';
import {
  abortMove,
  cancelAudit,
  createArea,
  createAudit,
  createMove,
  getAreaMap,
  getAudit,
  getAuditLog,
  getMove,
  getReceipt,
  getRouting,
  getShards,
  getZones,
  HELD_REQUESTS_HEADER,
  listAudits,
  listHeldOrders,
  listMoves,
  listReceipts,
  releaseHeldOrder,
  ROUTER_ID_HEADER,
  routerReport,
  TABLE_VERSION_HEADER,
} from '@borough/contracts';
import {
  addStandardRoutes,
  createHttpApp,
  createLogger,
  Notices,
  openApiDocument,
  Readiness,
} from '@borough/server-kit';
import { type FastifyRequest } from 'fastify';
import { type CoordinatorConfig } from './coordinator.config.js';
import { CoordinatorModule } from './coordinator.module.js';
import { crashesFrom } from './moves/crash-points.js';
import { FailoverAutomat } from './moves/failover-policy.js';
import { Moves } from './moves/moves.js';
import { AreaCreation } from './ops-api/area-creation.js';
import { Audits } from './ops-api/audits.js';
import { ClusterStatus } from './ops-api/cluster-status.js';
import { HeldOrders } from './ops-api/held-orders.js';
import { Receipts } from './ops-api/receipts.js';
import { RoutingPublisher } from './publish/routing-publisher.js';
import { Leadership } from './voters/leadership.js';
import { Voter } from './voters/voter.js';
import { Voters } from './voters/voters.js';
import { LinkHealthWatch } from './watch/link-health-watch.js';
import { RouterReports } from './watch/router-reports.js';
import { ZoneProbes } from './watch/zone-probes.js';
import { ZoneWatch } from './watch/zone-watch.js';

const ROUTES = [
  getRouting,
  getAreaMap,
  createArea,
  createMove,
  listMoves,
  getMove,
  abortMove,
  getZones,
  getShards,
  getAuditLog,
  listHeldOrders,
  releaseHeldOrder,
  listReceipts,
  getReceipt,
  createAudit,
  listAudits,
  getAudit,
  cancelAudit,
];

/**
 * Starts a coordinator. It owns no data: everything it knows is read from the voters, so it may be killed at any time
 * and any number may run.
 *
 * @returns the application; closing it ends everything it started
 */
export async function startCoordinator(config: CoordinatorConfig): Promise<NestFastifyApplication> {
  // Unlike every other process's, one with the same id included: terms of the two could not be told apart.
  const coordinatorName = `${config.COORDINATOR_ID}.${randomBytes(2).toString('hex')}`;
  const logger = createLogger('coordinator', config.LOG_LEVEL, { coordinatorId: coordinatorName });
  const name = `borough-coordinator-${config.COORDINATOR_ID}`;
  const voters = new Voters(
    coordinatorName,
    [...config.VOTER_DATABASE_URLS].map(([zoneId, url]) => new Voter(zoneId, url, { name, logger })),
    logger,
  );
  const notices = new Notices(config.NATS_URL, name, logger);
  const readiness = new Readiness();
  const leadership = new Leadership(voters, readiness, logger);
  const probes = new ZoneProbes(config.ZONE_URLS);
  const routers = new RouterReports();
  routers.listen(notices);
  const publisher: RoutingPublisher = new RoutingPublisher(
    voters,
    notices,
    readiness,
    logger,
    config.READ_EVERY_MS,
    (shard) => leadership.isLeading && !moves.has(shard),
  );
  const watch = new ZoneWatch({
    zoneIds: voters.zoneIds,
    zoneUrls: config.ZONE_URLS,
    look: (zone, withinMs) => voters.look(zone, withinMs),
    isLeading: () => leadership.isLeading,
    logger,
  });
  const links = new LinkHealthWatch({ facts: () => voters.linkFacts(), logger });
  const moves = new Moves({
    voters,
    leadership,
    probes,
    routers,
    crashes: crashesFrom(config.CRASH_POINT_FILE),
    logger,
    tableVersion: () => publisher.tableVersion,
    answers: (zone) => watch.answers(zone),
    isReady: (zone) => watch.isReady(zone),
  });
  const automat = new FailoverAutomat({
    policy: config.FAILOVER_POLICY,
    backOffMs: config.FAILOVER_BACK_OFF_MS,
    watch,
    moves,
    leadership,
    logger,
  });
  automat.start();
  const creation = new AreaCreation(voters, publisher, logger);
  const status = new ClusterStatus({ voters, leadership, publisher, moves, routers, probes, watch, links });

  const app = await createHttpApp(
    CoordinatorModule.with({
      publisher,
      creation,
      moves,
      leadership,
      status,
      heldOrders: new HeldOrders(voters, leadership, logger),
      receipts: new Receipts(voters),
      audits: new Audits(voters, leadership, logger),
    }),
    {
      logger,
    },
  );
  const fastify = app.getHttpAdapter().getInstance();
  fastify.addHook('onRequest', (request, _reply, done) => {
    noteRouter(routers, request);
    done();
  });
  fastify.addHook('onClose', async () => {
    watch.stop();
    await Promise.all([publisher.stop(), moves.stop(), leadership.stop(), links.stop()]);
    await Promise.all([notices.stop(), voters.end()]);
  });
  addStandardRoutes(app, readiness, () => openApiDocument('Borough coordinator', '0.1.0', ROUTES));
  await app.listen(config.HTTP_PORT, config.HTTP_HOST);
  notices.start();
  publisher.start();
  leadership.start();
  moves.start();
  watch.start();
  links.start();
  return app;
}

/** A router reports with its polls too, so that NATS may be away. */
function noteRouter(routers: RouterReports, { headers }: FastifyRequest): void {
  const routerId = headers[ROUTER_ID_HEADER];
  if (routerId === undefined) return;
  const report = routerReport.safeParse({
    routerId,
    tableVersion: Number(headers[TABLE_VERSION_HEADER]),
    heldRequests: Number(headers[HELD_REQUESTS_HEADER] ?? 0),
  });
  if (report.success) routers.note(report.data);
}
