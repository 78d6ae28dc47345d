import { toId } from '@borough/topology';
import pg from 'pg';
import { type ZoneAddresses } from '../../infra/local/cluster-addresses.js';
import { type ZoneRows } from './checker/history.js';

/** What one zone holds of the drill, read as the auditor, who may write nothing. */
export async function readZone({ id, postgres }: ZoneAddresses): Promise<ZoneRows> {
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
         FROM orders o`,
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
         FROM order_events e`,
    );
    const keys = await client.query<{ key: string; shard: number; epoch: string; digest: string }>(
      'SELECT k.key, k.shard, k.epoch, md5(k::text) AS digest FROM idempotency_keys k',
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
    };
  } finally {
    await client.end();
  }
}
