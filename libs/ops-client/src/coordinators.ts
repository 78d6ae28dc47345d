/**
 * All coordinators as one: any may be down, and only one leads.
 *
 *     ask ──► the one that answered last ──not-leader, no connection──► the next ──► … once round, then a pause, and again
 *
 * What a coordinator refuses for good ends the search at once. Everything else is asked again, until the deadline.
 */
import pRetry from 'p-retry';
import { z } from 'zod';
import { tryOnce, type OpsRequest, type TryOutcome } from './one-try.js';
import { AnswerNotUnderstood, NoCoordinator, OpsRefused, type FailedTry } from './ops-faults.js';

/** A new leader stands within two seconds; asking more often than this finds it no sooner in a way anyone would notice. */
const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 1_000;

export interface CoordinatorSearch {
  /** How long to look for a coordinator that does it, in ms. */
  readonly deadlineMs: number;
  /** How long one coordinator gets to answer, in ms. */
  readonly tryMs: number;
}

export class Coordinators {
  readonly #urls: readonly string[];
  readonly #search: CoordinatorSearch;
  #preferred = 0;

  /** @param urls base URLs, at least one */
  constructor(urls: readonly string[], search: CoordinatorSearch) {
    this.#urls = urls;
    this.#search = search;
  }

  /** The coordinator that answered last, and is asked first. */
  get preferred(): string {
    return this.#urls[this.#preferred] ?? '';
  }

  /** Asks another one first from now on. */
  avoidPreferred(): void {
    this.#preferred = (this.#preferred + 1) % this.#urls.length;
  }

  /**
   * The answer of the first coordinator that gives one.
   *
   * The very same request goes to each, so a POST needs an Idempotency-Key.
   *
   * @param read what the answer must look like
   * @param signal ends the search with its reason
   * @throws OpsRefused, NoCoordinator, AnswerNotUnderstood
   */
  async ask<Schema extends z.ZodType>(
    request: OpsRequest,
    read: Schema,
    signal?: AbortSignal,
  ): Promise<z.output<Schema>> {
    const deadline = AbortSignal.timeout(this.#search.deadlineMs);
    let mayHaveHappened = false;
    const lastTries = new Map<string, FailedTry>();
    try {
      const body = await pRetry(() => this.#round(request, deadline, signal), {
        retries: Number.POSITIVE_INFINITY,
        minTimeout: FIRST_PAUSE_MS,
        maxTimeout: LONGEST_PAUSE_MS,
        randomize: true,
        maxRetryTime: this.#search.deadlineMs,
        signal,
        shouldRetry: ({ error }) => error instanceof RoundFailed && !deadline.aborted,
        onFailedAttempt: async ({ error }) => {
          if (!(error instanceof RoundFailed)) return;
          mayHaveHappened ||= error.mayHaveHappened;
          for (const failedTry of error.failedTries) {
            // A try that the deadline cut off says less than the one before it.
            if (!deadline.aborted || !lastTries.has(failedTry.coordinator)) {
              lastTries.set(failedTry.coordinator, failedTry);
            }
          }
          await pause(error.retryAfterMs, deadline, signal);
        },
      });
      return this.#understood(read, body);
    } catch (error) {
      if (error instanceof RoundFailed) {
        throw new NoCoordinator([...lastTries.values()], this.#search.deadlineMs, mayHaveHappened);
      }
      throw error;
    }
  }

  async #round(request: OpsRequest, deadline: AbortSignal, signal: AbortSignal | undefined): Promise<unknown> {
    const failed: Extract<TryOutcome, { kind: 'failed' }>[] = [];
    const first = this.#preferred;
    for (let step = 0; step < this.#urls.length && !deadline.aborted; step += 1) {
      const index = (first + step) % this.#urls.length;
      const url = this.#urls[index] ?? '';
      const bounds = [deadline, AbortSignal.timeout(this.#search.tryMs), ...(signal === undefined ? [] : [signal])];
      const outcome = await tryOnce(url, request, AbortSignal.any(bounds));
      signal?.throwIfAborted();
      switch (outcome.kind) {
        case 'answered':
          this.#preferred = index;
          return outcome.body;
        case 'refused':
          throw new OpsRefused(outcome.problem, url);
        case 'not-understood':
          throw new AnswerNotUnderstood(url, outcome.what);
        case 'failed':
          failed.push(outcome);
      }
    }
    throw new RoundFailed(
      failed.map(({ failedTry }) => failedTry),
      failed.some((outcome) => outcome.mayHaveHappened),
      failed.length === 0 ? 0 : Math.min(...failed.map((outcome) => outcome.retryAfterMs)),
    );
  }

  #understood<Schema extends z.ZodType>(read: Schema, body: unknown): z.output<Schema> {
    const reading = read.safeParse(body);
    if (reading.success) return reading.data;
    throw new AnswerNotUnderstood(this.preferred, z.prettifyError(reading.error));
  }
}

class RoundFailed extends Error {
  constructor(
    readonly failedTries: readonly FailedTry[],
    readonly mayHaveHappened: boolean,
    /** The shortest wait that a coordinator asked for; 0 when one asked for none. */
    readonly retryAfterMs: number,
  ) {
    super('no coordinator of this round did it');
  }
}

/** Waits, but no longer than until one of the signals; never throws. */
export async function pause(ms: number, ...signals: (AbortSignal | undefined)[]): Promise<void> {
  const enders = signals.filter((signal) => signal !== undefined);
  if (ms <= 0 || enders.some((signal) => signal.aborted)) return;
  await new Promise<void>((resolve) => {
    const done = () => {
      clearTimeout(timer);
      for (const signal of enders) signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    for (const signal of enders) signal.addEventListener('abort', done, { once: true });
  });
}
