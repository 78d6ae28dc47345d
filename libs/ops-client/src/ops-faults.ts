import { type ProblemDocument } from '@borough/contracts';

/** One try at one coordinator that did not do what was asked. */
export interface FailedTry {
  readonly coordinator: string;
  /** In words: `connection refused (ECONNREFUSED)`, or the title and detail of its problem. */
  readonly what: string;
  /** The problem it answered with; absent when no whole answer came. */
  readonly problem?: ProblemDocument;
}

/** A coordinator said no, and the same request will not succeed later: change it, or what it is about. */
export class OpsRefused extends Error {
  override readonly name = 'OpsRefused';

  /**
   * @param problem with `retry: 'never'`; the facts of its code stand as further members
   * @param coordinator the URL of who said it
   */
  constructor(
    readonly problem: ProblemDocument,
    readonly coordinator: string,
  ) {
    super(problem.detail === undefined ? problem.title : `${problem.title}: ${problem.detail}`);
  }
}

/** Within the deadline no coordinator carried the request out: none could be reached, none leads, or none has a majority. */
export class NoCoordinator extends Error {
  override readonly name = 'NoCoordinator';

  /**
   * @param failedTries the last one at each coordinator that was asked
   * @param mayHaveHappened a change was asked for, and at least one coordinator may have begun it without telling us.
   *   The same request with the same Idempotency-Key settles it.
   */
  constructor(
    readonly failedTries: readonly FailedTry[],
    readonly deadlineMs: number,
    readonly mayHaveHappened: boolean,
  ) {
    const tries = failedTries.map(({ coordinator, what }) => `${coordinator}: ${what}`).join('; ');
    super(`No coordinator did it within ${deadlineMs} ms (${tries})`);
  }
}

/** A coordinator answered something that is not in the contract: probably another release than ours, or no coordinator. */
export class AnswerNotUnderstood extends Error {
  override readonly name = 'AnswerNotUnderstood';

  /** @param what what is wrong with the answer, in words */
  constructor(
    readonly coordinator: string,
    readonly what: string,
  ) {
    super(`${coordinator} gave an answer that this release does not understand: ${what}`);
  }
}
