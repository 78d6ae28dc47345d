import { getAreaMap, getRouting, ROUTING_STREAM_PATH, TABLE_VERSION_HEADER } from '@borough/contracts';
import { sendProblem } from '@borough/server-kit';
import { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import { type LiveTable } from '../table/live-table.js';
import { type Published, type PublishedTable } from './published-table.js';
import { type UpdateStream } from './update-stream.js';

/** What a router answers for itself, so that clients can route too (P8): the table, the area map, and their changes. */
export function addFeedRoutes(
  fastify: FastifyInstance,
  table: LiveTable,
  published: PublishedTable,
  stream: UpdateStream,
): void {
  const get = (path: string, read: () => Published): void => {
    fastify.get(path, (request, reply) => {
      answer(request, reply, () => {
        sendUnlessKnown(reply, request.headers['if-none-match'], read());
      });
      return reply;
    });
  };
  const answer = (request: FastifyRequest, reply: FastifyReply, work: () => void): void => {
    void reply.header(TABLE_VERSION_HEADER, String(table.tableVersion));
    try {
      work();
    } catch (error) {
      sendProblem(error, request, reply);
    }
  };

  get(getRouting.path, () => published.routingSnapshot());
  get(getAreaMap.path, () => published.areaMap());
  fastify.get(ROUTING_STREAM_PATH, { exposeHeadRoute: false }, (request, reply) => {
    answer(request, reply, () => {
      const lastEventId = request.headers['last-event-id'];
      stream.add(reply.raw, reply.getHeaders(), typeof lastEventId === 'string' ? lastEventId : undefined);
      reply.hijack();
    });
    return reply;
  });
}

function sendUnlessKnown(reply: FastifyReply, known: string | undefined, { body, etag }: Published): void {
  void reply.header('etag', etag).header('cache-control', 'no-cache');
  if (isKnown(known, etag)) void reply.code(304).send();
  else void reply.header('content-type', 'application/json; charset=utf-8').send(body);
}

/** @see RFC 9110, 13.1.2: a list, by weak comparison */
function isKnown(ifNoneMatch: string | undefined, etag: string): boolean {
  if (ifNoneMatch === undefined) return false;
  return ifNoneMatch.split(',').some((known) => ['*', etag].includes(known.trim().replace(/^W\//, '')));
}
