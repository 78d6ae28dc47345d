/**
 * Ctrl-C, twice: the first ends the placing and still gives the report; a second, later one ends the program at once,
 * after `whenImpatient`'s last act.
 */

/** A terminal and npm may both pass on one Ctrl-C; signals this close together are one. */
const SAME_KEYSTROKE_MS = 1_000;

export interface Interruption {
  readonly signal: AbortSignal;
  /** @param lastAct what must still be done before the program ends at once */
  whenImpatient(lastAct: () => Promise<void>): void;
  /** Stops listening for signals. */
  forget(): void;
}

export function interruption(say: (line: string) => void): Interruption {
  const controller = new AbortController();
  let firstAtMs: number | undefined;
  let last: () => Promise<void> = () => Promise.resolve();
  const onSignal = () => {
    const nowMs = performance.now();
    if (firstAtMs === undefined) {
      firstAtMs = nowMs;
      say('\nStopping: no more orders are sent; the report follows. Press Ctrl-C again to leave without it.');
      controller.abort();
    } else if (nowMs - firstAtMs > SAME_KEYSTROKE_MS) {
      void last().finally(() => process.exit(130));
    }
  };
  process.on('SIGINT', onSignal);
  process.on('SIGTERM', onSignal);
  return {
    signal: controller.signal,
    whenImpatient: (lastAct) => {
      last = lastAct;
    },
    forget: () => {
      process.off('SIGINT', onSignal);
      process.off('SIGTERM', onSignal);
    },
  };
}
