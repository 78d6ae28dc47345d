import { beforeEach, describe, expect, it } from 'vitest';
import { type Clock } from '../transport/clock.js';
import { Closing } from '../transport/closing.js';
import { JoinedRefresh } from './joined-refresh.js';

/** Stands still until the test moves it. */
class HeldClock implements Clock {
  private atMs = 1_000_000;
  private readonly waiting = new Map<() => void, number>();

  nowMs(): number {
    return this.atMs;
  }

  after(ms: number, work: () => void): () => void {
    this.waiting.set(work, this.atMs + ms);
    return () => this.waiting.delete(work);
  }

  /** Moves on, and lets what became due have its turn. */
  async pass(ms: number): Promise<void> {
    this.atMs += ms;
    for (const [work, dueAtMs] of this.waiting) if (dueAtMs <= this.atMs && this.waiting.delete(work)) work();
    await this.settle();
  }

  async settle(): Promise<void> {
    for (let turn = 0; turn < 20; turn += 1) await Promise.resolve();
  }
}

let clock: HeldClock;
let closing: Closing;
let began: number;
let finish: (error?: Error) => void;
let refresh: JoinedRefresh;

beforeEach(() => {
  clock = new HeldClock();
  closing = new Closing();
  began = 0;
  const fetch = () => {
    began += 1;
    return new Promise<void>((resolve, reject) => {
      finish = (error) => {
        if (error === undefined) resolve();
        else reject(error);
      };
    });
  };
  refresh = new JoinedRefresh(fetch, 250, clock, closing);
});

describe('a joined refresh', () => {
  it('is one fetch for all who ask before it begins', async () => {
    const asked = [refresh.now(), refresh.now(), refresh.now()];
    await clock.settle();
    finish();
    await Promise.all(asked);
    expect(began).toBe(1);
  });

  it('begins after the asking: who asks during a fetch gets the next one', async () => {
    const first = refresh.now();
    await clock.settle();
    let isSecondDone = false;
    const second = refresh.now().then(() => (isSecondDone = true));
    finish();
    await first;
    await clock.pass(250);
    expect(began).toBe(2);
    expect(isSecondDone).toBe(false);
    finish();
    await second;
  });

  it('begins no sooner than its rate allows', async () => {
    const first = refresh.now();
    await clock.settle();
    finish();
    await first;
    const second = refresh.now();
    await clock.pass(249);
    expect(began).toBe(1);
    await clock.pass(1);
    expect(began).toBe(2);
    finish();
    await second;
  });

  it('waits no longer than that when the clock of the device was set back', async () => {
    const first = refresh.now();
    await clock.settle();
    finish();
    await first;
    await clock.pass(-3_600_000);
    const second = refresh.now();
    await clock.pass(0);
    await clock.pass(250);
    expect(began).toBe(2);
    finish();
    await second;
  });

  it('that fails says so to all who shared it, and the next one is tried all the same', async () => {
    const asked = [refresh.now(), refresh.now()].map((one) => expect(one).rejects.toThrow('no router'));
    await clock.settle();
    finish(new Error('no router'));
    await Promise.all(asked);
    const next = refresh.now();
    await clock.pass(0);
    await clock.pass(250);
    finish();
    await next;
    expect(began).toBe(2);
  });

  it('does not wait for its rate once the client closes', async () => {
    const first = refresh.now();
    await clock.settle();
    finish();
    await first;
    const second = refresh.now();
    await clock.settle();
    closing.close();
    await clock.settle();
    finish();
    await second;
  });
});
