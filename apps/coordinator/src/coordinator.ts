import { type NestFastifyApplication } from '@nestjs/platform-fastify';
import { createArea, getAreaMap, getRouting } from '@borough/contracts';
import {
  addStandardRoutes,
  createHttpApp,
  createLogger,
  Notices,
  openApiDocument,
  PostgresSession,
  Readiness,
} from '@borough/server-kit';
import { type CoordinatorConfig } from './coordinator.config.js';
import { CoordinatorModule } from './coordinator.module.js';
import { AreaCreation } from './ops-api/area-creation.js';
import { RoutingPublisher } from './publish/routing-publisher.js';
import { Voter } from './voters/voter.js';
import { Voters } from './voters/voters.js';

const ROUTES = [getRouting, getAreaMap, createArea];

/**
 * Starts a coordinator. It owns no data: everything it knows is read from the voters, so it may be killed at any time
 * and any number may run.
 *
 * @returns the application; closing it ends everything it started
 */
export async function startCoordinator(config: CoordinatorConfig): Promise<NestFastifyApplication> {
  const logger = createLogger('coordinator', config.LOG_LEVEL, { coordinatorId: config.COORDINATOR_ID });
  const name = `borough-coordinator-${config.COORDINATOR_ID}`;
  const voters = new Voters(
    config.COORDINATOR_ID,
    [...config.VOTER_DATABASE_URLS].map(
      ([zoneId, url]) => new Voter(zoneId, new PostgresSession(url, { name, logger })),
    ),
    logger,
  );
  const notices = new Notices(config.NATS_URL, name, logger);
  const readiness = new Readiness();
  const publisher = new RoutingPublisher(voters, notices, readiness, logger, config.READ_EVERY_MS);
  const creation = new AreaCreation(voters, publisher, logger);

  const app = await createHttpApp(CoordinatorModule.with(publisher, creation), { logger });
  app
    .getHttpAdapter()
    .getInstance()
    .addHook('onClose', async () => {
      await publisher.stop();
      await Promise.all([notices.stop(), voters.end()]);
    });
  addStandardRoutes(app, readiness, () => openApiDocument('Borough coordinator', '0.1.0', ROUTES));
  await app.listen(config.HTTP_PORT, config.HTTP_HOST);
  notices.start();
  publisher.start();
  return app;
}
