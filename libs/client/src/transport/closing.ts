/** As much of an `AbortSignal` as is used here. */
export interface EndSignal {
  readonly aborted: boolean;
  addEventListener(type: 'abort', listener: () => void): void;
  removeEventListener(type: 'abort', listener: () => void): void;
}

/**
 * The end of a client, for all that it has under way.
 *
 * An `AbortSignal` in all but name: Node takes more than ten listeners of a real one for a leak and says so, and a
 * client may well have a hundred calls under way.
 */
export class Closing implements EndSignal {
  readonly #listeners = new Set<() => void>();
  #isClosed = false;

  get aborted(): boolean {
    return this.#isClosed;
  }

  addEventListener(_type: 'abort', listener: () => void): void {
    this.#listeners.add(listener);
  }

  removeEventListener(_type: 'abort', listener: () => void): void {
    this.#listeners.delete(listener);
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    // A listener that removes itself, or another one, is not called twice nor skipped.
    for (const listener of [...this.#listeners]) if (this.#listeners.delete(listener)) listener();
  }
}
