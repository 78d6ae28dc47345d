import { type ArgumentsHost, Catch, type ExceptionFilter } from '@nestjs/common';
import { PROBLEM_MEDIA_TYPE, REQUEST_ID_HEADER } from '@borough/contracts';
import { type FastifyReply, type FastifyRequest } from 'fastify';
import { refusals } from '../observe/metrics.js';
import { asProblem } from './as-problem.js';
import { problemDocument } from './problem.js';

/** Turns whatever a handler threw into one problem document, counts it by code, and logs only what is our fault. */
@Catch()
export class ProblemFilter implements ExceptionFilter {
  catch(error: unknown, host: ArgumentsHost): void {
    const http = host.switchToHttp();
    sendProblem(error, http.getRequest<FastifyRequest>(), http.getResponse<FastifyReply>());
  }
}

/** The same, for the places Nest's filters do not reach: Fastify's own hooks and the router's data plane. */
export function sendProblem(error: unknown, request: FastifyRequest, reply: FastifyReply): void {
  const problem = asProblem(error);
  refusals.inc({ code: problem.code });
  if (problem.code === 'internal-error') {
    request.log.error({ err: problem.facts.cause ?? error, requestId: request.id, url: request.url }, 'request failed');
  }
  if (reply.sent) return;
  if (problem.facts.retryAfterSeconds !== undefined) {
    void reply.header('retry-after', String(problem.facts.retryAfterSeconds));
  }
  const path = request.url.split('?', 1)[0] ?? '/';
  void reply
    .code(problem.status)
    // Not left to the `onRequest` hook: a path that cannot be decoded never reaches it.
    .header(REQUEST_ID_HEADER, request.id)
    .header('content-type', PROBLEM_MEDIA_TYPE)
    .send(JSON.stringify(problemDocument(problem, request.id, path)));
}
