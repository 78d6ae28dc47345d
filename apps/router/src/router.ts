import { Module } from '@nestjs/common';
import { type NestFastifyApplication } from '@nestjs/platform-fastify';
import {
  acceptOrder,
  cancelOrder,
  getAreaMap,
  getCourier,
  getOrder,
  getRouting,
  getStore,
  IDEMPOTENCY_KEY_HEADER,
  IDEMPOTENCY_REPLAYED_HEADER,
  listCustomerOrders,
  openStore,
  placeOrder,
  registerCourier,
  REQUEST_ID_HEADER,
  type RouterReport,
  STALE_MS_HEADER,
  TABLE_VERSION_HEADER,
  TRAFFIC_TAG_HEADER,
  ZONE_HEADER,
} from '@borough/contracts';
import {
  addStandardRoutes,
  createHttpApp,
  createLogger,
  Notices,
  openApiDocument,
  Readiness,
} from '@borough/server-kit';
import { addFeedRoutes } from './feed/feed-routes.js';
import { PublishedTable } from './feed/published-table.js';
import { UpdateStream } from './feed/update-stream.js';
import { Forwarder } from './forward/forwarder.js';
import { ZoneHealth } from './forward/zone-health.js';
import { Hold } from './hold/hold.js';
import { InFlightWrites } from './in-flight-writes.js';
import { newRouterId, reportHeaders, RouterReporter } from './report/router-reporter.js';
import { routeRequest } from './route-request.js';
import { type RouterConfig } from './router.config.js';
import { LiveTable } from './table/live-table.js';

/** What clients may send through a router. */
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
  getRouting,
  getAreaMap,
];

@Module({})
class RouterModule {}

/**
 * Starts a router. It keeps nothing but its copy of the routing table, so any number may run.
 *
 * @returns the application, listening; it becomes ready with the first routing table
 */
export async function startRouter(config: RouterConfig): Promise<NestFastifyApplication> {
  const logger = createLogger('router', config.LOG_LEVEL);
  const readiness = new Readiness();
  const notices = new Notices(config.NATS_URL, 'borough-router', logger);
  const routerId = newRouterId(config.ROUTER_ID);
  const report = (): RouterReport => ({
    routerId,
    tableVersion: table.tableVersion,
    heldRequests: hold.heldRequests,
  });
  const table = new LiveTable({
    coordinatorUrls: config.COORDINATOR_URLS,
    notices,
    readiness,
    logger,
    pollEveryMs: config.POLL_EVERY_MS,
    pollWithoutNoticesMs: config.POLL_WITHOUT_NOTICES_MS,
    pollHeaders: () => reportHeaders(report()),
  });
  const hold = new Hold(table, {
    maxRequests: config.HOLD_MAX_REQUESTS,
    maxBytes: config.HOLD_MAX_BYTES,
    releasePerSecond: config.HOLD_RELEASE_PER_SECOND,
    maxUnanswered: config.HOLD_MAX_UNANSWERED,
  });
  const reporter = new RouterReporter(table, notices, report);
  const published = new PublishedTable(table, config.ROUTER_URLS);
  const stream = new UpdateStream(table, published, {
    maxClients: config.FEED_MAX_CLIENTS,
    maxBufferedBytes: config.FEED_MAX_BUFFERED_BYTES,
    heartbeatEveryMs: config.FEED_HEARTBEAT_MS,
  });
  const forwarder = new Forwarder({
    zoneUrls: config.ZONE_URLS,
    connectionsPerZone: config.ZONE_CONNECTIONS,
    maxForwarded: config.MAX_FORWARDED,
    deadlineMs: config.ZONE_DEADLINE_MS,
  });
  const health = new ZoneHealth({
    zoneUrls: config.ZONE_URLS,
    silentAfterMs: config.ZONE_SILENT_AFTER_MS,
    // Notices may be lost with the zone.
    onProbedInVain: () => void table.refresh(),
  });
  health.onAnswersAgain((zoneId) => {
    hold.zoneAnswers(zoneId);
  });
  const inFlight = new InFlightWrites(table);

  const app = await createHttpApp(RouterModule, { logger, maxBodyBytes: config.MAX_BODY_BYTES });
  const fastify = app.getHttpAdapter().getInstance();
  if (config.ALLOWED_ORIGINS !== undefined) allowBrowsers(app, config.ALLOWED_ORIGINS);
  fastify.addHook(
    'onRequest',
    routeRequest({
      table,
      forwarder,
      health,
      inFlight,
      hold,
      hedgeAfterMs: config.ZONE_SILENT_AFTER_MS,
      maxBodyBytes: config.MAX_BODY_BYTES,
      holdMaxMs: config.HOLD_MAX_MS,
      holdMaxBodyBytes: config.HOLD_MAX_BODY_BYTES,
      random: Math.random,
    }),
  );
  // Before the server waits for what it has not answered: these would keep it waiting.
  fastify.addHook('preClose', (done) => {
    hold.stop();
    stream.stop();
    done();
  });
  fastify.addHook('onClose', async () => {
    reporter.stop();
    inFlight.stop();
    await table.stop();
    await Promise.all([notices.stop(), health.stop(), forwarder.stop()]);
  });
  addFeedRoutes(fastify, table, published, stream);
  addStandardRoutes(app, readiness, () => openApiDocument('Borough', '0.1.0', ROUTES));
  await app.listen(config.HTTP_PORT, config.HTTP_HOST);
  notices.start();
  table.start();
  reporter.start();
  return app;
}

/** Pages of these origins may call this router; with cookies, unless any page may. */
function allowBrowsers(app: NestFastifyApplication, origins: readonly string[]): void {
  const isOpen = origins.includes('*');
  app.enableCors({
    origin: isOpen ? '*' : [...origins],
    credentials: !isOpen,
    methods: ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'],
    allowedHeaders: [
      'content-type',
      'if-none-match',
      'last-event-id',
      IDEMPOTENCY_KEY_HEADER,
      REQUEST_ID_HEADER,
      TRAFFIC_TAG_HEADER,
    ],
    exposedHeaders: [
      'etag',
      'retry-after',
      IDEMPOTENCY_REPLAYED_HEADER,
      REQUEST_ID_HEADER,
      STALE_MS_HEADER,
      TABLE_VERSION_HEADER,
      ZONE_HEADER,
    ],
    maxAge: 600,
  });
}
