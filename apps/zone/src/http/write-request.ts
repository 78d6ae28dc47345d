import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import { IDEMPOTENCY_KEY_HEADER, SHARD_HEADER } from '@borough/contracts';
import { Problem } from '@borough/server-kit';
import { type ShardNumber } from '@borough/topology';
import { type FastifyRequest } from 'fastify';

/** What every unsafe request carries besides its body. */
export interface WriteRequest {
  /** Method and path pattern, part of the scope of the key. */
  readonly route: string;
  readonly caller: string;
  readonly idempotencyKey: string;
  /** The shard the router read from the traffic tag; undefined when the zone was asked directly. */
  readonly taggedShard: ShardNumber | undefined;
}

const IDEMPOTENCY_KEY = /^[\x21-\x7e]{1,255}$/;

/** Puts the `WriteRequest` of the request into a handler's argument. */
export const Write = createParamDecorator((_options: undefined, context: ExecutionContext): WriteRequest => {
  const request = context.switchToHttp().getRequest<FastifyRequest>();
  return {
    route: `${request.method} ${request.routeOptions.url ?? request.url}`,
    caller: request.caller,
    idempotencyKey: idempotencyKeyOf(request),
    taggedShard: taggedShardOf(request),
  };
});

function idempotencyKeyOf(request: FastifyRequest): string {
  const key = request.headers[IDEMPOTENCY_KEY_HEADER];
  if (key === undefined || key === '') {
    throw new Problem('idempotency-key-required', {
      detail: 'Send the header Idempotency-Key with a value of your own, new for each new order, the same for a retry.',
    });
  }
  if (typeof key !== 'string' || !IDEMPOTENCY_KEY.test(key)) {
    throw new Problem('malformed-idempotency-key', { detail: '1 to 255 visible ASCII characters, given once.' });
  }
  return key;
}

function taggedShardOf(request: FastifyRequest): ShardNumber | undefined {
  const shard = request.headers[SHARD_HEADER];
  return typeof shard === 'string' && /^\d{1,4}$/.test(shard) ? Number(shard) : undefined;
}

/**
 * A request travels by its tag and is written by its body; when they differ it reached the wrong owner, and asking
 * again would reach it again.
 *
 * @throws Problem `tag-mismatch` naming the tag that would have been right
 */
export function requireTagAgrees(write: WriteRequest, shard: ShardNumber, rightTag: string): void {
  if (write.taggedShard === undefined || write.taggedShard === shard) return;
  throw new Problem('tag-mismatch', {
    detail: `Send Traffic-Tag: ${rightTag}`,
    members: { taggedShard: write.taggedShard, shard },
  });
}
