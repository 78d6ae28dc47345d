import { type NestFastifyApplication } from '@nestjs/platform-fastify';
import { type Readiness } from '../lifecycle/readiness.js';
import { metrics } from '../observe/metrics.js';

/**
 * The routes every process has: is it alive, may it have traffic, what does it count, what does it offer.
 *
 * @param openApi makes the document served at `/openapi.json`; called once, when somebody asks
 */
export function addStandardRoutes(app: NestFastifyApplication, readiness: Readiness, openApi: () => object): void {
  const fastify = app.getHttpAdapter().getInstance();
  let document: string | undefined;
  fastify.get('/health/live', () => ({ status: 'live' }));
  fastify.get('/health/ready', (_request, reply) =>
    readiness.isReady
      ? reply.send({ status: 'ready' })
      : reply.code(503).send({ status: 'not ready', waitingFor: readiness.waitingFor }),
  );
  fastify.get('/metrics', async (_request, reply) =>
    reply.header('content-type', metrics.contentType).send(await metrics.metrics()),
  );
  fastify.get('/openapi.json', (_request, reply) => {
    document ??= JSON.stringify(openApi());
    return reply.header('content-type', 'application/json').send(document);
  });
}
