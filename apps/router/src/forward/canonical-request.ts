import { type IncomingMessage } from 'node:http';
import { ALLOW_STALE_HEADER } from '@borough/contracts';
import { Problem } from '@borough/server-kit';

/** Headers that belong to one connection (RFC 9110, 7.6.1), that the connection to the zone sets itself, or the router. */
const NOT_FORWARDED = new Set([
  ALLOW_STALE_HEADER,
  'connection',
  'content-length',
  'expect',
  'host',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

/** Said twice, these would mean one thing here and another behind us. */
const GIVEN_ONCE = new Set([
  'authorization',
  'content-length',
  'content-type',
  'host',
  'idempotency-key',
  'request-id',
  'traffic-tag',
]);

/** Dot segments, doubled or encoded slashes, backslashes: spellings that two readers may resolve differently. */
const AMBIGUOUS_PATH = /\/\/|\\|\/\.{1,2}(?:\/|$)|%2e|%2f|%5c|%00/i;

/** A request as the zone is to see it: built anew, never copied. */
export interface CanonicalRequest {
  readonly method: string;
  /** Path without the query; unambiguous. */
  readonly pathname: string;
  readonly target: string;
  readonly headers: Record<string, string>;
}

/**
 * Reads the head strictly and keeps only what may go on. `borough-*` and `x-forwarded-*` from outside are dropped: the
 * zone believes those of the router.
 *
 * @throws Problem `malformed-request` for anything that two readers could understand differently
 */
export function canonicalRequest(message: IncomingMessage): CanonicalRequest {
  const target = message.url ?? '';
  const pathname = target.split('?', 1)[0] ?? '';
  // A `#` is no part of a request (RFC 9112, 3.2); the zone would read the path only up to it, and we all of it.
  if (!target.startsWith('/') || target.includes('#') || AMBIGUOUS_PATH.test(pathname)) {
    refuse('The path is not in its plain form.');
  }
  requireGivenOnce(message.rawHeaders);
  const method = message.method ?? 'GET';
  const hasBody =
    message.headers['transfer-encoding'] !== undefined || Number(message.headers['content-length'] ?? 0) > 0;
  if (hasBody && (method === 'GET' || method === 'HEAD')) refuse(`A ${method} request has no body.`);
  return { method, pathname, target, headers: forwardedHeaders(message) };
}

function requireGivenOnce(rawHeaders: readonly string[]): void {
  const seen = new Set<string>();
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = (rawHeaders[at] ?? '').toLowerCase();
    if (!GIVEN_ONCE.has(name)) continue;
    if (seen.has(name)) refuse(`The header ${name} is given twice.`);
    seen.add(name);
  }
}

function forwardedHeaders(message: IncomingMessage): Record<string, string> {
  const headers: Record<string, string> = {};
  // What `Connection` names is hop-by-hop too, whatever it is.
  const named = new Set((message.headers.connection ?? '').split(',').map((name) => name.trim().toLowerCase()));
  for (const [name, value] of Object.entries(message.headers)) {
    if (value === undefined || NOT_FORWARDED.has(name) || named.has(name)) continue;
    if (name.startsWith('borough-') || name.startsWith('x-forwarded-') || name.includes('_')) continue;
    headers[name] = Array.isArray(value) ? value.join(', ') : value;
  }
  return headers;
}

function refuse(detail: string): never {
  throw new Problem('malformed-request', { detail });
}
