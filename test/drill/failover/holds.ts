import pg from 'pg';
import { type ZoneAddresses } from '../../../infra/local/cluster-addresses.js';

/** What the failovers of a round kept from being changed. */
export interface Holds {
  /** Orders that were placed before, and neither delivered nor cancelled. */
  readonly orders: number;
  /** From when they were held until they were let go, the longest, in ms. */
  readonly longestMs: number;
  /** Shards whose hold was never given up. */
  readonly unreleased: readonly number[];
}

interface HoldRow {
  shard: number;
  held_ms: number | null;
  orders: number;
}

/** @param since holds from this moment on, in ms since 1970 */
export async function readHolds({ postgres }: ZoneAddresses, since: number): Promise<Holds> {
  const client = new pg.Client({ connectionString: postgres.auditUrl, connectionTimeoutMillis: 5_000 });
  await client.connect();
  try {
    const holds = await client.query<HoldRow>(
      `SELECT h.shard, (extract(epoch FROM h.released_at - h.since) * 1000)::float8 AS held_ms,
              (SELECT count(*)::int
                 FROM (SELECT DISTINCT ON (e.order_id) e.kind
                         FROM order_events e
                        WHERE e.shard = h.shard AND e.epoch < h.held_epoch
                        ORDER BY e.order_id, e.order_version DESC) AS last
                WHERE last.kind NOT IN ('order-delivered', 'order-cancelled')) AS orders
         FROM shard_holds h
        WHERE h.since >= to_timestamp($1)`,
      [since / 1_000],
    );
    return {
      orders: holds.rows.reduce((sum, { orders }) => sum + orders, 0),
      longestMs: Math.round(Math.max(0, ...holds.rows.map(({ held_ms }) => held_ms ?? 0))),
      unreleased: holds.rows.filter(({ held_ms }) => held_ms === null).map(({ shard }) => shard),
    };
  } finally {
    await client.end();
  }
}
