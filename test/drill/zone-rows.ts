import { toId } from '@borough/topology';
import pg from 'pg';
import { type ZoneAddresses } from '../../infra/local/cluster-addresses.js';
import { type ZoneRows } from './checker/history.js';

const LOOK_AGAIN_AFTER_MS = 300;
const MOST_LOOKS = 20;

/**
 * The rows of every zone, once two readings in a row are the same: replication has come to rest.
 *
 * @param runId only what was asked for with keys that begin with it; all when empty
 * @throws Error when they do not come to rest, or a zone cannot be read
 */
export async function quietZones(zones: readonly ZoneAddresses[], runId = ''): Promise<ZoneRows[]> {
  let before = '';
  for (let looks = 0; looks < MOST_LOOKS; looks += 1) {
    const rows = await Promise.all(zones.map((zone) => readZone(zone, runId)));
    const digests = JSON.stringify(rows.map(({ tables }) => tables));
    if (digests === before) return rows;
    before = digests;
    await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN_AFTER_MS));
  }
  throw new Error('the zones do not come to rest');
}

/**
 * What one zone holds of the drill, read as the auditor, who may write nothing.
 *
 * @param runId only what was asked for with keys that begin with it; all when empty
 */
async function readZone({ id, postgres }: ZoneAddresses, runId = ''): Promise<ZoneRows> {
  const client = new pg.Client({
    connectionString: postgres.auditUrl,
    connectionTimeoutMillis: 5_000,
    query_timeout: 120_000,
  });
  await client.connect();
  try {
    const orders = await client.query<{
      id: string;
      shard: number;
      epoch: string;
      version: string;
      status: string;
      content: string;
      digest: string;
    }>(
      `SELECT o.id, o.shard, o.epoch, o.version, o.status, o.items->0->>'name' AS content, md5(o::text) AS digest
         FROM orders o
        WHERE $1 = '' OR o.items->0->>'name' LIKE 'bread ' || $1 || '%'`,
      [runId],
    );
    const events = await client.query<{
      order_id: string;
      order_version: string;
      shard: number;
      epoch: string;
      kind: string;
      at: string;
      digest: string;
    }>(
      `SELECT e.order_id, e.order_version, e.shard, e.epoch, e.kind, extract(epoch FROM e.occurred_at) * 1000 AS at,
              md5(e::text) AS digest
         FROM order_events e
        WHERE $1 = '' OR e.order_id IN (SELECT o.id FROM orders o WHERE o.items->0->>'name' LIKE 'bread ' || $1 || '%')`,
      [runId],
    );
    const keys = await client.query<{ key: string; shard: number; epoch: string; digest: string }>(
      `SELECT k.key, k.shard, k.epoch, md5(k::text) AS digest FROM idempotency_keys k WHERE k.key LIKE $1 || '%'`,
      [runId],
    );
    return {
      zone: id,
      orders: orders.rows.map((row) => ({
        orderId: toId('order', row.id),
        shard: row.shard,
        epoch: Number(row.epoch),
        version: Number(row.version),
        status: row.status,
        content: row.content,
        digest: row.digest,
      })),
      events: events.rows.map((row) => ({
        orderId: toId('order', row.order_id),
        orderVersion: Number(row.order_version),
        shard: row.shard,
        epoch: Number(row.epoch),
        kind: row.kind,
        occurredAt: Number(row.at),
        digest: row.digest,
      })),
      keys: keys.rows.map(({ key, shard, epoch, digest }) => ({ key, shard, epoch: Number(epoch), digest })),
      tables: await tableDigests(client),
    };
  } finally {
    await client.end();
  }
}

/** Rows and an order-independent digest of every replicated table that the zones share. */
async function tableDigests(client: pg.Client): Promise<Record<string, string>> {
  const tables = await client.query<{ tablename: string }>(
    // Each zone writes its own row of zone_beats every second: never the same, and nobody's data.
    "SELECT p.tablename FROM pg_publication_tables p WHERE p.pubname = 'borough' AND p.tablename <> 'zone_beats' ORDER BY 1",
  );
  const digests: Record<string, string> = {};
  for (const { tablename } of tables.rows) {
    const found = await client.query<{ digest: string }>(
      `SELECT count(*) || ' rows, ' || coalesce(sum(hashtextextended(t::text, 0)::numeric), 0) AS digest
         FROM public.${tablename} t`,
    );
    digests[tablename] = found.rows[0]?.digest ?? '';
  }
  return digests;
}
