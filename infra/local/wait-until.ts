import { setTimeout as sleep } from 'node:timers/promises';

export interface WaitBounds {
  withinMs: number;
  everyMs?: number;
  signal?: AbortSignal | undefined;
}

/**
 * Asks until the answer is yes.
 *
 * @returns false when `withinMs` have passed without a yes
 * @throws whatever `isTrue` throws, and the signal's reason once it is aborted
 */
export async function waitUntil(isTrue: () => boolean | Promise<boolean>, bounds: WaitBounds): Promise<boolean> {
  const until = Date.now() + bounds.withinMs;
  for (;;) {
    bounds.signal?.throwIfAborted();
    if (await isTrue()) return true;
    if (Date.now() >= until) return false;
    await sleep(bounds.everyMs ?? 25);
  }
}
