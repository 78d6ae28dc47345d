import { IDEMPOTENCY_REPLAYED_HEADER } from '@borough/contracts';
import { type FastifyReply } from 'fastify';
import { type Answer } from './pending-write.js';

/** Sends a kept answer as the very bytes that were kept. */
export function sendAnswer(reply: FastifyReply, answer: Answer): void {
  if (answer.isReplay) void reply.header(IDEMPOTENCY_REPLAYED_HEADER, 'true');
  void reply.code(answer.status).header('content-type', 'application/json; charset=utf-8').send(answer.body);
}
