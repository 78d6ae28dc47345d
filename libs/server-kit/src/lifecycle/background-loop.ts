import { setTimeout as sleep } from 'node:timers/promises';
import { type Logger } from '../observe/logger.js';

export interface BackgroundLoopOptions {
  readonly name: string;
  /** Pause between the end of one round and the start of the next, in ms. */
  readonly intervalMs: number | (() => number);
  /** Longest pause after failures in a row, in ms; it doubles from `intervalMs` up to this. */
  readonly maxPauseMs: number;
  /** Adds up to this share of the pause by chance (0 to 1), so that many processes do not ask at once. */
  readonly jitter?: number;
  /** One round; a throw is counted and backed off from, and never ends the loop. */
  readonly round: (signal: AbortSignal) => Promise<void>;
  readonly logger: Logger;
  /** Whether a failure is part of a normal start, as when the others are not up yet; it is then news, not a warning. */
  readonly isStarting?: () => boolean;
}

/**
 * Something done again and again until the process stops.
 *
 * A failing round is said once when it starts to fail and once when it works again, not every time: a zone that is
 * away for an hour is two lines.
 */
export class BackgroundLoop {
  private readonly abort = new AbortController();
  private failures = 0;
  private running: Promise<void> | undefined;
  private wakeUp = new AbortController();

  constructor(private readonly options: BackgroundLoopOptions) {}

  start(): void {
    this.running ??= this.run();
  }

  /** Ends the pause now, if one is on. */
  wake(): void {
    this.wakeUp.abort();
  }

  /** Ends the loop; resolves when the round under way has ended. */
  async stop(): Promise<void> {
    this.abort.abort();
    this.wakeUp.abort();
    await this.running;
  }

  private async run(): Promise<void> {
    const { signal } = this.abort;
    while (!signal.aborted) {
      this.wakeUp = new AbortController();
      await this.round(signal);
      // `stop` ends it too. Not `AbortSignal.any` with the loop's own signal: Node 20 keeps something of each for ever.
      await sleep(this.pauseMs(), undefined, { signal: this.wakeUp.signal }).catch(() => undefined);
    }
  }

  private async round(signal: AbortSignal): Promise<void> {
    const { name, logger } = this.options;
    try {
      await this.options.round(signal);
      if (this.failures > 0) logger.info({ failures: this.failures }, `${name}: works again`);
      this.failures = 0;
    } catch (error) {
      if (signal.aborted) return;
      if (this.failures === 0) this.say(error);
      this.failures += 1;
    }
  }

  private say(error: unknown): void {
    const { name, logger, isStarting } = this.options;
    if (isStarting?.() === true) logger.info({ reason: String(error) }, `${name}: not there yet`);
    else logger.warn({ err: error }, `${name}: failed, will be tried again`);
  }

  private pauseMs(): number {
    const { maxPauseMs, jitter = 0 } = this.options;
    const intervalMs =
      typeof this.options.intervalMs === 'number' ? this.options.intervalMs : this.options.intervalMs();
    const pauseMs = Math.min(intervalMs * 2 ** Math.min(this.failures, 16), Math.max(maxPauseMs, intervalMs));
    return pauseMs * (1 + jitter * Math.random());
  }
}
