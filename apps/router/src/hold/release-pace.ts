/** A spurt this long passes at once, in ms: the handful that a short move holds is not made to wait for a rate. */
const SPURT_MS = 20;

/** How many may go when: a token bucket. Time is given, in ms of any one clock. */
export class ReleasePace {
  private readonly burst: number;
  private tokens: number;

  constructor(
    private readonly perSecond: number,
    private filledAtMs: number,
  ) {
    this.burst = Math.max(1, (perSecond * SPURT_MS) / 1_000);
    this.tokens = this.burst;
  }

  /** Takes one token, if there is one. */
  take(nowMs: number): boolean {
    const earned = (Math.max(0, nowMs - this.filledAtMs) * this.perSecond) / 1_000;
    this.filledAtMs = Math.max(nowMs, this.filledAtMs);
    // What was credited above the burst is kept; only what is earned by time stops at it.
    if (this.tokens < this.burst) this.tokens = Math.min(this.burst, this.tokens + earned);
    if (this.tokens < 1) return false;
    this.tokens -= 1;
    return true;
  }

  /** One more may go: a request joined the queue that nobody would have held. Else a busy queue would never end. */
  credit(): void {
    this.tokens += 1;
  }
}
