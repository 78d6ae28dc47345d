/** Rows for an audit to look at: the same in every zone, past the fence and without the streams. */
import { randomBytes } from 'node:crypto';
import { newUuid } from '@borough/topology';
import pg from 'pg';
import { type ZoneAddresses } from '../../../infra/local/cluster-addresses.js';

const CHUNK_ROWS = 50_000;
/** Of the first order, in ms since 1970; each is placed a tenth of a second after the one before. */
const FROM_MS = 1_700_000_000_000;
const EVERY_MS = 100;

/** The id of the order with number n: a UUIDv7 that carries its shard, by arithmetic, so that each zone makes the same. */
const ID = (n: string, kind: string): string =>
  `(lpad(to_hex(${FROM_MS} + ${EVERY_MS} * ${n}), 12, '0') || '7' || lpad(to_hex(($1::integer[])[1 + ${n} % cardinality($1)]), 3, '0')
     || '${kind}' || lpad(to_hex(${n}), 12, '0'))::uuid`;

/** The id of something else in the same shard. */
const IN_SHARD_OF = (n: string, kind: string, which: string): string =>
  `(lpad(to_hex(${FROM_MS}), 12, '0') || '7' || lpad(to_hex(($1::integer[])[1 + ${n} % cardinality($1)]), 3, '0')
     || '${kind}' || lpad(to_hex(${which}), 12, '0'))::uuid`;

const ORDERS = `
  INSERT INTO public.orders (id, shard, epoch, store_id, customer_id, status, items, drop_off_latitude, drop_off_longitude, note,
                             placed_at)
  SELECT ${ID('n', '8000')}, o.shard, o.epoch, ${IN_SHARD_OF('n', '9000', 'n % 50')}, ${IN_SHARD_OF('n', 'a000', 'n % 5000')}, 'placed',
         '[{"name": "bread", "quantity": 1}]', 1, 2, 'order ' || n, to_timestamp((${FROM_MS} + ${EVERY_MS} * n) / 1000.0)
    FROM generate_series($2::bigint, $3::bigint) n
    JOIN control.ownership o ON o.shard = ($1::integer[])[1 + n % cardinality($1)]`;

const EVENTS = `
  INSERT INTO public.order_events (id, shard, epoch, order_id, order_version, kind, after, actor, occurred_at)
  SELECT ${ID('n', 'b000')}, o.shard, o.epoch, ${ID('n', '8000')}, 1, 'placed', '{"status": "placed"}', 'customer',
         to_timestamp((${FROM_MS} + ${EVERY_MS} * n) / 1000.0)
    FROM generate_series($2::bigint, $3::bigint) n
    JOIN control.ownership o ON o.shard = ($1::integer[])[1 + n % cardinality($1)]`;

/** Orders and their events, in turn over the shards; resolves when every zone has them. */
export async function fillZones(
  zones: readonly ZoneAddresses[],
  shards: readonly number[],
  orders: number,
  onProgress: (rows: number) => void,
): Promise<void> {
  let done = 0;
  await Promise.all(
    zones.map((zone) =>
      pastTheFence(zone, async (client) => {
        for (let first = 0; first < orders; first += CHUNK_ROWS) {
          const last = Math.min(first + CHUNK_ROWS, orders) - 1;
          for (const insert of [ORDERS, EVENTS]) await client.query(insert, [shards, first, last]);
          done += last - first + 1;
          onProgress(Math.floor(done / zones.length));
        }
        await client.query('ANALYZE public.orders, public.order_events');
      }),
    ),
  );
}

const DIFFERENCES = ['changed', 'missing', 'extra'] as const;

export interface Planted {
  readonly kind: (typeof DIFFERENCES)[number];
  /** Where the wrong row is, or a row is missing: a zone that does not own its shard. */
  readonly zone: string;
  readonly shard: number;
  /** Of the order, as PostgreSQL prints it. */
  readonly key: string;
}

/** Makes orders of one zone differ from their owner's, the kinds in turn. */
export async function plantDifferences(
  zones: readonly ZoneAddresses[],
  owners: ReadonlyMap<number, string>,
  orders: number,
  count: number,
  random: () => number,
): Promise<Planted[]> {
  const shards = [...owners.keys()];
  const planted: Planted[] = [];
  for (let at = 0; at < count; at += 1) {
    const kind = DIFFERENCES[at % DIFFERENCES.length] ?? 'changed';
    // Each in a part of its own, so that no order is taken twice.
    const n = Math.floor(((at + random()) * orders) / count);
    const shard = shards[n % shards.length] ?? 0;
    const copies = zones.filter(({ id }) => id !== owners.get(shard));
    const zone = copies[Math.floor(random() * copies.length)];
    if (zone === undefined) continue;
    const key = await pastTheFence(zone, (client) => plant(client, kind, shards, n, shard));
    planted.push({ kind, zone: zone.id, shard, key });
  }
  return planted;
}

async function plant(
  client: pg.Client,
  kind: Planted['kind'],
  shards: readonly number[],
  n: number,
  shard: number,
): Promise<string> {
  const found = await client.query<{ id: string; row: object }>(
    `SELECT o.id, to_jsonb(o) AS row FROM public.orders o WHERE o.id = ${ID('$2::bigint', '8000')}`,
    [shards, n],
  );
  const [order] = found.rows;
  if (order === undefined) throw new Error(`order ${n} is not there`);
  const insert = 'INSERT INTO public.orders SELECT * FROM jsonb_populate_record(NULL::public.orders, $1::jsonb)';
  if (kind === 'extra') {
    const id = newUuid(shard, FROM_MS + EVERY_MS * n, () => randomBytes(16));
    await client.query(insert, [JSON.stringify({ ...order.row, id })]);
    return id;
  }
  await client.query('DELETE FROM public.orders o WHERE o.id = $1', [order.id]);
  if (kind === 'changed') await client.query(insert, [JSON.stringify({ ...order.row, note: 'damaged' })]);
  return order.id;
}

/** Takes away rows the owner has not, which no healing touches. */
export async function uprootExtras(zones: readonly ZoneAddresses[], planted: readonly Planted[]): Promise<void> {
  for (const { zone, key } of planted.filter(({ kind }) => kind === 'extra')) {
    const address = zones.find(({ id }) => id === zone);
    if (address === undefined) continue;
    await pastTheFence(address, (client) => client.query('DELETE FROM public.orders o WHERE o.id = $1', [key]));
  }
}

/** As the superuser, under the origin of a healing: let past the fence, and streamed to nobody. */
async function pastTheFence<Result>(
  { postgres }: ZoneAddresses,
  work: (client: pg.Client) => Promise<Result>,
): Promise<Result> {
  const client = new pg.Client({ connectionString: postgres.superuserUrl });
  await client.connect();
  try {
    await client.query('SET synchronous_commit = local');
    await client.query('SELECT control.begin_healing()');
    return await work(client);
  } finally {
    await client.end();
  }
}
