import { type Awaitable, type Storage } from './storage.js';
import { type Clock, unlessEnded } from './clock.js';
import { Deadline } from './deadline.js';

/** A store that hangs must not keep a customer from ordering. */
const STORAGE_MAX_MS = 1_000;

/**
 * The app's storage as the SDK uses it: under a prefix, bounded in time, and never in the way.
 *
 * A store that is full, broken or slow costs what it was to keep, and nothing else: each fault is told to the app, and
 * the call goes on.
 */
export class KeptTexts {
  readonly #storage: Storage;
  readonly #prefix: string;
  readonly #clock: Clock;
  readonly #onFault: (error: unknown) => void;

  /** @param storage undefined: in memory, for as long as this object lives */
  constructor(storage: Storage | undefined, prefix: string, clock: Clock, onFault: (error: unknown) => void) {
    this.#storage = storage ?? inMemory();
    this.#prefix = `${prefix}/`;
    this.#clock = clock;
    this.#onFault = onFault;
  }

  /** Undefined when there is none, or when it cannot be read. */
  async read(name: string): Promise<string | undefined> {
    return (await this.#bounded((storage) => storage.get(this.#prefix + name))) ?? undefined;
  }

  async write(name: string, text: string): Promise<void> {
    await this.#bounded((storage) => storage.set(this.#prefix + name, text));
  }

  async remove(name: string): Promise<void> {
    await this.#bounded((storage) => storage.remove(this.#prefix + name));
  }

  /** The names that start with this. */
  async names(start: string): Promise<readonly string[]> {
    const wanted = this.#prefix + start;
    const keys = (await this.#bounded((storage) => storage.keys())) ?? [];
    return [...keys].filter((key) => key.startsWith(wanted)).map((key) => key.slice(this.#prefix.length));
  }

  async #bounded<T>(work: (storage: Storage) => Awaitable<T>): Promise<T | undefined> {
    const bound = new Deadline(this.#clock, STORAGE_MAX_MS);
    try {
      const value = await unlessEnded((async () => work(this.#storage))(), bound.signal);
      if (bound.isTimeUp) throw new Error(`the storage did not answer within ${STORAGE_MAX_MS} ms`);
      return value;
    } catch (error) {
      this.#onFault(error);
      return undefined;
    } finally {
      bound.end();
    }
  }
}

function inMemory(): Storage {
  const texts = new Map<string, string>();
  return {
    get: (key) => texts.get(key),
    set: (key, value) => texts.set(key, value),
    remove: (key) => texts.delete(key),
    keys: () => texts.keys(),
  };
}
