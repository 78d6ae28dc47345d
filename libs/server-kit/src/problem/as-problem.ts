import { type ProblemCode } from '@borough/contracts';
import { HttpException } from '@nestjs/common';
import { Problem } from './problem.js';

const FASTIFY_PROBLEMS: Readonly<Record<string, (message: string) => Problem>> = {
  FST_ERR_CTP_BODY_TOO_LARGE: () => new Problem('body-too-large'),
  FST_ERR_CTP_INVALID_MEDIA_TYPE: (detail) => new Problem('unsupported-media-type', { detail }),
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: (detail) => new Problem('malformed-request', { detail }),
  FST_ERR_CTP_EMPTY_JSON_BODY: (detail) => new Problem('malformed-json', { detail }),
  FST_ERR_BAD_URL: () => new Problem('malformed-request', { detail: 'The path is not a valid URL path.' }),
};

/** Codes of a database that is not there: nothing has reached it. */
const AWAY: ReadonlySet<string> = new Set(['ECONNREFUSED', '57P03']);

/** What pg and its pool say when no connection could be made in time. */
const NOT_CONNECTED = /timeout exceeded when trying to connect|due to connection timeout/;

/** Nest turns some of Fastify's errors into exceptions of its own before a filter sees them. */
const STATUS_PROBLEMS: Readonly<Record<number, ProblemCode>> = {
  404: 'route-not-found',
  413: 'body-too-large',
  415: 'unsupported-media-type',
};

/**
 * What an error that reached the edge means to the caller. Anything nobody planned for is `internal-error`, with the
 * original kept as `cause` for the log and nothing of it on the wire.
 */
export function asProblem(error: unknown): Problem {
  if (error instanceof Problem) return error;
  const known = FASTIFY_PROBLEMS[codeOf(error)];
  if (known !== undefined) return known(error instanceof Error ? error.message : '');
  if (error instanceof HttpException) return fromHttpException(error);
  if (AWAY.has(codeOf(error)) || (error instanceof Error && NOT_CONNECTED.test(error.message)))
    return new Problem('zone-unavailable', { retryAfterSeconds: 1, cause: error });
  return new Problem('internal-error', { cause: error });
}

function fromHttpException(error: HttpException): Problem {
  const status: number = error.getStatus();
  const known = STATUS_PROBLEMS[status];
  if (known !== undefined) return new Problem(known);
  if (status >= 400 && status < 500) return new Problem('malformed-request', { detail: error.message });
  return new Problem('internal-error', { cause: error });
}

function codeOf(error: unknown): string {
  return typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : '';
}
