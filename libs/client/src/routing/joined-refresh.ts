import { type EndSignal } from '../transport/closing.js';
import { pause, type Clock } from '../transport/clock.js';

/**
 * Fetches something again for many askers at once, at a bounded rate.
 *
 * Whoever asks gets a fetch that *begins* after the asking: one that is under way may have read too early. All who ask
 * before it begins share it.
 */
export class JoinedRefresh {
  readonly #fetch: () => Promise<void>;
  readonly #everyMs: number;
  readonly #clock: Clock;
  readonly #closing: EndSignal;
  #running: Promise<unknown> = Promise.resolve();
  #next: Promise<void> | undefined;
  #beganAtMs = -Infinity;

  /** @param everyMs shortest time between the beginnings of two fetches, in ms */
  constructor(fetch: () => Promise<void>, everyMs: number, clock: Clock, closing: EndSignal) {
    this.#fetch = fetch;
    this.#everyMs = everyMs;
    this.#clock = clock;
    this.#closing = closing;
  }

  /** @throws what the fetch throws, to everybody who shares it */
  now(): Promise<void> {
    this.#next ??= this.#runNext();
    return this.#next;
  }

  async #runNext(): Promise<void> {
    await this.#running;
    // The device's clock may be set back meanwhile; then this waits no longer than otherwise.
    const pauseMs = this.#beganAtMs + this.#everyMs - this.#clock.nowMs();
    await pause(this.#clock, Math.min(pauseMs, this.#everyMs), this.#closing);
    this.#beganAtMs = this.#clock.nowMs();
    this.#next = undefined;
    const fetching = this.#fetch();
    this.#running = fetching.catch(() => undefined);
    await fetching;
  }
}
