import { REQUEST_ID_HEADER, SHARD_HEADER, TABLE_VERSION_HEADER } from '@borough/contracts';
import { Problem, sendProblem } from '@borough/server-kit';
import { resolveTag, type ShardNumber, type TrafficTag } from '@borough/topology';
import { type FastifyReply, type FastifyRequest } from 'fastify';
import { carryWrite, type WriteParts } from './carry-write.js';
import { type CanonicalRequest, canonicalRequest } from './forward/canonical-request.js';
import { type ForwardedAnswer } from './forward/forwarder.js';
import { readBody } from './forward/read-body.js';
import { ClientGone, type Hold } from './hold/hold.js';
import { readAnywhere, type ReadParts } from './read-anywhere.js';
import { type LiveTable } from './table/live-table.js';
import { readTag } from './tag/read-tag.js';

/** Answered by the zone for its own connection with us. */
const NOT_RETURNED = new Set(['connection', 'keep-alive', 'transfer-encoding', 'date', REQUEST_ID_HEADER]);

export interface RouteRequestParts extends ReadParts, WriteParts {
  readonly maxBodyBytes: number;
}

/**
 * The story of a request: head read strictly → tag → shard → sent → answered. Where it is sent, and what may come between,
 * is told by `readAnywhere` and `carryWrite`.
 *
 * Runs as a Fastify `onRequest` hook, before any body parser or Nest pipeline: this is most of what a router does.
 */
export function routeRequest(
  parts: RouteRequestParts,
): (request: FastifyRequest, reply: FastifyReply) => Promise<FastifyReply | undefined> {
  const { table, hold, maxBodyBytes } = parts;
  return async (request, reply) => {
    if (request.raw.url?.startsWith('/v1/') !== true) return undefined;
    if (!request.is404) return undefined; // the router's own: the routing table for clients
    try {
      const canonical = canonicalRequest(request.raw);
      const tag = readTag(request.headers, canonical.pathname);
      const shard = await shardOf(table, tag, isRead(canonical));
      canonical.headers[REQUEST_ID_HEADER] = request.id;
      canonical.headers[SHARD_HEADER] = String(shard);
      const answer = isRead(canonical)
        ? await readAnywhere(parts, shard, canonical, reply)
        : await carryWrite(parts, shard, canonical, await readBody(request.raw, maxBodyBytes), reply);
      sayWhereWeAre(reply, table, hold);
      giveBack(reply, answer);
    } catch (error) {
      if (error instanceof ClientGone) return reply.hijack();
      sayWhereWeAre(reply, table, hold);
      sendProblem(error, request, reply);
    }
    return reply;
  };
}

/** @throws Problem `routing-unknown`, `area-not-served` */
async function shardOf(table: LiveTable, tag: TrafficTag, isReadOnly: boolean): Promise<ShardNumber> {
  const known = knownShardOf(table, tag);
  if (known !== undefined) return known;
  await table.refresh();
  const found = knownShardOf(table, tag);
  if (found !== undefined) return found;
  if (!table.isKnown) throw new Problem('routing-unknown', { retryAfterSeconds: 1 });
  // Nobody owns it, and any zone can say that there is no such thing.
  if (isReadOnly && tag.kind === 'id') return tag.shard;
  throw new Problem('area-not-served', { detail: 'No area has the place, shard or id that the traffic tag names.' });
}

function knownShardOf(table: LiveTable, tag: TrafficTag): ShardNumber | undefined {
  const shard = resolveTag(tag, table.areaMap);
  return shard === undefined || table.entryOf(shard) === undefined ? undefined : shard;
}

function isRead({ method }: CanonicalRequest): boolean {
  return method === 'GET' || method === 'HEAD';
}

/** Said last, since much may have changed while a request was held. */
function sayWhereWeAre(reply: FastifyReply, table: LiveTable, hold: Hold): void {
  void reply.header(TABLE_VERSION_HEADER, String(table.tableVersion));
  // Else a stopping router would wait for the client's idle connection.
  if (hold.isStopped) void reply.header('connection', 'close');
}

function giveBack(reply: FastifyReply, answer: ForwardedAnswer): void {
  for (const [name, value] of Object.entries(answer.headers)) {
    if (value !== undefined && !NOT_RETURNED.has(name)) void reply.header(name, value);
  }
  void reply.code(answer.status).send(answer.body);
}
