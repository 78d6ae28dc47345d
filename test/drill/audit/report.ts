import Table from 'cli-table3';
import { type AuditView } from '@borough/contracts';
import { type Planted } from './planted-rows.js';

export interface AuditRun {
  readonly name: 'audit' | 'audit and heal' | 'audit again';
  readonly view: AuditView;
  /** From asking to the answer of the last zone. */
  readonly tookMs: number;
}

/** What `--json` writes. */
export interface AuditReport {
  readonly verdict: 'pass' | 'fail';
  readonly startedAt: string;
  readonly seed: number;
  readonly orders: number;
  readonly planted: readonly Planted[];
  readonly runs: readonly {
    readonly name: string;
    readonly tookMs: number;
    readonly rowsCompared: number;
    readonly rowsRead: number;
    readonly differing: number;
    readonly taken: number;
  }[];
  /** Of the load that went on meanwhile. */
  readonly requests: number;
  readonly failedRequests: number;
  /** What should not have been, in words. */
  readonly wrong: readonly string[];
}

export interface AuditFacts {
  readonly startedAt: Date;
  readonly seed: number;
  readonly orders: number;
  readonly planted: readonly Planted[];
  readonly runs: readonly AuditRun[];
  readonly requests: number;
  readonly failed: number;
}

/** @see the issue "Failover", item 6 */
const MOST_READ_SHARE = 0.05;
const MOST_MS = 30_000;

export function auditReportOf(facts: AuditFacts): AuditReport {
  const { planted, runs, orders } = facts;
  const all = planted.map(nameOf);
  const extras = planted.filter(({ kind }) => kind === 'extra').map(nameOf);
  const wrong = runs.flatMap((run) => [
    // Healing writes to no owner, so what it lacks stays.
    ...differencesFrom({ audit: all, 'audit and heal': extras, 'audit again': [] }[run.name], run),
    ...amiss(run, orders),
  ]);
  if (facts.failed > 0) wrong.push(`${facts.failed} of ${facts.requests} requests failed meanwhile`);
  return {
    verdict: wrong.length === 0 ? 'pass' : 'fail',
    startedAt: facts.startedAt.toISOString(),
    seed: facts.seed,
    orders,
    planted,
    runs: runs.map(({ name, tookMs, view }) => ({
      name,
      tookMs: Math.round(tookMs),
      rowsCompared: view.rowsCompared,
      rowsRead: view.rowsRead,
      differing: view.differing,
      taken: view.pairs.reduce((sum, { taken }) => sum + taken, 0),
    })),
    requests: facts.requests,
    failedRequests: facts.failed,
    wrong,
  };
}

const nameOf = ({ zone, key }: Planted): string => `order ${key} in zone ${zone}`;

/** Exactly these are to be found. */
function differencesFrom(expected: readonly string[], { name, view }: AuditRun): string[] {
  const found = view.pairs.flatMap(({ copy, differing }) =>
    differing.map(({ table, key }) => `${table === 'orders' ? 'order' : table} ${key.join(', ')} in zone ${copy}`),
  );
  return [
    ...expected.filter((row) => !found.includes(row)).map((row) => `${name}: ${row} was not found`),
    ...found.filter((row) => !expected.includes(row)).map((row) => `${name}: ${row} does not differ`),
  ];
}

function amiss({ name, view, tookMs }: AuditRun, orders: number): string[] {
  const wrong = [
    ...view.unanswered.map((zone) => `zone ${zone} did not answer`),
    ...(view.undecided > 0 ? [`${view.undecided} rows are undecided`] : []),
    ...(view.rowsRead > MOST_READ_SHARE * orders ? [`${view.rowsRead} rows were read`] : []),
    ...(tookMs > MOST_MS && !view.request.heal ? [`it took ${Math.round(tookMs)} ms, not ${MOST_MS}`] : []),
  ];
  return wrong.map((what) => `${name}: ${what}`);
}

export function auditReportLines(report: AuditReport): string[] {
  const table = new Table({
    head: ['', 'took ms', 'rows digested', 'rows read', 'differing', 'healed'],
    style: { head: [], border: [], compact: true },
  });
  for (const { name, tookMs, rowsCompared, rowsRead, differing, taken } of report.runs) {
    table.push([name, tookMs, rowsCompared, rowsRead, differing, taken]);
  }
  return [
    '',
    `${report.orders} orders in every zone, ${report.planted.length} rows planted (seed ${report.seed}); ` +
      `${report.requests} requests meanwhile, ${report.failedRequests} failed`,
    table.toString(),
    ...report.wrong.map((what) => `  ${what}`),
    `verdict: ${report.verdict}`,
  ];
}
