import { setTimeout as sleep } from 'node:timers/promises';

/**
 * Fetches something again for many askers at once, at a bounded rate.
 *
 * Whoever asks gets a fetch that *begins* after the asking: one that is under way may have read too early to hold what
 * the asker misses. All who ask before it begins share it.
 */
export class JoinedRefresh {
  private running: Promise<unknown> = Promise.resolve();
  private next: Promise<void> | undefined;
  private beganAtMs = -Infinity;

  /** @param everyMs shortest time between the beginnings of two fetches, in ms */
  constructor(
    private readonly fetch: () => Promise<void>,
    private readonly everyMs: number,
  ) {}

  /** @throws what the fetch throws, to everybody who shares it */
  now(): Promise<void> {
    this.next ??= this.runNext();
    return this.next;
  }

  private async runNext(): Promise<void> {
    await this.running;
    const pauseMs = this.everyMs - (performance.now() - this.beganAtMs);
    if (pauseMs > 0) await sleep(pauseMs);
    this.beganAtMs = performance.now();
    this.next = undefined;
    const fetching = this.fetch();
    this.running = fetching.catch(() => undefined);
    await fetching;
  }
}
