import { type EntitySchema } from 'typeorm';

/** Rows to insert, by sharded table, with the names of their columns, as `write_batch` reads them. */
export type NewRows = Readonly<Record<string, readonly object[]>>;

/**
 * A row under the names of its table and columns. Its `shard`, `epoch` and `version` are not looked at: those are the
 * database's to say.
 */
export function newRow<Row extends object>({ options }: EntitySchema<Row>, row: Row): NewRows {
  const columns = Object.entries<{ name?: string } | undefined>(options.columns);
  const record = Object.fromEntries(
    columns.map(([property, column]) => [column?.name ?? property, row[property as keyof Row]]),
  );
  return { [options.tableName ?? options.name]: [record] };
}
