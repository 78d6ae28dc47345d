/** Reads one zone's Postgres for the completeness check. Writes nothing, and holds no lock longer than a query. */
import { Client, escapeIdentifier } from 'pg';
import { type StoredOrder } from './order-content.js';
import { type TableDigest } from './table-digests.js';

/** Where a zone's Postgres is, for a role that may read all replicated tables. */
export interface ZoneDatabase {
  readonly zoneId: string;
  readonly connectionString: string;
}

const PUBLICATION = 'borough';
const CONNECT_MAX_MS = 5_000;
const QUERY_MAX_MS = 60_000;

export class ZoneReader {
  readonly #client: Client;

  private constructor(client: Client) {
    this.#client = client;
  }

  /** Runs `work` with a connection of its own, which is closed afterwards. */
  static async using<Result>(zone: ZoneDatabase, work: (reader: ZoneReader) => Promise<Result>): Promise<Result> {
    const client = new Client({
      connectionString: zone.connectionString,
      application_name: 'borough-replay',
      connectionTimeoutMillis: CONNECT_MAX_MS,
      query_timeout: QUERY_MAX_MS,
    });
    // A broken connection fails the query under way; without a listener it would also end the process.
    client.on('error', () => undefined);
    try {
      await client.connect();
      await client.query('SET default_transaction_read_only = on');
      // The text of a timestamp depends on it, and the digest on the text.
      await client.query(`SET timezone = 'UTC'`);
      return await work(new ZoneReader(client));
    } finally {
      await client.end();
    }
  }

  /** Count and digest of every published table, over its published columns. */
  async tableDigests(): Promise<TableDigest[]> {
    const { rows: tables } = await this.#client.query<{ schemaname: string; tablename: string; columns: string[] }>(
      `SELECT t.schemaname::text, t.tablename::text, t.attnames::text[] AS columns
         FROM pg_catalog.pg_publication_tables t WHERE t.pubname = $1 AND t.tablename <> 'zone_beats'`,
      [PUBLICATION],
    );
    const digests: TableDigest[] = [];
    for (const { schemaname, tablename, columns } of tables) {
      const row = `ROW(${columns.map((column) => `t.${escapeIdentifier(column)}`).join(', ')})`;
      const { rows } = await this.#client.query<{ rows: string; digest: string }>(
        `SELECT count(*)::text AS rows, coalesce(sum(hashtextextended(${row}::text, 0)::numeric), 0)::text AS digest
           FROM ${escapeIdentifier(schemaname)}.${escapeIdentifier(tablename)} t`,
      );
      digests.push({ table: `${schemaname}.${tablename}`, rows: Number(rows[0]?.rows), digest: rows[0]?.digest ?? '' });
    }
    return digests;
  }

  /** The orders with these ids that the zone has. */
  async ordersByUuid(uuids: readonly string[]): Promise<Map<string, StoredOrder>> {
    const { rows } = await this.#client.query<{
      id: string;
      shard: number;
      store_id: string;
      customer_id: string;
      items: unknown;
      store_shard: number | null;
    }>(
      `SELECT o.id, o.shard, o.store_id, o.customer_id, o.items, s.shard AS store_shard
         FROM orders o LEFT JOIN stores s ON s.id = o.store_id WHERE o.id = ANY($1::uuid[])`,
      [uuids],
    );
    return new Map(
      rows.map((row) => [
        row.id,
        {
          shard: row.shard,
          storeShard: row.store_shard ?? undefined,
          storeUuid: row.store_id,
          customerUuid: row.customer_id,
          items: row.items,
        },
      ]),
    );
  }

  /** How many orders have a first item whose name begins with `itemPrefix`, and how many of those names come twice. */
  async ordersOfRun(itemPrefix: string): Promise<{ rows: number; twice: number }> {
    const { rows } = await this.#client.query<{ rows: string; twice: string }>(
      `SELECT coalesce(sum(n.rows), 0)::text AS rows, (count(*) FILTER (WHERE n.rows > 1))::text AS twice
         FROM (SELECT count(*) AS rows FROM orders o
                WHERE starts_with(o.items -> 0 ->> 'name', $1) GROUP BY o.items -> 0 ->> 'name') n`,
      [itemPrefix],
    );
    return { rows: Number(rows[0]?.rows), twice: Number(rows[0]?.twice) };
  }
}
