import { ALLOW_STALE_HEADER, SHARD_HEADER, STALE_MS_HEADER } from '@borough/contracts';
import { Problem, sendProblem } from '@borough/server-kit';
import { type FastifyReply, type FastifyRequest } from 'fastify';

/** Knows how old what this zone shows of a shard may be, in ms; 0 when it is current. */
export interface CurrencySource {
  staleForMs(shard: number | undefined): number;
}

/**
 * Refuses reads of what may be old, or, for whoever allows it, says how old it may be. Nothing old is ever shown as fresh:
 * a zone that was cut off, frozen or left does not know what it missed.
 */
export function checkCurrency(
  currency: CurrencySource,
): (request: FastifyRequest, reply: FastifyReply) => Promise<FastifyReply | undefined> {
  return async (request, reply) => {
    if (request.method !== 'GET' && request.method !== 'HEAD') return undefined;
    if (request.raw.url?.startsWith('/v1/') !== true) return undefined;
    const header = request.headers[SHARD_HEADER];
    const staleMs = currency.staleForMs(typeof header === 'string' ? Number(header) : undefined);
    if (staleMs === 0) return undefined;
    if (request.headers[ALLOW_STALE_HEADER] === 'true') {
      void reply.header(STALE_MS_HEADER, String(staleMs));
      return undefined;
    }
    sendProblem(new Problem('zone-not-current', { retryAfterSeconds: 1 }), request, reply);
    return reply;
  };
}
