import { type ComparedZone } from './compared-zone.js';

/** A replicated table as both sides of a comparison know it. */
export interface ShardedTable {
  readonly name: string;
  /** Columns of the primary key, in its order. */
  readonly key: readonly { readonly name: string; readonly type: string }[];
  /** All columns both sides have, by name. */
  readonly columns: readonly string[];
  /** Only rows that may have changed since, in ms since 1970; undefined: all. See `RangeQuery`. */
  readonly sinceMs?: number | undefined;
}

interface CatalogRow {
  readonly table_name: string;
  readonly key_names: string[];
  readonly key_types: string[];
  readonly columns: string[];
}

const CATALOG = `
  SELECT s.table_name,
         array_agg(a.attname::text ORDER BY array_position(i.indkey::int2[], a.attnum))
           FILTER (WHERE a.attnum = ANY (i.indkey)) AS key_names,
         array_agg(format_type(a.atttypid, a.atttypmod) ORDER BY array_position(i.indkey::int2[], a.attnum))
           FILTER (WHERE a.attnum = ANY (i.indkey)) AS key_types,
         array_agg(a.attname::text ORDER BY a.attname) AS columns
    FROM control.sharded_table s
    JOIN pg_index i ON i.indrelid = s.table_id AND i.indisprimary
    JOIN pg_attribute a ON a.attrelid = s.table_id AND a.attnum > 0 AND NOT a.attisdropped
   GROUP BY s.table_name
   ORDER BY s.table_name`;

/** How this database sorts text: ranges of text keys mean the same on both sides only where this is equal. */
const TEXT_ORDER = `
  SELECT concat_ws(' ', d.datlocprovider, d.datcollate, d.datlocale, d.datcollversion) AS text_order
    FROM pg_database d WHERE d.datname = current_database()`;

/**
 * The sharded tables of two zones, from their catalogs. While one is a migration ahead, what it alone has is left out: a
 * table stays closed, and empty, until every zone has it.
 *
 * @param only names of tables; undefined: all
 * @param sinceMs looks at what may have changed since, in ms since 1970; undefined: at everything
 * @throws Error when the zones sort text differently
 */
export async function shardedTables(
  left: ComparedZone,
  right: ComparedZone,
  only?: readonly string[],
  sinceMs?: number,
): Promise<ShardedTable[]> {
  const [ours, theirs, ourOrder, theirOrder] = await Promise.all([
    left.session.query<CatalogRow>(CATALOG),
    right.session.query<CatalogRow>(CATALOG),
    left.session.query<{ text_order: string }>(TEXT_ORDER),
    right.session.query<{ text_order: string }>(TEXT_ORDER),
  ]);
  if (ourOrder[0]?.text_order !== theirOrder[0]?.text_order) {
    throw new Error(
      `zone ${left.zoneId} sorts text by "${ourOrder[0]?.text_order}" and zone ${right.zoneId} by ` +
        `"${theirOrder[0]?.text_order}": ranges of keys cannot be compared`,
    );
  }
  return ours.flatMap((row) => {
    const other = theirs.find(({ table_name: name }) => name === row.table_name);
    if (other === undefined || (only !== undefined && !only.includes(row.table_name))) return [];
    const key = row.key_names.map((name, place) => ({ name, type: row.key_types[place] ?? 'text' }));
    const columns = row.columns.filter((column) => other.columns.includes(column));
    return [{ name: row.table_name, key, columns, sinceMs }];
  });
}
