import { expect, it } from 'vitest';
import { type FailoverFacts, failoverReportLines, failoverReportOf, type RoundResult } from './report.js';

function round(more: Partial<RoundResult> = {}): RoundResult {
  return {
    round: 1,
    fault: 'zone-killed',
    what: 'zone-killed',
    zone: 'a',
    seed: 1,
    requests: 100,
    detectedMs: 30,
    writeOutageMs: 250,
    othersWriteOutageMs: 40,
    readOutageMs: 0,
    slowestReadMs: 20,
    failed: 0,
    failures: {},
    unknown: 0,
    lost: 0,
    duplicated: 0,
    markedStale: 0,
    heldOrders: 3,
    heldMs: 200,
    convergeMs: 900,
    moveId: 'mov_1',
    wrong: [],
    ...more,
  };
}

function report(results: readonly RoundResult[], more: Partial<FailoverFacts> = {}) {
  return failoverReportOf({
    startedAt: new Date(0),
    seconds: 10,
    seed: 1,
    results,
    breaches: [],
    requests: 100,
    wrong: [],
    judgesAims: true,
    ...more,
  });
}

it('a drill in which everything went as it should passes', () => {
  const passed = report([round(), round({ fault: 'zone-frozen', writeOutageMs: 2_000 })]);
  expect(passed).toMatchObject({ verdict: 'pass', rounds: 2, failedRequests: 0, lostWrites: 0, readOutageMs: 0 });
  expect(failoverReportLines(passed).join('\n')).toContain('PASSED');
});

it('the write outage is that of kills; freezes and cuts have figures of their own', () => {
  const { writeOutageMs, byClass } = report([round(), round({ fault: 'zone-frozen', writeOutageMs: 2_000 })]);
  expect(writeOutageMs.max).toBe(250);
  expect(byClass.silent?.writeOutageMs.max).toBe(2_000);
  expect(byClass.killed?.rounds).toBe(1);
});

it('where nothing was killed, the write outage is that of what was done', () => {
  expect(report([round({ fault: 'cut-off', writeOutageMs: 1_500 })]).writeOutageMs.max).toBe(1_500);
});

it('a breach, or a round that took another course, fails the drill', () => {
  const lost = report([round()], { breaches: [{ kind: 'lost-write', detail: 'order 1 is gone' }] });
  expect(lost).toMatchObject({ verdict: 'fail', lostWrites: 1 });
  expect(failoverReportLines(lost).join('\n')).toContain('lost-write: order 1 is gone');
  const stuck = report([round({ wrong: ['no failover within 20000 ms'] })]);
  expect(stuck.verdict).toBe('fail');
  expect(stuck.wrong).toEqual(['round 1, zone-killed: no failover within 20000 ms']);
});

it.each<[Partial<RoundResult>, RegExp]>([
  [{ writeOutageMs: 1_200 }, /write outage, killed, p50/],
  [{ fault: 'zone-frozen', writeOutageMs: 2_700 }, /write outage, silent, p99/],
  [{ readOutageMs: 700 }, /reads were away for 700 ms/],
  [{ heldMs: 2_100 }, /orders were held for 2100 ms/],
])('%o misses an aim, which fails the drill unless aims are not judged', (more, missed) => {
  const judged = report([round(more)]);
  expect(judged.verdict).toBe('fail');
  expect(judged.missedAims.join('\n')).toMatch(missed);
  expect(report([round(more)], { judgesAims: false }).verdict).toBe('pass');
});
