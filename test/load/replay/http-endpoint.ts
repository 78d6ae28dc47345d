/**
 * One HTTP server of the cluster as the replay sees it: keep-alive connections, bounded in number and time, and every
 * way a request can end as a value.
 */
import { PROBLEM_TYPE_PREFIX, PROBLEMS, ZONE_HEADER, type ProblemCode } from '@borough/contracts';
import { Pool } from 'undici';

const CONNECT_MAX_MS = 5_000;
/** Above the longest hold a router may ask for; past it the outcome is unknown. */
const ANSWER_MAX_MS = 30_000;

export type Answer =
  | { readonly kind: 'ok'; readonly status: number; readonly body: unknown; readonly zoneId: string | undefined }
  /** The server said no: `code` is the problem's, or undefined when the answer was no problem document. */
  | { readonly kind: 'refused'; readonly status: number; readonly code: string | undefined; readonly detail: string }
  /** No whole answer came: whether the request had an effect is not known. */
  | { readonly kind: 'broken'; readonly code: string };

export class HttpEndpoint {
  readonly #pool: Pool;

  /** @param connections most connections, and so most requests on the wire at once */
  constructor(
    readonly url: string,
    connections: number,
  ) {
    this.#pool = new Pool(url, {
      connections,
      pipelining: 1,
      connect: { timeout: CONNECT_MAX_MS },
      headersTimeout: ANSWER_MAX_MS,
      bodyTimeout: ANSWER_MAX_MS,
    });
  }

  get(path: string, headers: Readonly<Record<string, string>> = {}): Promise<Answer> {
    return this.#answer('GET', path, headers, null);
  }

  post(path: string, headers: Readonly<Record<string, string>>, json: string): Promise<Answer> {
    return this.#answer('POST', path, { ...headers, 'content-type': 'application/json' }, json);
  }

  /** Ends the connections; requests still out are broken off. */
  async close(): Promise<void> {
    await this.#pool.destroy();
  }

  async #answer(
    method: 'GET' | 'POST',
    path: string,
    headers: Readonly<Record<string, string>>,
    json: string | null,
  ): Promise<Answer> {
    try {
      const response = await this.#pool.request({ method, path, headers, body: json });
      const text = await response.body.text();
      if (response.statusCode < 200 || response.statusCode >= 300) return refusal(response.statusCode, text);
      const zoneId = response.headers[ZONE_HEADER];
      return {
        kind: 'ok',
        status: response.statusCode,
        body: JSON.parse(text) as unknown,
        zoneId: typeof zoneId === 'string' ? zoneId : undefined,
      };
    } catch (error) {
      return { kind: 'broken', code: breakCode(error) };
    }
  }
}

/** How the answer is counted: `http 503 zone-unavailable`, `http 502`, `ECONNRESET`. */
export function errorCode(answer: Exclude<Answer, { kind: 'ok' }>): string {
  if (answer.kind === 'broken') return answer.code;
  return answer.code === undefined ? `http ${answer.status}` : `http ${answer.status} ${answer.code}`;
}

/** Whether the same request, with the same key, may succeed later. */
export function isWorthRetrying(answer: Exclude<Answer, { kind: 'ok' }>): boolean {
  if (answer.kind === 'broken') return true;
  return isProblemCode(answer.code) ? PROBLEMS[answer.code].retry !== 'never' : answer.status >= 500;
}

function isProblemCode(code: string | undefined): code is ProblemCode {
  return code !== undefined && Object.hasOwn(PROBLEMS, code);
}

function refusal(status: number, text: string): Answer {
  const problem = asRecord(text);
  const code = textOf(problem['code']) ?? codeOfType(textOf(problem['type']));
  return { kind: 'refused', status, code, detail: textOf(problem['detail']) ?? textOf(problem['title']) ?? '' };
}

function asRecord(text: string): Readonly<Record<string, unknown>> {
  try {
    const parsed: unknown = JSON.parse(text);
    return typeof parsed === 'object' && parsed !== null ? (parsed as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}

function codeOfType(type: string | undefined): string | undefined {
  return type?.startsWith(PROBLEM_TYPE_PREFIX) ? type.slice(PROBLEM_TYPE_PREFIX.length) : undefined;
}

/** The system's or undici's code of what broke; what a connection pool wraps is looked for one level down. */
function breakCode(error: unknown): string {
  if (error instanceof SyntaxError) return 'answer-not-json';
  for (const candidate of [error, error instanceof Error ? error.cause : undefined]) {
    if (candidate instanceof AggregateError && candidate.errors[0] !== undefined) return breakCode(candidate.errors[0]);
    if (candidate instanceof Error && 'code' in candidate && typeof candidate.code === 'string') return candidate.code;
  }
  return error instanceof Error ? error.name : 'unknown';
}
