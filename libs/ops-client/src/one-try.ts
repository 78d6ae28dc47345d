/** One request to one coordinator, and every way it can end as a value. */
import { problemDocument, type ProblemDocument } from '@borough/contracts';
import { type FailedTry } from './ops-faults.js';

export interface OpsRequest {
  readonly method: 'GET' | 'POST';
  /** With its parameters filled in, starting with `/`, and with its query. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  /** JSON text; only for POST. */
  readonly body?: string;
}

export type TryOutcome =
  | { readonly kind: 'answered'; readonly body: unknown }
  /** The problem's `retry` says never. */
  | { readonly kind: 'refused'; readonly problem: ProblemDocument }
  | { readonly kind: 'not-understood'; readonly what: string }
  /** Another coordinator, or the same one later, may do it. */
  | {
      readonly kind: 'failed';
      readonly failedTry: FailedTry;
      /** The coordinator may have done it all the same. */
      readonly mayHaveHappened: boolean;
      readonly retryAfterMs: number;
    };

/** Problems after which it is certain that the coordinator did nothing. */
const NOTHING_HAPPENED: ReadonlySet<string> = new Set(['not-leader']);

/** What the system says when the request never left: nobody listens, no such host, no way there. */
const NEVER_SENT: ReadonlySet<string> = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'UND_ERR_CONNECT_TIMEOUT',
]);

/**
 * Sends the request and reads the whole answer.
 *
 * @param coordinator base URL
 * @param signal bounds the try, its body included
 */
export async function tryOnce(coordinator: string, request: OpsRequest, signal: AbortSignal): Promise<TryOutcome> {
  let response: Response;
  let text: string;
  try {
    response = await fetch(urlAt(coordinator, request.path), {
      method: request.method,
      headers: { accept: 'application/json', ...request.headers },
      ...(request.body === undefined ? {} : { body: request.body }),
      signal,
    });
    text = await response.text();
  } catch (error) {
    return broken(coordinator, request, error);
  }
  const body = parsedJson(text);
  if (response.ok) {
    return body === undefined
      ? { kind: 'not-understood', what: `status ${response.status} without a JSON body` }
      : { kind: 'answered', body };
  }
  return refusal(coordinator, request, response, body);
}

/** The address of a path at a coordinator, which may itself stand below a path. */
export function urlAt(coordinator: string, path: string): string {
  return `${coordinator.replace(/\/+$/, '')}${path}`;
}

/** What broke a request, in words for people. */
export function wordsOfBreak(error: unknown): string {
  const code = codeOfBreak(error);
  if (isTimeout(error)) return 'no answer in time';
  if (code === 'ECONNREFUSED') return `nobody listens there (${code})`;
  if (code !== undefined) return `the connection failed (${code})`;
  return error instanceof Error ? error.message : 'the connection failed';
}

function broken(coordinator: string, request: OpsRequest, error: unknown): TryOutcome {
  const code = codeOfBreak(error);
  return {
    kind: 'failed',
    failedTry: { coordinator, what: wordsOfBreak(error) },
    mayHaveHappened: request.method === 'POST' && !(code !== undefined && NEVER_SENT.has(code)),
    retryAfterMs: 0,
  };
}

function refusal(coordinator: string, request: OpsRequest, response: Response, body: unknown): TryOutcome {
  const reading = problemDocument.safeParse(body);
  if (reading.success && reading.data.retry === 'never') return { kind: 'refused', problem: reading.data };
  // Without a problem it was not a coordinator that spoke, but something on the way. Below 500 that is a wrong address.
  if (!reading.success && response.status < 500 && response.status !== 429) {
    return { kind: 'not-understood', what: `status ${response.status} without a problem document` };
  }
  const problem = reading.success ? reading.data : undefined;
  const what = problem === undefined ? `status ${response.status}` : wordsOfProblem(problem.title, problem.detail);
  return {
    kind: 'failed',
    failedTry: { coordinator, what, ...(problem === undefined ? {} : { problem }) },
    mayHaveHappened: request.method === 'POST' && !NOTHING_HAPPENED.has(problem?.code ?? ''),
    retryAfterMs: retryAfterMs(response.headers.get('retry-after')),
  };
}

function wordsOfProblem(title: string, detail: string | undefined): string {
  return detail === undefined ? title : `${title}: ${detail}`;
}

/** In seconds only, as every part of ours sends it. */
function retryAfterMs(header: string | null): number {
  const seconds = Number(header ?? '');
  return Number.isFinite(seconds) && seconds > 0 ? seconds * 1000 : 0;
}

function parsedJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

/** A bound of ours ended it, not the other side. */
export function isTimeout(error: unknown): boolean {
  return error instanceof Error && error.name === 'TimeoutError';
}

/** Node keeps the system's code one level down, in browsers there is none. */
function codeOfBreak(error: unknown): string | undefined {
  for (const candidate of [error, error instanceof Error ? error.cause : undefined]) {
    if (candidate instanceof Error && 'code' in candidate && typeof candidate.code === 'string') return candidate.code;
  }
  return undefined;
}
