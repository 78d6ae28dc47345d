import {
  type ProblemCode,
  type ProblemDocument,
  type ProblemKind,
  PROBLEMS,
  PROBLEM_TYPE_PREFIX,
} from '@borough/contracts';

/** What a refusal says besides its code. */
export interface ProblemFacts {
  /** For people; never parsed. */
  readonly detail?: string;
  /** Extension members of RFC 9457: `owner`, `epoch`, `errors` and the like. */
  readonly members?: Readonly<Record<string, unknown>>;
  /** Seconds until it may be tried again; sent as `Retry-After`. */
  readonly retryAfterSeconds?: number;
  readonly cause?: unknown;
}

/** A refusal with a stable code, thrown at the edge and turned into `application/problem+json` by `ProblemFilter`. */
export class Problem extends Error {
  constructor(
    readonly code: ProblemCode,
    readonly facts: ProblemFacts = {},
  ) {
    super(facts.detail ?? PROBLEMS[code].title, { cause: facts.cause });
    this.name = 'Problem';
  }

  get status(): number {
    return PROBLEMS[this.code].status;
  }
}

/** The wire form of a refusal; `title` never varies for a code. */
export function problemDocument(problem: Problem, requestId: string, instance: string): ProblemDocument {
  const kind: ProblemKind = PROBLEMS[problem.code];
  return {
    type: PROBLEM_TYPE_PREFIX + problem.code,
    title: kind.title,
    status: kind.status,
    code: problem.code,
    retry: kind.retry,
    ...(problem.facts.detail === undefined ? {} : { detail: problem.facts.detail }),
    instance,
    requestId,
    ...problem.facts.members,
  };
}
