import { randomUUID } from 'node:crypto';
import { type IncomingMessage } from 'node:http';
import { type DynamicModule, StandardSchemaValidationPipe, type Type } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { PROBLEM_MEDIA_TYPE, REQUEST_ID_HEADER } from '@borough/contracts';
import { type FastifyReply, type FastifyRequest, LogController } from 'fastify';
import { type Logger, NestLogger } from '../observe/logger.js';
import { refusals } from '../observe/metrics.js';
import { Problem, problemDocument } from '../problem/problem.js';
import { ProblemFilter, sendProblem } from '../problem/problem.filter.js';
import { readJsonBody } from './json-body.js';

export interface HttpAppOptions {
  readonly logger: Logger;
  /** Largest body in bytes; a longer one is `body-too-large`. */
  readonly maxBodyBytes?: number;
  /** Most arrays and objects inside each other in a body. */
  readonly maxBodyDepth?: number;
  /** Longest time for a client to send a whole request, in ms. */
  readonly requestTimeoutMs?: number;
}

/** How long requests under way may take to end once the process stops, in ms; after it their connections are closed. */
const CLOSE_GRACE_MS = 5_000;

const REQUEST_ID = /^[\w.-]{1,64}$/;

/**
 * A Nest application on Fastify with the manners every process of ours has: a request id on every answer, problems
 * instead of error pages, bodies read strictly, schemas checked by the contract given to `@Body({ schema })`.
 */
export async function createHttpApp(
  module: Type | DynamicModule,
  { logger, maxBodyBytes = 1_048_576, maxBodyDepth = 32, requestTimeoutMs = 30_000 }: HttpAppOptions,
): Promise<NestFastifyApplication> {
  const adapter = new FastifyAdapter({
    loggerInstance: logger,
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: maxBodyBytes,
    requestTimeout: requestTimeoutMs,
    // Longer than any router keeps an idle connection, so that the router closes first and no request meets a reset.
    keepAliveTimeout: 30_000,
    genReqId: (request: IncomingMessage) => {
      const given = request.headers[REQUEST_ID_HEADER];
      return typeof given === 'string' && REQUEST_ID.test(given) ? given : randomUUID();
    },
    frameworkErrors: (error: Error, request: FastifyRequest, reply: FastifyReply) => {
      sendProblem(error, request, reply);
    },
    clientErrorHandler: (error, socket) => {
      // Not even a request: Node's parser gave up on it. A reset peer cannot be answered.
      if (error.code === 'ECONNRESET' || !socket.writable) return;
      const problem = new Problem('malformed-request', { detail: 'The request could not be parsed.' });
      const requestId = randomUUID();
      const body = JSON.stringify(problemDocument(problem, requestId, '/'));
      refusals.inc({ code: problem.code });
      socket.end(
        `HTTP/1.1 400 Bad Request\r\nconnection: close\r\n${REQUEST_ID_HEADER}: ${requestId}\r\n` +
          `content-type: ${PROBLEM_MEDIA_TYPE}\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
      );
    },
  });
  const app = await NestFactory.create<NestFastifyApplication>(module, adapter, {
    logger: new NestLogger(logger),
    bodyParser: false,
    abortOnError: false,
  });
  const fastify = adapter.getInstance();
  fastify.removeAllContentTypeParsers();
  fastify.addContentTypeParser('application/json', { parseAs: 'buffer' }, (_request, body, done) => {
    try {
      done(null, readJsonBody(body as Buffer, maxBodyDepth));
    } catch (error) {
      done(error as Error);
    }
  });
  fastify.addHook('onRequest', (request, reply, done) => {
    void reply.header(REQUEST_ID_HEADER, request.id);
    done();
  });
  // A connection on which nothing was ever sent is not idle to Node, and would be waited for until it timed out.
  fastify.addHook('preClose', (done) => {
    const { server } = fastify;
    const closing = setTimeout(() => {
      server.closeAllConnections();
    }, CLOSE_GRACE_MS);
    server.once('close', () => {
      clearTimeout(closing);
    });
    done();
  });
  app.useGlobalFilters(new ProblemFilter());
  app.useGlobalPipes(new StandardSchemaValidationPipe({ exceptionFactory: validationProblem }));
  app.enableShutdownHooks();
  return app;
}

const MAX_NAMED_ERRORS = 20;

type Issues = Parameters<StandardSchemaValidationPipe['exceptionFactory']>[0];

function validationProblem(issues: Issues): Problem {
  const errors = issues.slice(0, MAX_NAMED_ERRORS).map((issue) => ({
    path: (issue.path ?? []).map((part) => String(typeof part === 'object' ? part.key : part)).join('.'),
    message: issue.message,
  }));
  return new Problem('validation-failed', { detail: `${issues.length} faults`, members: { errors } });
}
