import { EPOCH_HEADER, REQUEST_ID_HEADER, SHARD_HEADER, TABLE_VERSION_HEADER } from '@borough/contracts';
import { Problem, sendProblem } from '@borough/server-kit';
import { resolveTag, type RoutingEntry, type TrafficTag, type ZoneId } from '@borough/topology';
import { type FastifyReply, type FastifyRequest } from 'fastify';
import { type CanonicalRequest, canonicalRequest } from './forward/canonical-request.js';
import { type ForwardedAnswer, type Forwarder } from './forward/forwarder.js';
import { readBody } from './forward/read-body.js';
import { type LiveTable } from './table/live-table.js';
import { readTag } from './tag/read-tag.js';

/** Answered by the zone for its own connection with us. */
const NOT_RETURNED = new Set(['connection', 'keep-alive', 'transfer-encoding', 'date', REQUEST_ID_HEADER]);

/**
 * The story of a request: head read strictly → tag → shard → owner → sent → answered.
 *
 * Runs as a Fastify `onRequest` hook, before any body parser or Nest pipeline: this is most of what a router does.
 */
export function routeRequest(
  table: LiveTable,
  forwarder: Forwarder,
  maxBodyBytes: number,
): (request: FastifyRequest, reply: FastifyReply) => Promise<FastifyReply | undefined> {
  return async (request, reply) => {
    if (request.raw.url?.startsWith('/v1/') !== true) return undefined;
    void reply.header(TABLE_VERSION_HEADER, String(table.tableVersion));
    try {
      const canonical = canonicalRequest(request.raw);
      const tag = readTag(request.headers, canonical.pathname);
      const owner = await ownerOf(table, tag, isRead(canonical));
      canonical.headers[REQUEST_ID_HEADER] = request.id;
      canonical.headers[SHARD_HEADER] = String(owner.shard);
      canonical.headers[EPOCH_HEADER] = String(owner.epoch);
      const body = isRead(canonical) ? undefined : await readBody(request.raw, maxBodyBytes);
      giveBack(reply, await sendToOwner(forwarder, owner.owner, canonical, body));
    } catch (error) {
      sendProblem(error, request, reply);
    }
    return reply;
  };
}

/** Who answers: the zone to ask, and what it is told about the shard. */
interface Owner {
  readonly shard: number;
  readonly epoch: number;
  /** Undefined when nobody owns the shard; any zone can then say that there is no such thing. */
  readonly owner: ZoneId | undefined;
}

/** @throws Problem `routing-unknown`, `area-not-served` */
async function ownerOf(table: LiveTable, tag: TrafficTag, isReadOnly: boolean): Promise<Owner> {
  const known = entryOf(table, tag);
  if (known !== undefined) return known;
  await table.refreshAfterMiss();
  const found = entryOf(table, tag);
  if (found !== undefined) return found;
  if (!table.isKnown) throw new Problem('routing-unknown', { retryAfterSeconds: 1 });
  if (isReadOnly && tag.kind === 'id') return { shard: tag.shard, epoch: 0, owner: undefined };
  throw new Problem('area-not-served', { detail: 'No area has the place, shard or id that the traffic tag names.' });
}

function entryOf(table: LiveTable, tag: TrafficTag): RoutingEntry | undefined {
  const shard = resolveTag(tag, table.areaMap);
  return shard === undefined ? undefined : table.entryOf(shard);
}

/**
 * Writes go to the owner and nowhere else. Reads go on to another zone when the owner cannot be asked: every zone holds
 * complete data (P6).
 */
async function sendToOwner(
  forwarder: Forwarder,
  owner: ZoneId | undefined,
  request: CanonicalRequest,
  body: Buffer | undefined,
): Promise<ForwardedAnswer> {
  const others = isRead(request) ? forwarder.zoneIds.filter((zoneId) => zoneId !== owner) : [];
  let failure: unknown;
  for (const zoneId of owner === undefined ? others : [owner, ...others]) {
    try {
      return await forwarder.send(zoneId, request, body);
    } catch (error) {
      failure ??= error;
    }
  }
  // A read changes nothing, so there is no outcome to wonder about.
  if (isRead(request)) throw new Problem('zone-unavailable', { retryAfterSeconds: 1, cause: failure });
  throw failure;
}

function isRead({ method }: CanonicalRequest): boolean {
  return method === 'GET' || method === 'HEAD';
}

function giveBack(reply: FastifyReply, answer: ForwardedAnswer): void {
  for (const [name, value] of Object.entries(answer.headers)) {
    if (value !== undefined && !NOT_RETURNED.has(name)) void reply.header(name, value);
  }
  void reply.code(answer.status).send(answer.body);
}
