/** Every zone holds the same rows, column by column. */
import { type Breach } from './breach.js';
import { type Evidence, versionKey } from './evidence.js';
import { type ZoneRows } from './history.js';

export function* zonesThatDiffer({ history }: Evidence): Generator<Breach> {
  const [first, ...others] = history.zones;
  if (first === undefined) return;
  const wanted = rowsOf(first);
  for (const other of others) {
    const rows = rowsOf(other);
    for (const [id, row] of wanted) {
      const found = rows.get(id);
      if (found !== row) yield differ(`${id}: zone ${first.zone} has ${row}, zone ${other.zone} ${found ?? 'nothing'}`);
    }
    for (const id of rows.keys()) if (!wanted.has(id)) yield differ(`${id}: only zone ${other.zone} has it`);
  }
}

function rowsOf({ orders, events, keys, tables }: ZoneRows): Map<string, string> {
  const rows = new Map<string, string>();
  for (const { orderId, epoch, version, status, digest } of orders) {
    rows.set(`order ${orderId}`, `version ${version} of epoch ${epoch}, ${status} (${digest})`);
  }
  for (const { orderId, orderVersion, epoch, kind, digest } of events) {
    rows.set(`the change to ${versionKey(orderId, orderVersion)}`, `${kind} of epoch ${epoch} (${digest})`);
  }
  for (const { key, epoch, digest } of keys) rows.set(`key ${key}`, `epoch ${epoch} (${digest})`);
  for (const [table, digest] of Object.entries(tables ?? {})) rows.set(`table ${table}`, digest);
  return rows;
}

function differ(detail: string): Breach {
  return { kind: 'zones-differ', detail };
}
