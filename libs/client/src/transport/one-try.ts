/** One request to one router, and every way it can end as a value. */
import {
  IDEMPOTENCY_KEY_HEADER,
  problemDocument,
  PROBLEMS,
  TABLE_VERSION_HEADER,
  TRAFFIC_TAG_HEADER,
  ZONE_HEADER,
  type ProblemDocument,
} from '@borough/contracts';
import { type Clock } from './clock.js';
import { type EndSignal } from './closing.js';
import { Deadline } from './deadline.js';
import { type Fetch, type FetchAnswer } from './fetch.js';

/** A request as it goes to whichever router, the same at every try. */
export interface CallRequest {
  readonly method: 'GET' | 'POST';
  /** With its parameters filled in and with its query; starts with `/`. */
  readonly path: string;
  /** The traffic tag to send; undefined when the path holds an id that is one. */
  readonly tag?: string | undefined;
  /** JSON text; only for POST. */
  readonly body?: string | undefined;
  /** Every POST has one. */
  readonly idempotencyKey?: string | undefined;
}

export type TryOutcome =
  | { readonly kind: 'answered'; readonly status: number; readonly body: unknown; readonly tableVersion?: number }
  | {
      readonly kind: 'refused';
      readonly problem: ProblemDocument;
      readonly tableVersion?: number;
      /** A lower bound on the pause that the server asks for, in ms; 0 when it asks for none. */
      readonly retryAfterMs: number;
      /** A zone said it, which knows the fate of the key; not a router on the way. */
      readonly isOfZone: boolean;
      /** The change may have been made all the same. */
      readonly mayHaveHappened: boolean;
    }
  /** No answer of ours: no connection, a broken one, no answer in time, or somebody else on the way who answered. */
  | { readonly kind: 'unreachable'; readonly error: unknown; readonly mayHaveHappened: boolean };

/** What Node says when the request never left. Browsers do not say, so there everything may have arrived. */
const NEVER_SENT: ReadonlySet<string> = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'UND_ERR_CONNECT_TIMEOUT',
]);

/** Of the problems that may be tried again, those that leave the outcome open. Codes that are not known yet do too. */
const LEAVE_OPEN: ReadonlySet<string> = new Set(['outcome-unknown', 'internal-error']);

/**
 * Sends the request and reads the whole answer.
 *
 * @param router base URL, without a slash at the end
 * @param tryMs how long this router gets, its body included
 */
export async function tryOnce(
  { fetch, clock, tryMs }: { readonly fetch: Fetch; readonly clock: Clock; readonly tryMs: number },
  router: string,
  request: CallRequest,
  signal: EndSignal,
): Promise<TryOutcome> {
  const bound = new Deadline(clock, tryMs, [signal]);
  try {
    const answer = await fetch(`${router}${request.path}`, {
      method: request.method,
      headers: headersOf(request),
      ...(request.body === undefined ? {} : { body: request.body }),
      signal: bound.signal,
      cache: 'no-store',
    });
    return outcomeOf(request, answer, parsedJson(await answer.text()), clock.nowMs());
  } catch (error) {
    return {
      kind: 'unreachable',
      error: bound.isTimeUp ? new Error(`no answer within ${tryMs} ms`, { cause: error }) : error,
      mayHaveHappened: request.method === 'POST' && !wasNeverSent(error),
    };
  } finally {
    bound.end();
  }
}

/** No header on a read but where it must be: each would cost a browser a preflight request. */
function headersOf({ tag, body, idempotencyKey }: CallRequest): Record<string, string> {
  return {
    ...(tag === undefined ? {} : { [TRAFFIC_TAG_HEADER]: tag }),
    ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    ...(idempotencyKey === undefined ? {} : { [IDEMPOTENCY_KEY_HEADER]: idempotencyKey }),
  };
}

function outcomeOf(request: CallRequest, answer: FetchAnswer, body: unknown, nowMs: number): TryOutcome {
  const version = Number(answer.headers.get(TABLE_VERSION_HEADER) ?? Number.NaN);
  const seen = Number.isSafeInteger(version) ? { tableVersion: version } : {};
  if (answer.ok && body !== undefined) return { kind: 'answered', status: answer.status, body, ...seen };
  const reading = problemDocument.safeParse(body);
  const isUnsafe = request.method === 'POST';
  if (answer.ok || !reading.success) {
    // A proxy's error page, a hotel's log-in page: Borough has not spoken, so there is no rule to go by.
    const error = new Error(`status ${answer.status}, and neither an answer nor a problem document`);
    return { kind: 'unreachable', error, mayHaveHappened: isUnsafe };
  }
  const problem = reading.data;
  return {
    kind: 'refused',
    problem,
    ...seen,
    retryAfterMs: retryAfterMs(answer.headers.get('retry-after'), nowMs),
    isOfZone: answer.headers.get(ZONE_HEADER) !== null,
    mayHaveHappened:
      isUnsafe && problem.retry !== 'never' && (LEAVE_OPEN.has(problem.code) || !(problem.code in PROBLEMS)),
  };
}

/** Seconds, as every part of ours sends it, or a date, as something on the way may. */
function retryAfterMs(header: string | null, nowMs: number): number {
  if (header === null || header.trim() === '') return 0;
  const seconds = Number(header);
  const ms = Number.isNaN(seconds) ? Date.parse(header) - nowMs : seconds * 1000;
  return Number.isFinite(ms) && ms > 0 ? ms : 0;
}

function parsedJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

/** Node keeps the system's code one level down. */
function wasNeverSent(error: unknown): boolean {
  const candidates = [error, error instanceof Error ? error.cause : undefined];
  return candidates.some(
    (candidate) =>
      candidate instanceof Error &&
      'code' in candidate &&
      typeof candidate.code === 'string' &&
      NEVER_SENT.has(candidate.code),
  );
}
