/** Compares what the tables of the zones hold: pure. */

export interface TableDigest {
  /** Schema-qualified. */
  readonly table: string;
  readonly rows: number;
  /** Independent of the order of rows; decimal digits. */
  readonly digest: string;
}

export interface ZoneDigests {
  readonly zoneId: string;
  readonly tables: readonly TableDigest[];
}

export interface TableComparison {
  readonly table: string;
  readonly isEqual: boolean;
  /** One per zone that has the table, in the order of the zones. */
  readonly zones: readonly { readonly zoneId: string; readonly rows: number; readonly digest: string }[];
}

/** Every table that any zone has, by name; equal when all zones have it with the same count and digest. */
export function compareTables(readings: readonly ZoneDigests[]): TableComparison[] {
  const names = new Set(readings.flatMap((reading) => reading.tables.map((table) => table.table)));
  return [...names].sort().map((name) => {
    const zones = readings.flatMap(({ zoneId, tables }) => {
      const found = tables.find(({ table }) => table === name);
      return found === undefined ? [] : [{ zoneId, rows: found.rows, digest: found.digest }];
    });
    const contents = new Set(zones.map(({ rows, digest }) => `${rows} ${digest}`));
    return { table: name, isEqual: zones.length === readings.length && contents.size === 1, zones };
  });
}
