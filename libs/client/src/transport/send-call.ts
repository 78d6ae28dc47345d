import { type z } from 'zod';
import { clientProblem, problemOf, type DeliveryProblem } from './delivery-problem.js';
import { pause, unlessEnded, type Clock } from './clock.js';
import { type EndSignal } from './closing.js';
import { Deadline } from './deadline.js';
import { type Fetch } from './fetch.js';
import { tryOnce, type CallRequest, type TryOutcome } from './one-try.js';
import { readAnswer } from './read-answer.js';
import { nextStep } from './retry.js';

/** What the way to the owner knows of routers; `routing/` has it. */
export interface Way {
  /** Base URLs, the best one first; at least one. Asked anew before every try. */
  routersFor(request: CallRequest): readonly string[];
  /** An answer came from this router, and said how new its table is. */
  heardFrom(router: string, tableVersion: number | undefined): void;
  /** Nothing came from this router. */
  lost(router: string): void;
  /** Ends when the routing table was fetched after this call; never throws. */
  refresh(): Promise<void>;
}

export interface Transport {
  readonly fetch: Fetch;
  readonly clock: Clock;
  /** From 0 to 1. */
  readonly random: () => number;
  readonly way: Way;
  /** How long one router gets, in ms. */
  readonly tryMs: number;
  /** How long a call gets, in ms, unless it says otherwise. */
  readonly deadlineMs: number;
  /** Aborts when the client is closed. */
  readonly closing: EndSignal;
}

export interface CallBounds {
  readonly signal?: AbortSignal | undefined;
  readonly deadlineMs?: number | undefined;
  /** The same request was sent before this call, and nobody knows what became of it. */
  readonly mayHaveHappened?: boolean | undefined;
}

/**
 * The story of a call: the best router → sent → answered, or again by the rule of what came, until the deadline.
 *
 * The request is the same at each try, its key included, so however often it arrives it has one effect.
 *
 * @param answer what a good answer looks like
 * @throws DeliveryProblem
 */
export async function sendCall<Schema extends z.ZodType>(
  transport: Transport,
  request: CallRequest,
  answer: Schema,
  { signal, deadlineMs, mayHaveHappened = false }: CallBounds,
): Promise<z.output<Schema>> {
  const { clock, random, way, closing } = transport;
  const boundMs = deadlineMs ?? transport.deadlineMs;
  const deadline = new Deadline(clock, boundMs, [signal, closing]);
  // A frozen router must leave time for another one.
  const oneTry = { ...transport, tryMs: Math.min(transport.tryMs, boundMs / 2) };
  const failedSincePause = new Set<string>();
  let pauses = 0;
  let refreshes = 0;
  let isOpen = mayHaveHappened;
  let lastFailure: DeliveryProblem | undefined;
  const ended = (): DeliveryProblem => {
    const facts = { isOutcomeUnknown: isOpen, idempotencyKey: request.idempotencyKey };
    if (closing.aborted) return clientProblem('client-closed', { ...facts, cause: lastFailure });
    if (signal?.aborted === true) return clientProblem('aborted', { ...facts, cause: signal.reason });
    return clientProblem('deadline-exceeded', { ...facts, detail: lastFailure?.message, cause: lastFailure });
  };

  try {
    for (;;) {
      if (deadline.signal.aborted) throw ended();
      const routers = way.routersFor(request);
      const router = routers.find((candidate) => !failedSincePause.has(candidate)) ?? routers[0] ?? '';
      const outcome = await tryOnce(oneTry, router, request, deadline.signal);
      tell(way, router, outcome, deadline);

      if (outcome.kind === 'answered') return readAnswer(answer, outcome.body, outcome.status, request);
      if (outcome.kind === 'refused' && outcome.problem.retry === 'never') {
        // A zone would have repeated the first answer, had there been one; a router on the way cannot know.
        const isOutcomeUnknown = isOpen && !outcome.isOfZone;
        throw problemOf(outcome.problem, { isOutcomeUnknown, idempotencyKey: request.idempotencyKey });
      }
      isOpen ||= outcome.mayHaveHappened;
      if (outcome.kind === 'refused' || lastFailure?.status === undefined) lastFailure = failureOf(outcome);
      failedSincePause.add(router);

      const isAnotherLeft = routers.some((candidate) => !failedSincePause.has(candidate));
      const step = nextStep(outcome, { pauses, refreshes, isAnotherLeft }, random);
      if (step.kind === 'over') throw lastFailure;
      if (step.mustRefresh) {
        refreshes += 1;
        await unlessEnded(way.refresh(), deadline.signal);
      }
      // To wait for what comes too late helps nobody.
      if (step.pauseMs >= deadline.leftMs) throw ended();
      if (step.pauseMs > 0) pauses += 1;
      await pause(clock, step.pauseMs, deadline.signal);
      // The one that failed last stays the last choice; the others have had their pause.
      if (!isAnotherLeft) failedSincePause.clear();
    }
  } finally {
    deadline.end();
  }
}

function tell(way: Way, router: string, outcome: TryOutcome, deadline: Deadline): void {
  if (outcome.kind !== 'unreachable') way.heardFrom(router, outcome.tableVersion);
  // A try that the call itself cut short says nothing about the router.
  else if (!deadline.signal.aborted) way.lost(router);
}

function failureOf(outcome: Exclude<TryOutcome, { kind: 'answered' }>): DeliveryProblem {
  if (outcome.kind === 'refused') return problemOf(outcome.problem);
  const { error } = outcome;
  return clientProblem('router-unreachable', { detail: wordsOf(error), cause: error });
}

/** Node says `fetch failed`, and why one level down. */
function wordsOf(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  const { message, cause } = error;
  return cause instanceof Error && cause.message !== '' ? `${message}: ${cause.message}` : message;
}
