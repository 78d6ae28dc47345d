import { parseId } from '@borough/topology';
import { type TestCluster } from './cluster.js';
import { type Attempt } from './placing-orders.js';

/** Rows and an order-independent digest of every replicated table of a zone. */
async function contentsOf(cluster: TestCluster, zoneId: string): Promise<Record<string, string>> {
  const tables = await cluster.sql<{ tablename: string }>(
    zoneId,
    "SELECT p.tablename FROM pg_publication_tables p WHERE p.pubname = 'borough' AND p.tablename <> 'zone_beats' ORDER BY 1",
  );
  const contents: Record<string, string> = {};
  for (const { tablename } of tables) {
    const [row] = await cluster.sql<{ digest: string }>(
      zoneId,
      `SELECT count(*) || ' rows, ' || coalesce(sum(hashtextextended(t::text, 0)::numeric), 0) AS digest
         FROM public.${tablename} t`,
    );
    contents[tablename] = row?.digest ?? '';
  }
  return contents;
}

/** The contents of every zone that can be asked, by zone id. */
export async function contentsOfAll(cluster: TestCluster): Promise<Record<string, Record<string, string>>> {
  const contents: Record<string, Record<string, string>> = {};
  for (const { id } of cluster.addresses.zones) contents[id] = await contentsOf(cluster, id);
  return contents;
}

/** Keys of acknowledged orders that a zone does not hold exactly once with the content that was sent. */
export async function missingOrders(
  cluster: TestCluster,
  zoneId: string,
  acknowledged: readonly Attempt[],
): Promise<string[]> {
  const rows = await cluster.sql<{ id: string; name: string }>(
    zoneId,
    "SELECT o.id, o.items->0->>'name' AS name FROM orders o",
  );
  const names = new Map(rows.map(({ id, name }) => [id, name]));
  const counts = new Map<string, number>();
  for (const { name } of rows) counts.set(name, (counts.get(name) ?? 0) + 1);
  return acknowledged
    .filter(({ key, orderId }) => {
      const uuid = orderId === undefined ? undefined : parseId(orderId)?.uuid;
      const name = `bread for ${key}`;
      return uuid === undefined || names.get(uuid) !== name || counts.get(name) !== 1;
    })
    .map(({ key }) => key);
}
