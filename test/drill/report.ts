import { build } from 'hdr-histogram-js';
import { type Breach, type BreachKind, countBreaches } from './checker/breach.js';
import { type History, type RequestRecord } from './checker/history.js';
import { type MoveResult } from './moves.js';

/** In ms with one decimal; zeros when there is nothing. */
export interface Percentiles {
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

/** What `--json` writes. */
export interface DrillReport {
  readonly verdict: 'pass' | 'fail';
  readonly startedAt: string;
  readonly seconds: number;
  readonly moves: number;
  readonly shardsMoved: number;
  readonly movesByOutcome: Readonly<Record<string, number>>;
  readonly requests: number;
  readonly requestsPerSecond: number;
  readonly failedRequests: number;
  readonly lostWrites: number;
  readonly duplicatedWrites: number;
  readonly lockedChanges: number;
  readonly overlappingEpochs: number;
  readonly zonesThatDiffer: number;
  readonly staleReads: number;
  /** Requests that a router held at least once. */
  readonly heldRequests: number;
  /** Per shard moved: from when its writes could first be held until its new owner was told to routers, in ms. */
  readonly pauseMs: Percentiles;
  /** As clients saw it: per shard moved, the longest that a write of it took which overlapped the move, in ms. */
  readonly slowestWriteMs: Percentiles;
  /** All requests, from when they were due, in ms. */
  readonly requestMs: Percentiles;
  readonly requestMsPlain: Percentiles;
  readonly requestMsSdk: Percentiles;
  readonly faults: readonly string[];
  /** Moves that were refused or did not do all they were asked for, with the reason. */
  readonly notMoved: readonly string[];
  /** The first of them. */
  readonly breaches: readonly Breach[];
}

const SHOWN_BREACHES = 20;

export interface ReportFacts {
  readonly startedAt: Date;
  readonly seconds: number;
  readonly history: History;
  readonly results: readonly MoveResult[];
  readonly breaches: readonly Breach[];
  readonly heldRequests: number;
  readonly faults: readonly string[];
}

export function reportOf(facts: ReportFacts): DrillReport {
  const { history, results, breaches, seconds } = facts;
  const counts: Record<BreachKind, number> = countBreaches(breaches);
  const shards = results.flatMap((result) => (result.kind === 'ended' ? result.move.shards : []));
  const moved = shards.filter(({ state }) => state === 'moved');
  const latencies = (client?: RequestRecord['client']): number[] =>
    history.requests.flatMap((request) =>
      client === undefined || request.client === client ? [request.answeredAt - request.scheduledAt] : [],
    );
  const byOutcome: Record<string, number> = {};
  for (const result of results) {
    const outcome = result.kind === 'ended' ? (result.move.outcome ?? 'unknown') : `refused: ${result.code}`;
    byOutcome[outcome] = (byOutcome[outcome] ?? 0) + 1;
  }
  return {
    verdict: breaches.length === 0 ? 'pass' : 'fail',
    startedAt: facts.startedAt.toISOString(),
    seconds: Math.round(seconds * 10) / 10,
    moves: results.length,
    shardsMoved: moved.length,
    movesByOutcome: byOutcome,
    requests: history.requests.length,
    requestsPerSecond: Math.round(history.requests.length / seconds),
    failedRequests: counts['failed-request'],
    lostWrites: counts['lost-write'],
    duplicatedWrites: counts['duplicated-write'],
    lockedChanges: counts['locked-change'],
    overlappingEpochs: counts['overlapping-epochs'],
    zonesThatDiffer: counts['zones-differ'],
    staleReads: counts['stale-read'],
    heldRequests: facts.heldRequests,
    pauseMs: percentiles(shards.flatMap(({ pauseMs }) => (pauseMs === undefined ? [] : [pauseMs]))),
    slowestWriteMs: percentiles(slowestWrites(history)),
    requestMs: percentiles(latencies()),
    requestMsPlain: percentiles(latencies('plain')),
    requestMsSdk: percentiles(latencies('sdk')),
    faults: facts.faults,
    notMoved: results.flatMap((result) => {
      if (result.kind === 'refused') return [`refused: ${result.code}: ${result.detail}`];
      const { outcome, moveId, problem } = result.move;
      return outcome === 'moved' ? [] : [`${moveId} ${outcome ?? 'unknown'}: ${problem ?? 'no reason recorded'}`];
    }),
    breaches: breaches.slice(0, SHOWN_BREACHES),
  };
}

/** For people. */
export function reportLines(report: DrillReport): string[] {
  const row = (name: string, value: string | number): string => `  ${name.padEnd(34)} ${value}`;
  const ms = ({ p50, p99, max }: Percentiles): string => `p50 ${p50}   p99 ${p99}   max ${max}`;
  return [
    '',
    row(
      'moves',
      `${report.moves} (${Object.entries(report.movesByOutcome)
        .map(([name, count]) => `${count} ${name}`)
        .join(', ')})`,
    ),
    row('shards moved', report.shardsMoved),
    row('requests', `${report.requests}, ${report.requestsPerSecond} a second, in ${report.seconds} s`),
    row('requests held by routers', report.heldRequests),
    row('pause of a shard, ms', ms(report.pauseMs)),
    row('slowest write during a move, ms', ms(report.slowestWriteMs)),
    row('all requests, ms', ms(report.requestMs)),
    row('  by plain HTTP', ms(report.requestMsPlain)),
    row('  by the SDK', ms(report.requestMsSdk)),
    '',
    row('failed requests', report.failedRequests),
    row('lost writes', report.lostWrites),
    row('duplicated writes', report.duplicatedWrites),
    row('changes while locked', report.lockedChanges),
    row('epochs that overlap', report.overlappingEpochs),
    row('rows in which zones differ', report.zonesThatDiffer),
    row('stale reads', report.staleReads),
    ...(report.notMoved.length === 0 ? [] : ['', ...report.notMoved.map((line) => `  not moved: ${line}`)]),
    ...(report.breaches.length === 0 ? [] : ['', ...report.breaches.map(({ kind, detail }) => `  ${kind}: ${detail}`)]),
    '',
    report.verdict === 'pass' ? 'PASSED: nothing failed, nothing lost, nothing done twice' : 'FAILED: see above',
  ];
}

function slowestWrites({ requests, locks }: History): number[] {
  const writes = requests.filter(({ kind }) => kind !== 'read');
  return locks.flatMap(({ shard, fencedAt, servedAt }) => {
    if (servedAt === undefined) return [];
    const overlapping = writes.filter(
      (write) => write.shard === shard && write.sentAt <= servedAt && write.answeredAt >= fencedAt,
    );
    if (overlapping.length === 0) return [];
    return [Math.max(...overlapping.map(({ sentAt, answeredAt }) => answeredAt - sentAt))];
  });
}

export function percentiles(values: readonly number[]): Percentiles {
  if (values.length === 0) return { p50: 0, p99: 0, max: 0 };
  // In tenths: the histogram counts whole numbers.
  const histogram = build({ numberOfSignificantValueDigits: 3 });
  for (const value of values) histogram.recordValue(Math.max(0, Math.round(value * 10)));
  return {
    p50: Math.min(histogram.getValueAtPercentile(50), histogram.maxValue) / 10,
    p99: Math.min(histogram.getValueAtPercentile(99), histogram.maxValue) / 10,
    max: histogram.maxValue / 10,
  };
}
