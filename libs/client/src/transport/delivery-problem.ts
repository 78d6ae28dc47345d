import { type ProblemDocument, type RetryRule } from '@borough/contracts';

/** What the SDK itself can say, besides the codes of the servers. */
const CLIENT_PROBLEMS = {
  /** The deadline of the call passed. `cause` is the last that a server said, or else why none could be reached. */
  'deadline-exceeded': { title: 'The call did not end in time', retry: 'same-request-later' },
  /** The caller's own signal ended the call. `cause` is the signal's reason. */
  aborted: { title: 'The call was called off', retry: 'same-request-later' },
  /** `close` ended the call, or came before it. */
  'client-closed': { title: 'The client is closed', retry: 'same-request-later' },
  /** No router could be reached, or what answered was no router. Only ever the `cause` of another problem. */
  'router-unreachable': { title: 'No router answered', retry: 'same-request-later' },
  /** A good answer that does not fit the contract: the server is of another release. The call *was* carried out. */
  'answer-not-understood': { title: 'The answer does not fit the contract', retry: 'never' },
} as const satisfies Record<string, { title: string; retry: RetryRule }>;

export type ClientProblemCode = keyof typeof CLIENT_PROBLEMS;

export interface DeliveryProblemFacts {
  readonly title: string;
  readonly status?: number | undefined;
  readonly detail?: string | undefined;
  readonly requestId?: string | undefined;
  readonly facts?: Readonly<Record<string, unknown>> | undefined;
  readonly isOutcomeUnknown?: boolean | undefined;
  readonly idempotencyKey?: string | undefined;
  readonly cause?: unknown;
}

/** Every way in which a call of the SDK can fail. Act on `code`, `retry` and `isOutcomeUnknown`, never on texts. */
export class DeliveryProblem extends Error {
  override readonly name = 'DeliveryProblem';
  /** The HTTP status; undefined when the SDK itself says it. */
  readonly status: number | undefined;
  /** For people. */
  readonly detail: string | undefined;
  /** Of the request that was refused, for the logs of the servers. */
  readonly requestId: string | undefined;
  /** The further members of the problem document, such as `errors` or `shard`. */
  readonly facts: Readonly<Record<string, unknown>>;
  /**
   * The change may have happened, or may happen yet. Only the same call with the same key settles it:
   * `resumePending()`, or the call once more with this `idempotencyKey`. Never true of a read.
   */
  readonly isOutcomeUnknown: boolean;
  /** The key of the call; undefined for a read. */
  readonly idempotencyKey: string | undefined;

  /**
   * @param code of `PROBLEMS` in the contracts, a `ClientProblemCode`, or one that a newer server knows
   * @param retry what may be done about it; the SDK has done it already, until its deadline
   */
  constructor(
    readonly code: string,
    readonly retry: RetryRule,
    { title, status, detail, requestId, facts, isOutcomeUnknown, idempotencyKey, cause }: DeliveryProblemFacts,
  ) {
    super(detail === undefined ? title : `${title}: ${detail}`, cause === undefined ? undefined : { cause });
    this.status = status;
    this.detail = detail;
    this.requestId = requestId;
    this.facts = facts ?? {};
    this.isOutcomeUnknown = isOutcomeUnknown ?? false;
    this.idempotencyKey = idempotencyKey;
  }
}

/** A problem document of a server, as an error. */
export function problemOf(
  document: ProblemDocument,
  more: Pick<DeliveryProblemFacts, 'isOutcomeUnknown' | 'idempotencyKey'> = {},
): DeliveryProblem {
  const { title, status, code, retry, detail, requestId, ...facts } = document;
  return new DeliveryProblem(code, retry, { title, status, detail, requestId, facts, ...more });
}

/** Something the SDK itself has to say. */
export function clientProblem(
  code: ClientProblemCode,
  more: Omit<DeliveryProblemFacts, 'title' | 'status'> = {},
): DeliveryProblem {
  const { title, retry } = CLIENT_PROBLEMS[code];
  return new DeliveryProblem(code, retry, { title, ...more });
}
