import Table from 'cli-table3';
import { type Breach, type BreachKind, countBreaches } from '../checker/breach.js';
import { type Percentiles, percentiles } from '../report.js';
import { FAULT_CLASSES, type FailoverFault, type FaultClass } from './plan.js';

/** What one round came to. */
export interface RoundResult {
  readonly round: number;
  readonly fault: FailoverFault;
  /** With what chance chose besides, in words. */
  readonly what: string;
  readonly zone: string;
  readonly seed: number;
  readonly requests: number;
  /** From the first sign to the decision, as the coordinator measured it, in ms. */
  readonly detectedMs?: number;
  /** Longest time in which clients waited for a shard of the zone and none was answered, in ms. */
  readonly writeOutageMs: number;
  /** The same for shards of the other zones. */
  readonly othersWriteOutageMs: number;
  /** As `writeOutageMs`, for reads; 0 when it is no longer than a slow read may take. */
  readonly readOutageMs: number;
  /** From when it was due to its answer, in ms. */
  readonly slowestReadMs: number;
  /** Requests through the routers that were not answered with what they asked for. */
  readonly failed: number;
  /** How many of them by what was asked and why it failed. */
  readonly failures: Readonly<Record<string, number>>;
  /** Of these, writes of which the client was not told whether they came about. */
  readonly unknown: number;
  readonly lost: number;
  readonly duplicated: number;
  /** Reads that said themselves that they may be old. */
  readonly markedStale: number;
  /** What the zone was asked itself from when it broke on, past the routers. */
  readonly direct?: {
    readonly writes: number;
    readonly acknowledged: number;
    readonly reads: number;
    /** Reads that were answered with an order. */
    readonly shown: number;
  };
  readonly heldOrders: number;
  readonly heldMs: number;
  /** From when the fault was mended until every zone was a full member again, in ms. */
  readonly convergeMs?: number;
  readonly moveId?: string;
  /** What should not have been; empty when it went as it should. */
  readonly wrong: readonly string[];
}

/** What `--json` writes. */
export interface FailoverReport {
  readonly verdict: 'pass' | 'fail';
  readonly startedAt: string;
  readonly seconds: number;
  readonly seed: number;
  readonly rounds: number;
  readonly requests: number;
  readonly failedRequests: number;
  readonly lostWrites: number;
  readonly duplicatedWrites: number;
  readonly lockedChanges: number;
  readonly overlappingEpochs: number;
  readonly zonesThatDiffer: number;
  readonly staleReads: number;
  /** Of the rounds in which something was killed; where nothing was, of all rounds with a failover. */
  readonly writeOutageMs: Percentiles;
  /** The longest of all rounds with a failover, in ms. */
  readonly readOutageMs: number;
  readonly detectedMs: Percentiles;
  readonly convergeMs: Percentiles;
  readonly heldMs: Percentiles;
  readonly byClass: Readonly<Partial<Record<FaultClass, ClassFigures>>>;
  /** Aims that were missed, in words; judged unless the drill was told not to. */
  readonly missedAims: readonly string[];
  /** What went another way than it should, by round, in words. */
  readonly wrong: readonly string[];
  /** The first of them. */
  readonly breaches: readonly Breach[];
  readonly results: readonly RoundResult[];
}

interface ClassFigures {
  readonly rounds: number;
  readonly writeOutageMs: Percentiles;
  /** Of the shards of the other zones, which wait for the lost zone until it has left their in-sync sets. */
  readonly othersWriteOutageMs: Percentiles;
  readonly detectedMs: Percentiles;
}

/** What a failover may cost, in ms. @see the issue "Failover", how it is judged */
const AIMS = {
  killed: { p50: 400, p99: 1_000 },
  silent: { p50: Infinity, p99: 2_500 },
  heldMs: 2_000,
} as const;

const SHOWN_BREACHES = 20;

export interface FailoverFacts {
  readonly startedAt: Date;
  readonly seconds: number;
  readonly seed: number;
  readonly results: readonly RoundResult[];
  readonly breaches: readonly Breach[];
  readonly requests: number;
  /** What went wrong outside any round. */
  readonly wrong: readonly string[];
  /** False: outages are told and not judged. */
  readonly judgesAims: boolean;
}

export function failoverReportOf(facts: FailoverFacts): FailoverReport {
  const { results, breaches } = facts;
  const counts: Record<BreachKind, number> = countBreaches(breaches);
  const failovers = results.filter(({ fault }) => FAULT_CLASSES[fault] !== 'harmless');
  const killed = results.filter(({ fault }) => FAULT_CLASSES[fault] === 'killed');
  const missedAims = missedBy(results);
  const wrong = [
    ...results.flatMap((result) => result.wrong.map((what) => `round ${result.round}, ${result.what}: ${what}`)),
    ...facts.wrong,
  ];
  const isGood = breaches.length === 0 && wrong.length === 0 && (!facts.judgesAims || missedAims.length === 0);
  return {
    verdict: isGood ? 'pass' : 'fail',
    startedAt: facts.startedAt.toISOString(),
    seconds: Math.round(facts.seconds * 10) / 10,
    seed: facts.seed,
    rounds: results.length,
    requests: facts.requests,
    failedRequests: counts['failed-request'],
    lostWrites: counts['lost-write'],
    duplicatedWrites: counts['duplicated-write'],
    lockedChanges: counts['locked-change'],
    overlappingEpochs: counts['overlapping-epochs'],
    zonesThatDiffer: counts['zones-differ'],
    staleReads: counts['stale-read'],
    writeOutageMs: writeOutages(killed.length > 0 ? killed : failovers),
    readOutageMs: Math.max(0, ...failovers.map(({ readOutageMs }) => readOutageMs)),
    detectedMs: detections(failovers),
    convergeMs: percentiles(results.flatMap(({ convergeMs }) => convergeMs ?? [])),
    heldMs: percentiles(results.filter(({ heldOrders }) => heldOrders > 0).map(({ heldMs }) => heldMs)),
    byClass: figuresByClass(results),
    missedAims,
    wrong,
    breaches: breaches.slice(0, SHOWN_BREACHES),
    results,
  };
}

function missedBy(results: readonly RoundResult[]): string[] {
  const missed: string[] = [];
  for (const name of ['killed', 'silent'] as const) {
    const outage = writeOutages(results.filter(({ fault }) => FAULT_CLASSES[fault] === name));
    for (const percentile of ['p50', 'p99'] as const) {
      if (outage[percentile] <= AIMS[name][percentile]) continue;
      missed.push(`write outage, ${name}, ${percentile}: ${outage[percentile]} ms, not ${AIMS[name][percentile]}`);
    }
  }
  for (const { round, readOutageMs, heldMs } of results) {
    if (readOutageMs > 0) missed.push(`round ${round}: reads were away for ${readOutageMs} ms`);
    if (heldMs > AIMS.heldMs) missed.push(`round ${round}: orders were held for ${heldMs} ms, not ${AIMS.heldMs}`);
  }
  return missed;
}

function figuresByClass(results: readonly RoundResult[]): Partial<Record<FaultClass, ClassFigures>> {
  const classes = [...new Set(results.map(({ fault }) => FAULT_CLASSES[fault]))];
  return Object.fromEntries(
    classes.map((name) => {
      const own = results.filter(({ fault }) => FAULT_CLASSES[fault] === name);
      const figures = {
        rounds: own.length,
        writeOutageMs: writeOutages(own),
        othersWriteOutageMs: percentiles(own.map(({ othersWriteOutageMs }) => othersWriteOutageMs)),
        detectedMs: detections(own),
      };
      return [name, figures];
    }),
  );
}

function writeOutages(results: readonly RoundResult[]): Percentiles {
  return percentiles(results.map(({ writeOutageMs }) => writeOutageMs));
}

function detections(results: readonly RoundResult[]): Percentiles {
  return percentiles(results.flatMap(({ detectedMs }) => detectedMs ?? []));
}

/** For people, while it goes on. */
export function roundLine(result: RoundResult): string {
  const { round, what, zone, detectedMs, writeOutageMs, lost, convergeMs, wrong } = result;
  const parts = [
    `round ${round}: ${what}, zone ${zone}`,
    detectedMs === undefined ? 'no failover' : `seen after ${Math.round(detectedMs)} ms`,
    `writes away ${Math.round(writeOutageMs)} ms`,
    ...(convergeMs === undefined ? [] : [`whole after ${Math.round(convergeMs)} ms`]),
    ...Object.entries(result.failures).map(([failure, count]) => `${count} FAILED: ${failure}`),
    ...(lost === 0 ? [] : [`${lost} LOST`]),
    ...wrong.map((text) => `WRONG: ${text}`),
  ];
  return parts.join(', ');
}

/** For people, at the end. */
export function failoverReportLines(report: FailoverReport): string[] {
  const row = (name: string, value: string | number): string => `  ${name.padEnd(34)} ${value}`;
  const ms = ({ p50, p99, max }: Percentiles): string => `p50 ${p50}   p99 ${p99}   max ${max}`;
  return [
    '',
    tableOf(report.results),
    '',
    row('rounds', `${report.rounds} in ${report.seconds} s, seed ${report.seed}`),
    row('requests', report.requests),
    ...Object.entries(report.byClass).flatMap(([name, { rounds, writeOutageMs, othersWriteOutageMs }]) => [
      row(`write outage, ${name}, ms`, `${ms(writeOutageMs)}   (${rounds} rounds)`),
      row('  of other zones', ms(othersWriteOutageMs)),
    ]),
    row('read outage, ms', report.readOutageMs),
    row('detection, ms', ms(report.detectedMs)),
    row('orders held, ms', ms(report.heldMs)),
    row('until whole again, ms', ms(report.convergeMs)),
    '',
    row('failed requests', report.failedRequests),
    row('lost writes', report.lostWrites),
    row('duplicated writes', report.duplicatedWrites),
    row('changes while locked', report.lockedChanges),
    row('epochs that overlap', report.overlappingEpochs),
    row('rows in which zones differ', report.zonesThatDiffer),
    row('stale reads', report.staleReads),
    ...listed('missed', report.missedAims),
    ...listed('wrong', report.wrong),
    ...listed(
      'breach',
      report.breaches.map(({ kind, detail }) => `${kind}: ${detail}`),
    ),
    '',
    report.verdict === 'pass' ? 'PASSED: nothing failed, nothing lost, nothing done twice' : 'FAILED: see above',
  ];
}

function listed(what: string, lines: readonly string[]): string[] {
  return lines.length === 0 ? [] : ['', ...lines.map((line) => `  ${what}: ${line}`)];
}

function tableOf(results: readonly RoundResult[]): string {
  const table = new Table({
    head: [
      '#',
      'fault',
      'zone',
      'seen',
      'writes',
      'others',
      'reads',
      'failed',
      'unknown',
      'lost',
      'twice',
      'held',
      'for',
      'whole',
    ],
    style: { head: [], border: [], compact: true },
    colAligns: ['right', 'left', 'left', ...Array.from({ length: 11 }, () => 'right' as const)],
  });
  const inMs = (value: number | undefined): string => (value === undefined ? '-' : String(Math.round(value)));
  for (const result of results) {
    table.push([
      result.round,
      result.what,
      result.zone,
      inMs(result.detectedMs),
      inMs(result.writeOutageMs),
      inMs(result.othersWriteOutageMs),
      inMs(result.readOutageMs),
      result.failed,
      result.unknown,
      result.lost,
      result.duplicated,
      result.heldOrders,
      inMs(result.heldMs),
      inMs(result.convergeMs),
    ]);
  }
  return table.toString();
}
