/** The report of a replay: one object, written as JSON as it is and printed as text. Pure. */
import { type Area } from './areas.js';
import { type Completeness, type ZoneOrders } from './completeness.js';
import { type SkippedRow } from './csv-table.js';
import { type Pace } from './pacing.js';
import { type AcknowledgedOrder, type LatencyMs } from './placement-record.js';
import { textTable } from './text-table.js';
import { type TableComparison } from './table-digests.js';

interface CityCounts {
  readonly city: string;
  readonly orders: number;
  readonly stores: number;
  readonly couriers: number;
}

export interface ShardCount {
  readonly shard: number;
  readonly area: string;
  /** Who answered; a shard that moved during the replay has a line per zone. */
  readonly zoneId: string;
  readonly orders: number;
}

/** What the run wrote down, whole or cut short. */
export interface ReplayReport {
  readonly runId: string;
  readonly startedAt: string;
  /** The directory of the data, or `made-up day, seed n`. */
  readonly source: string;
  readonly pace: Pace;
  readonly inFlightMax: number;
  readonly cities: readonly CityCounts[];
  readonly areas: number;
  readonly skippedRows: readonly SkippedRow[];
  /** Orders that were to be placed. */
  readonly ordersDue: number;
  /** Orders acknowledged. */
  readonly ordersPlaced: number;
  readonly errors: number;
  readonly errorsByCode: Readonly<Record<string, number>>;
  readonly placingSeconds: number;
  readonly ordersPerSecond: number;
  /** Of the acknowledged orders, from the instant each was due. */
  readonly latencyMs: LatencyMs;
  readonly clientCpuMicrosPerOrder: number;
  readonly ordersPerZone: Readonly<Record<string, number>>;
  readonly ordersPerShard: readonly ShardCount[];
  readonly completeness: Completeness;
  readonly zonesEqual: boolean;
  readonly interrupted: boolean;
}

export interface Verdict {
  readonly exitCode: 0 | 1 | 130;
  readonly line: string;
}

const SKIPPED_ROWS_SHOWN = 20;
const SHARDS_SHOWN = 20;

/** The orders by shard and answering zone, the most first. */
export function countPerShard(acknowledged: readonly AcknowledgedOrder[], areas: readonly Area[]): ShardCount[] {
  const areaByShard = new Map(areas.map((area) => [area.shard, area]));
  const counts = new Map<string, { shard: number; area: string; zoneId: string; orders: number }>();
  for (const { shard, zoneId } of acknowledged) {
    const key = `${shard} ${zoneId}`;
    const count = counts.get(key) ?? { shard, area: areaByShard.get(shard)?.name ?? 'unknown', zoneId, orders: 0 };
    count.orders += 1;
    counts.set(key, count);
  }
  return [...counts.values()].sort((one, other) => other.orders - one.orders || one.shard - other.shard);
}

export function countPerZone(perShard: readonly ShardCount[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { zoneId, orders } of [...perShard].sort((one, other) => (one.zoneId < other.zoneId ? -1 : 1))) {
    counts[zoneId] = (counts[zoneId] ?? 0) + orders;
  }
  return counts;
}

/** Did the replay prove what it is for? An interrupted run proves nothing, whatever it found. */
export function verdictOf(report: ReplayReport): Verdict {
  const { completeness, ordersPlaced, errors } = report;
  const failures = [
    ...(ordersPlaced === 0 ? ['no order was placed'] : []),
    ...(!completeness.zonesEqual ? ['the zones are not equal'] : []),
    ...(!completeness.ordersComplete ? ['acknowledged orders are not all in place'] : []),
    ...(errors > 0 ? [`${errors} orders met an error`] : []),
  ];
  const placed = `${ordersPlaced} of ${report.ordersDue} orders placed`;
  if (report.interrupted) return { exitCode: 130, line: `INTERRUPTED: ${[placed, ...failures].join('; ')}` };
  if (failures.length > 0) return { exitCode: 1, line: `FAILED: ${failures.join('; ')} (${placed})` };
  return { exitCode: 0, line: `PASSED: ${placed}, every one in every zone, all zones equal` };
}

export function formatReport(report: ReplayReport): string {
  const { latencyMs } = report;
  const pace = report.pace.kind === 'max' ? 'as fast as it goes' : `${report.pace.speed} times as fast as the day`;
  return [
    `Replay ${report.runId}: ${report.source}, ${pace}, at most ${report.inFlightMax} in flight`,
    '',
    ...textTable(
      ['city', 'orders', 'stores', 'couriers'],
      report.cities.map(({ city, orders, stores, couriers }) => [city, orders, stores, couriers]),
    ),
    ...skippedLines(report.skippedRows),
    '',
    `orders placed  ${report.ordersPlaced} of ${report.ordersDue} in ${report.placingSeconds.toFixed(1)} s`,
    `rate           ${report.ordersPerSecond.toFixed(1)} orders/s`,
    `latency        p50 ${ms(latencyMs.p50)}  p95 ${ms(latencyMs.p95)}  p99 ${ms(latencyMs.p99)}  max ${ms(latencyMs.max)}`,
    `errors         ${report.errors}`,
    ...Object.entries(report.errorsByCode).map(([code, count]) => `  ${count} × ${code}`),
    `replay client  ${report.clientCpuMicrosPerOrder.toFixed(0)} µs CPU per order`,
    '',
    ...textTable(['zone', 'orders'], Object.entries(report.ordersPerZone)),
    '',
    ...shardLines(report.ordersPerShard),
    '',
    ...completenessLines(report.completeness),
    '',
    verdictOf(report).line,
  ].join('\n');
}

/** What was left out of the data, with the first few by name. */
function skippedLines(skipped: readonly SkippedRow[]): string[] {
  if (skipped.length === 0) return [];
  return [
    `${skipped.length} malformed rows left out:`,
    ...skipped.slice(0, SKIPPED_ROWS_SHOWN).map(({ file, line, reason }) => `  ${file}:${line}: ${reason}`),
    ...(skipped.length > SKIPPED_ROWS_SHOWN
      ? [`  … and ${skipped.length - SKIPPED_ROWS_SHOWN} more (--json has all)`]
      : []),
  ];
}

function shardLines(counts: readonly ShardCount[]): string[] {
  const shown = counts.slice(0, SHARDS_SHOWN);
  const rest = counts.slice(SHARDS_SHOWN);
  const restOrders = rest.reduce((sum, { orders }) => sum + orders, 0);
  return [
    ...textTable(
      ['shard', 'zone', 'area', 'orders'],
      shown.map(({ shard, zoneId, area, orders }) => [shard, zoneId, area, orders]),
    ),
    ...(rest.length > 0 ? [`… and ${rest.length} more with ${restOrders} orders`] : []),
  ];
}

function completenessLines(completeness: Completeness): string[] {
  const { tables, orders, faults, waitedMs, zonesEqual } = completeness;
  return [
    `completeness   zones ${zonesEqual ? 'equal' : 'NOT EQUAL'} after ${(waitedMs / 1000).toFixed(1)} s`,
    ...textTable(['table', 'zone', 'rows', 'digest', ''], tables.flatMap(tableLines)),
    '',
    ...textTable(
      ['acknowledged orders in zone', 'found', 'missing', 'altered', 'in other shard', 'twice', 'never acknowledged'],
      orders.map(orderCells),
    ),
    ...faults.map((fault) => `  ! ${fault}`),
  ];
}

function tableLines({ table, isEqual, zones }: TableComparison): (string | number)[][] {
  return zones.map(({ zoneId, rows, digest }, index) => [
    index === 0 ? table : '',
    zoneId,
    rows,
    digest,
    index > 0 ? '' : isEqual ? 'equal' : 'NOT EQUAL',
  ]);
}

function orderCells(zone: ZoneOrders): (string | number)[] {
  const { zoneId, found, missing, altered, inOtherShard, twice, unacknowledged } = zone;
  return [zoneId, found, missing, altered, inOtherShard, twice, unacknowledged];
}

function ms(value: number): string {
  return `${value.toFixed(value < 10 ? 2 : 1)} ms`;
}
