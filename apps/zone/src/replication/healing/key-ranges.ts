/**
 * What a zone is asked about a table: digests of key ranges, where to split them, and rows by range or by key.
 *
 * A digest is made in the database, from the values and not from their text, so settings of a session make no
 * difference; it is a sum, so the order of rows makes none. Keys travel as text.
 */
import { type RowStamp } from '@borough/topology';
import { type ComparedZone } from './compared-zone.js';
import { type ShardedTable } from './sharded-table.js';

/** The values of a primary key, as text. */
export type RowKey = readonly string[];

/** Keys above `after` and up to `upTo`; undefined: no bound. */
export interface KeyRange {
  readonly after?: RowKey | undefined;
  readonly upTo?: RowKey | undefined;
}

export interface RangeDigest {
  readonly rows: number;
  readonly digest: string;
}

/** A row without its content. */
export interface RowDigest extends RowStamp {
  readonly key: RowKey;
  readonly shard: number;
  readonly digest: string;
}

/** Ranges per query; each is a look into the index of its own. */
const RANGES_PER_QUERY = 64;
const DEADLINE_MS = 60_000;

/** One line per range, in their order. */
export async function digestsOf(
  zone: ComparedZone,
  table: ShardedTable,
  shards: readonly number[],
  ranges: readonly KeyRange[],
): Promise<RangeDigest[]> {
  const digests: RangeDigest[] = [];
  for (let first = 0; first < ranges.length; first += RANGES_PER_QUERY) {
    const query = new RangeQuery(table, shards);
    const parts = ranges.slice(first, first + RANGES_PER_QUERY).map(
      (range, place) =>
        `SELECT ${place} AS place, count(*)::integer AS rows, coalesce(sum(${digestOfRow(table)}), 0)::text AS digest
             FROM ${query.from} WHERE ${query.within(range)}`,
    );
    const sql = `${parts.join(' UNION ALL ')} ORDER BY place`;
    digests.push(...(await zone.session.query<{ rows: number; digest: string }>(sql, query.parameters, DEADLINE_MS)));
  }
  return digests.map(({ rows, digest }) => ({ rows, digest }));
}

/**
 * Every `step`th key of the first `limit` rows in the range, in order.
 *
 * @param shards undefined: rows of all shards count; then the index alone is read
 */
export async function keysAt(
  zone: ComparedZone,
  table: ShardedTable,
  shards: readonly number[] | undefined,
  range: KeyRange,
  step: number,
  limit: number,
): Promise<RowKey[]> {
  const query = new RangeQuery(table, shards);
  const columns = table.key.map(({ name }) => `t.${quoted(name)}`).join(', ');
  const sql = `
    SELECT ${keyAsText(table)} AS key
      FROM (SELECT t.*, row_number() OVER () AS n
              FROM (SELECT ${columns} FROM ${query.from} WHERE ${query.within(range)}
                     ORDER BY ${columns} LIMIT ${limit}) t) t
     WHERE t.n % ${step} = 0 ORDER BY t.n`;
  const rows = await zone.session.query<{ key: string[] }>(sql, query.parameters, DEADLINE_MS);
  return rows.map(({ key }) => key);
}

export function rowsWithin(
  zone: ComparedZone,
  table: ShardedTable,
  shards: readonly number[],
  range: KeyRange,
): Promise<RowDigest[]> {
  const query = new RangeQuery(table, shards);
  return readDigests(zone, table, query, query.within(range));
}

export function rowsByKey(zone: ComparedZone, table: ShardedTable, keys: readonly RowKey[]): Promise<RowDigest[]> {
  const query = new RangeQuery(table, undefined);
  return readDigests(zone, table, query, query.among(keys));
}

/** Whole rows as JSON texts, never read here: numbers beyond those of JavaScript stay as they are. */
export async function documentsWithin(
  zone: ComparedZone,
  table: ShardedTable,
  shards: readonly number[],
  range: KeyRange,
): Promise<string[]> {
  const query = new RangeQuery(table, shards);
  return readDocuments(zone, query, query.within(range));
}

export async function documentsByKey(
  zone: ComparedZone,
  table: ShardedTable,
  keys: readonly RowKey[],
): Promise<string[]> {
  const query = new RangeQuery(table, undefined);
  return readDocuments(zone, query, query.among(keys));
}

async function readDocuments(zone: ComparedZone, query: RangeQuery, condition: string): Promise<string[]> {
  const sql = `SELECT to_jsonb(t)::text AS document FROM ${query.from} WHERE ${condition}`;
  const rows = await zone.session.query<{ document: string }>(sql, query.parameters, DEADLINE_MS);
  return rows.map(({ document }) => document);
}

async function readDigests(
  zone: ComparedZone,
  table: ShardedTable,
  query: RangeQuery,
  condition: string,
): Promise<RowDigest[]> {
  const sql = `
    SELECT ${keyAsText(table)} AS key, t.shard, t.epoch::text, t.version::text, ${digestOfRow(table)}::text AS digest
      FROM ${query.from} WHERE ${condition}`;
  const rows = await zone.session.query<{
    key: string[];
    shard: number;
    epoch: string;
    version: string;
    digest: string;
  }>(sql, query.parameters, DEADLINE_MS);
  return rows.map((row) => ({ ...row, epoch: Number(row.epoch), version: Number(row.version) }));
}

/** Conditions on the keys and shards of one table, as `t`, with the parameters they need. */
class RangeQuery {
  readonly parameters: unknown[] = [];
  readonly from: string;
  private readonly ofShards: string;

  constructor(
    private readonly table: ShardedTable,
    shards: readonly number[] | undefined,
  ) {
    this.from = `public.${quoted(table.name)} t`;
    this.ofShards = shards === undefined ? 'true' : `t.shard = ANY (${this.parameter(shards, 'integer[]')})`;
  }

  within({ after, upTo }: KeyRange): string {
    const key = this.table.key.map(({ name }) => `t.${quoted(name)}`).join(', ');
    return [
      this.ofShards,
      ...(after === undefined ? [] : [`(${key}) > (${this.keyParameters(after)})`]),
      ...(upTo === undefined ? [] : [`(${key}) <= (${this.keyParameters(upTo)})`]),
      ...this.changedSince(),
    ].join(' AND ');
  }

  /**
   * By the time in the rows' ids, or `created_at`; of a table that has neither (few rows) all. Orders are placed once and
   * change often, which their events tell. These times are not those of the commits, so whoever asks takes some more.
   */
  private changedSince(): string[] {
    const { sinceMs, key, columns, name } = this.table;
    if (sinceMs === undefined) return [];
    if (key.length === 1 && key[0]?.name === 'id' && key[0].type === 'uuid') {
      const first = this.parameter(firstIdAt(sinceMs), 'uuid');
      const own = `t.id >= ${first}`;
      if (name !== 'orders') return [own];
      return [`(${own} OR t.id IN (SELECT e.order_id FROM public.order_events e WHERE e.id >= ${first}))`];
    }
    if (!columns.includes('created_at')) return [];
    return [`t.created_at >= ${this.parameter(new Date(sinceMs), 'timestamptz')}`];
  }

  among(keys: readonly RowKey[]): string {
    const columns = this.table.key.map(({ name }) => `t.${quoted(name)}`).join(', ');
    const lists = this.table.key.map(({ type }, place) =>
      this.parameter(
        keys.map((key) => key[place]),
        `${type}[]`,
      ),
    );
    return `(${columns}) IN (SELECT * FROM unnest(${lists.join(', ')}))`;
  }

  private keyParameters(key: RowKey): string {
    return this.table.key.map(({ type }, place) => this.parameter(key[place], type)).join(', ');
  }

  private parameter(value: unknown, type: string): string {
    this.parameters.push(value);
    return `$${this.parameters.length}::${type}`;
  }
}

/** The least UUIDv7 of that moment. */
function firstIdAt(ms: number): string {
  const time = Math.max(0, Math.floor(ms)).toString(16).padStart(12, '0');
  return `${time.slice(0, 8)}-${time.slice(8)}-0000-0000-000000000000`;
}

function digestOfRow(table: ShardedTable): string {
  return `hash_record_extended(ROW(${table.columns.map((column) => `t.${quoted(column)}`).join(', ')}), 0)`;
}

function keyAsText(table: ShardedTable): string {
  return `ARRAY[${table.key.map(({ name }) => `t.${quoted(name)}::text`).join(', ')}]`;
}

function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}
