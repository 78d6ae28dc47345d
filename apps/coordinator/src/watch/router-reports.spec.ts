import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { RouterReports } from './router-reports.js';

let nowMs: number;
let reports: RouterReports;

beforeEach(() => {
  vi.useFakeTimers();
  nowMs = 0;
  reports = new RouterReports(() => nowMs);
});

afterEach(() => {
  expect(vi.getTimerCount()).toBe(0);
  vi.useRealTimers();
});

function report(routerId: string, tableVersion: number, heldRequests = 0): void {
  reports.note({ routerId, tableVersion, heldRequests });
}

describe('what routers reported', () => {
  it('is the last word of each, by name, with its age', () => {
    report('r2', 5, 3);
    report('r1', 4);
    nowMs = 1_500;
    report('r1', 6, 1);
    nowMs = 2_000;
    expect(reports.all()).toEqual([
      { routerId: 'r1', tableVersion: 6, heldRequests: 1, reportedMsAgo: 500 },
      { routerId: 'r2', tableVersion: 5, heldRequests: 3, reportedMsAgo: 2_000 },
    ]);
  });

  it('is forgotten after a minute', () => {
    report('r1', 4);
    nowMs = 60_000;
    expect(reports.all()).toHaveLength(1);
    nowMs = 60_001;
    expect(reports.all()).toEqual([]);
  });

  it('is kept of a bounded number of names; those that are known are heard all the same', () => {
    for (let name = 0; name < 1_100; name += 1) report(`r${name}`, 1);
    expect(reports.all()).toHaveLength(1_000);
    report('r7', 2);
    report('r1099', 2);
    const versions = new Map(reports.all().map(({ routerId, tableVersion }) => [routerId, tableVersion]));
    expect([versions.get('r7'), versions.get('r1099')]).toEqual([2, undefined]);
  });
});

describe('waiting for routers', () => {
  it('is not done where none is known, or all have reported', async () => {
    expect(await reports.late(9, 1_000)).toEqual([]);
    report('r1', 9);
    report('r2', 10);
    expect(await reports.late(9, 1_000)).toEqual([]);
  });

  it('ends with the report of the last one', async () => {
    report('r1', 8);
    report('r2', 8);
    const late = reports.late(9, 1_000);
    let isOver = false;
    void late.then(() => (isOver = true));
    report('r1', 9);
    await vi.advanceTimersByTimeAsync(500);
    expect(isOver).toBe(false);
    report('r2', 9);
    expect(await late).toEqual([]);
  });

  it('ends after its bound without those that did not, and names them', async () => {
    report('r1', 8);
    report('r2', 8);
    report('r3', 9);
    const late = reports.late(9, 1_000);
    report('r2', 9);
    await vi.advanceTimersByTimeAsync(1_000);
    expect(await late).toEqual(['r1']);
  });

  it('is not done for a router that has been silent for more than three seconds', async () => {
    report('r1', 8);
    nowMs = 3_000;
    const late = reports.late(9, 1_000);
    await vi.advanceTimersByTimeAsync(1_000);
    expect(await late).toEqual(['r1']);
    nowMs = 3_001;
    expect(await reports.late(9, 1_000)).toEqual([]);
  });

  it('is for each move by itself', async () => {
    report('r1', 5);
    const [six, seven] = [reports.late(6, 1_000), reports.late(7, 1_000)];
    report('r1', 6);
    expect(await six).toEqual([]);
    await vi.advanceTimersByTimeAsync(1_000);
    expect(await seven).toEqual(['r1']);
  });
});
