import { Module } from '@nestjs/common';
import { type NestFastifyApplication } from '@nestjs/platform-fastify';
import {
  getCourier,
  getOrder,
  getStore,
  listCustomerOrders,
  openStore,
  placeOrder,
  registerCourier,
} from '@borough/contracts';
import {
  addStandardRoutes,
  createHttpApp,
  createLogger,
  Notices,
  openApiDocument,
  Readiness,
} from '@borough/server-kit';
import { Forwarder } from './forward/forwarder.js';
import { routeRequest } from './route-request.js';
import { type RouterConfig } from './router.config.js';
import { LiveTable } from './table/live-table.js';

/** What clients may send through a router. */
const ROUTES = [placeOrder, getOrder, listCustomerOrders, openStore, getStore, registerCourier, getCourier];

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
  const table = new LiveTable(config.COORDINATOR_URLS, notices, readiness, logger, config.POLL_EVERY_MS);
  const forwarder = new Forwarder({
    zoneUrls: config.ZONE_URLS,
    connectionsPerZone: config.ZONE_CONNECTIONS,
    maxForwarded: config.MAX_FORWARDED,
    deadlineMs: config.ZONE_DEADLINE_MS,
  });

  const app = await createHttpApp(RouterModule, { logger, maxBodyBytes: config.MAX_BODY_BYTES });
  const fastify = app.getHttpAdapter().getInstance();
  fastify.addHook('onRequest', routeRequest(table, forwarder, config.MAX_BODY_BYTES));
  fastify.addHook('onClose', async () => {
    await table.stop();
    await Promise.all([notices.stop(), forwarder.stop()]);
  });
  addStandardRoutes(app, readiness, () => openApiDocument('Borough', '0.1.0', ROUTES));
  await app.listen(config.HTTP_PORT, config.HTTP_HOST);
  notices.start();
  table.start();
  return app;
}
