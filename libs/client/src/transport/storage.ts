/**
 * Where the SDK keeps what must outlive the app: the routing table, and changes whose outcome is not known yet.
 *
 * A store of texts by key, shared by all tabs or processes of one app. Each pending call has a key of its own, so two
 * tabs never write to one entry and need no lock. Answers may come at once or as promises.
 *
 * `fromWebStorage` and `fromAsyncStorage` make one; over IndexedDB the functions of the package `idb-keyval` fit as
 * they are (`{ get, set, remove: del, keys }`).
 */
export interface Storage {
  /** Null or undefined when there is none. */
  get(key: string): Awaitable<string | null | undefined>;
  set(key: string, value: string): Awaitable<unknown>;
  /** No fault when there is none. */
  remove(key: string): Awaitable<unknown>;
  /** All keys there are, others' keys too. */
  keys(): Awaitable<Iterable<string>>;
}

export type Awaitable<T> = T | PromiseLike<T>;

/** As much of `localStorage` as is used. */
export interface WebStorageLike {
  readonly length: number;
  key(index: number): string | null;
  getItem(key: string): string | null;
  setItem(key: string, value: string): void;
  removeItem(key: string): void;
}

/** `localStorage` of browsers. Not `sessionStorage`: it forgets with the tab. */
export function fromWebStorage(webStorage: WebStorageLike): Storage {
  return {
    get: (key) => webStorage.getItem(key),
    set: (key, value) => {
      webStorage.setItem(key, value);
    },
    remove: (key) => {
      webStorage.removeItem(key);
    },
    keys: () =>
      Array.from({ length: webStorage.length }, (_, index) => webStorage.key(index)).filter((key) => key !== null),
  };
}

/** As much of React Native's `AsyncStorage` as is used. */
export interface AsyncStorageLike {
  getItem(key: string): Promise<string | null>;
  setItem(key: string, value: string): Promise<unknown>;
  removeItem(key: string): Promise<unknown>;
  getAllKeys(): Promise<readonly string[]>;
}

/** `AsyncStorage` of React Native. */
export function fromAsyncStorage(asyncStorage: AsyncStorageLike): Storage {
  return {
    get: (key) => asyncStorage.getItem(key),
    set: (key, value) => asyncStorage.setItem(key, value),
    remove: (key) => asyncStorage.removeItem(key),
    keys: () => asyncStorage.getAllKeys(),
  };
}
