import { type EndSignal } from './closing.js';

/** Time as the SDK needs it. A port, so that a test can stand a day later. */
export interface Clock {
  /** Ms since 1970. */
  nowMs(): number;
  /**
   * Does `work` once, `ms` from now.
   *
   * @returns what calls it off
   */
  after(ms: number, work: () => void): () => void;
}

/** The time of the device. */
export const systemClock: Clock = {
  nowMs: () => Date.now(),
  after: (ms, work) => {
    const timer = setTimeout(work, ms);
    return () => {
      clearTimeout(timer);
    };
  },
};

/** Waits, but no longer than until the signal; never throws. */
export async function pause(clock: Clock, ms: number, signal: EndSignal): Promise<void> {
  if (ms <= 0 || signal.aborted) return;
  await new Promise<void>((resolve) => {
    const done = () => {
      callOff();
      signal.removeEventListener('abort', done);
      resolve();
    };
    const callOff = clock.after(ms, done);
    signal.addEventListener('abort', done);
  });
}

/** What the work gives, or undefined when the signal comes first; the work then goes on unheard. */
export async function unlessEnded<T>(work: Promise<T>, signal: EndSignal): Promise<T | undefined> {
  if (signal.aborted) {
    work.catch(() => undefined);
    return undefined;
  }
  return new Promise<T | undefined>((resolve, reject) => {
    const ended = () => {
      resolve(undefined);
    };
    signal.addEventListener('abort', ended);
    work.then(resolve, reject).finally(() => {
      signal.removeEventListener('abort', ended);
    });
  });
}
