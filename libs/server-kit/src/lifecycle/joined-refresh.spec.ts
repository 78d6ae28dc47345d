import { describe, expect, it } from 'vitest';
import { JoinedRefresh } from './joined-refresh.js';

describe('a joined refresh', () => {
  it('is one fetch for all who ask before it begins', async () => {
    let fetches = 0;
    const refresh = new JoinedRefresh(() => {
      fetches += 1;
      return Promise.resolve();
    }, 0);
    await Promise.all(Array.from({ length: 100 }, () => refresh.now()));
    expect(fetches).toBe(1);
  });

  it('is a fresh fetch for who asks while one is under way', async () => {
    const ends: (() => void)[] = [];
    const refresh = new JoinedRefresh(() => new Promise((resolve) => ends.push(resolve)), 0);
    const first = refresh.now();
    await expect.poll(() => ends.length).toBe(1);
    const second = refresh.now();
    ends[0]?.();
    await first;
    await expect.poll(() => ends.length).toBe(2);
    ends[1]?.();
    await second;
  });

  it('tells everybody who shares it that it failed, and works again the next time', async () => {
    let isBroken = true;
    const refresh = new JoinedRefresh(() => (isBroken ? Promise.reject(new Error('away')) : Promise.resolve()), 0);
    await expect(Promise.all([refresh.now(), refresh.now()])).rejects.toThrow('away');
    isBroken = false;
    await refresh.now();
  });

  it('keeps its distance from the one before', async () => {
    let fetches = 0;
    const refresh = new JoinedRefresh(() => {
      fetches += 1;
      return Promise.resolve();
    }, 300);
    await refresh.now();
    const second = refresh.now();
    await new Promise((resolve) => setImmediate(resolve));
    expect(fetches).toBe(1);
    await second;
    expect(fetches).toBe(2);
  });
});
