/**
 * The completeness check: does every zone hold everything, and everything that was acknowledged?
 *
 * It reads each zone's Postgres itself, not the API, so that no cache and no router can make it look right:
 *
 *     1 every table of the publication: row count and content digest, until equal in all zones or the bound is over
 *     2 every acknowledged order: in every zone, with its store, customer and items, in the shard of its store
 *     3 none of them twice: no two orders of the run name the same order of the day
 *
 * A zone that cannot be read is a fault of the check, never a pass.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { isSameContent, type ExpectedOrder } from './order-content.js';
import { compareTables, type TableComparison, type ZoneDigests } from './table-digests.js';
import { ZoneReader, type ZoneDatabase } from './zone-reader.js';

export interface ZoneOrders {
  readonly zoneId: string;
  readonly found: number;
  readonly missing: number;
  readonly altered: number;
  readonly inOtherShard: number;
  readonly twice: number;
  /** Orders of the run that this zone holds and nobody was told of: those whose answer was an error. */
  readonly unacknowledged: number;
}

export interface Completeness {
  readonly zonesEqual: boolean;
  readonly ordersComplete: boolean;
  readonly waitedMs: number;
  readonly tables: readonly TableComparison[];
  readonly orders: readonly ZoneOrders[];
  /** What went wrong, for people; at most `FAULTS_MAX`. */
  readonly faults: readonly string[];
}

/** Rows per query: some megabytes of answer at most. */
const BATCH_ROWS = 5_000;
const POLL_EVERY_MS = 500;
const FAULTS_MAX = 20;

/**
 * @param itemPrefix what the first item's name of every order of this run, and of no other, begins with
 * @param equalWithinMs how long the zones get to become equal
 */
export async function checkCompleteness(
  zones: readonly ZoneDatabase[],
  expected: readonly ExpectedOrder[],
  itemPrefix: string,
  equalWithinMs: number,
): Promise<Completeness> {
  const startedAtMs = performance.now();
  const { tables, faults } = await untilEqual(zones, startedAtMs + equalWithinMs);
  const waitedMs = Math.round(performance.now() - startedAtMs);
  const zonesEqual = faults.length === 0 && tables.length > 0 && tables.every((table) => table.isEqual);
  if (faults.length === 0 && tables.length === 0) faults.push('the publication borough has no tables in any zone');

  const ids = new Set(expected.map((order) => order.uuid));
  const repeated = expected.length - ids.size;
  if (repeated > 0) faults.push(`${repeated} order ids were acknowledged more than once`);
  const orders: ZoneOrders[] = [];
  for (const zone of zones) {
    try {
      orders.push(await checkOrders(zone, expected, itemPrefix, faults));
    } catch (error) {
      faults.push(`zone ${zone.zoneId}: orders cannot be read: ${messageOf(error)}`);
    }
  }
  const ordersComplete = repeated === 0 && orders.length === zones.length && orders.every((zone) => isComplete(zone));
  return { zonesEqual, ordersComplete, waitedMs, tables, orders, faults };
}

async function untilEqual(
  zones: readonly ZoneDatabase[],
  untilMs: number,
): Promise<{ tables: TableComparison[]; faults: string[] }> {
  for (;;) {
    const faults: string[] = [];
    const readings = await Promise.all(zones.map((zone) => digestsOf(zone, faults)));
    const tables = compareTables(readings.filter((reading) => reading !== undefined));
    const isEqual = faults.length === 0 && tables.every((table) => table.isEqual);
    if (isEqual || performance.now() >= untilMs) return { tables, faults };
    await sleep(POLL_EVERY_MS);
  }
}

async function digestsOf(zone: ZoneDatabase, faults: string[]): Promise<ZoneDigests | undefined> {
  try {
    return await ZoneReader.using(zone, async (reader) => ({
      zoneId: zone.zoneId,
      tables: await reader.tableDigests(),
    }));
  } catch (error) {
    faults.push(`zone ${zone.zoneId}: tables cannot be read: ${messageOf(error)}`);
    return undefined;
  }
}

async function checkOrders(
  zone: ZoneDatabase,
  expected: readonly ExpectedOrder[],
  itemPrefix: string,
  faults: string[],
): Promise<ZoneOrders> {
  return ZoneReader.using(zone, async (reader) => {
    const counts = { found: 0, missing: 0, altered: 0, inOtherShard: 0 };
    for (let from = 0; from < expected.length; from += BATCH_ROWS) {
      const batch = expected.slice(from, from + BATCH_ROWS);
      const rows = await reader.ordersByUuid(batch.map((order) => order.uuid));
      for (const order of batch) {
        const row = rows.get(order.uuid);
        if (row === undefined) {
          counts.missing += 1;
          note(faults, `zone ${zone.zoneId}: acknowledged order ${order.uuid} is missing`);
          continue;
        }
        counts.found += 1;
        if (!isSameContent(order, row)) {
          counts.altered += 1;
          note(faults, `zone ${zone.zoneId}: order ${order.uuid} is not as it was acknowledged`);
        }
        if (row.shard !== order.shard || row.shard !== row.storeShard) {
          counts.inOtherShard += 1;
          note(
            faults,
            `zone ${zone.zoneId}: order ${order.uuid} is in shard ${row.shard}, its store in ${row.storeShard ?? 'none'}`,
          );
        }
      }
    }
    const run = await reader.ordersOfRun(itemPrefix);
    if (run.twice > 0) note(faults, `zone ${zone.zoneId}: ${run.twice} orders of the run are there more than once`);
    return { zoneId: zone.zoneId, ...counts, twice: run.twice, unacknowledged: run.rows - counts.found };
  });
}

function note(faults: string[], fault: string): void {
  if (faults.length < FAULTS_MAX) faults.push(fault);
}

function isComplete(zone: ZoneOrders): boolean {
  return zone.missing + zone.altered + zone.inOtherShard + zone.twice === 0;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
