import { type Clock } from './clock.js';
import { type EndSignal } from './closing.js';

/**
 * A bound in time that also ends with any of the signals it was made of.
 *
 * Not `AbortSignal.any` and `AbortSignal.timeout`: React Native has neither, and Node 20 keeps something of each joined
 * signal for as long as the longest-lived one.
 */
export class Deadline {
  readonly #controller = new AbortController();
  readonly #clock: Clock;
  readonly #outer: readonly EndSignal[];
  readonly #endsAtMs: number;
  readonly #callOff: () => void;
  #isTimeUp = false;

  /** @param ms from now */
  constructor(clock: Clock, ms: number, outer: readonly (EndSignal | undefined)[] = []) {
    this.#clock = clock;
    this.#outer = outer.filter((signal) => signal !== undefined);
    this.#endsAtMs = clock.nowMs() + ms;
    this.#callOff = clock.after(ms, () => {
      this.#isTimeUp = true;
      this.end();
    });
    for (const signal of this.#outer) signal.addEventListener('abort', this.end);
    if (this.#outer.some((signal) => signal.aborted)) this.end();
  }

  /** Aborts when the time is up, when one of the outer signals does, or at `end`. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** It ended because the time was up. */
  get isTimeUp(): boolean {
    return this.#isTimeUp;
  }

  get leftMs(): number {
    return this.signal.aborted ? 0 : Math.max(0, this.#endsAtMs - this.#clock.nowMs());
  }

  /** Ends it now, and lets go of timer and signals. Must be called once whatever it bounds is over. */
  readonly end = (): void => {
    this.#callOff();
    for (const signal of this.#outer) signal.removeEventListener('abort', this.end);
    this.#controller.abort();
  };
}
