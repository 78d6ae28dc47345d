/**
 * Reads one CSV file into rows by column name: what is wrong with the file is a fault (the replay does not start),
 * what is wrong with a row is named and counted, and costs that row only.
 */
import { readFile, stat } from 'node:fs/promises';
import { parse } from 'csv-parse/sync';

const FILE_MAX_BYTES = 256 * 1024 * 1024;

/** A row left out. */
export interface SkippedRow {
  readonly file: string;
  readonly line: number;
  readonly reason: string;
}

/** The cells of one row by column name; every wanted column is there. */
export type Row<Column extends string> = Readonly<Record<Column, string>>;

export type TableReading<Entry> =
  | { readonly kind: 'read'; readonly entries: Entry[]; readonly skipped: SkippedRow[] }
  | { readonly kind: 'fault'; readonly fault: string };

/** Why a row cannot be used; thrown by what turns a row into an entry, and by nothing else. */
export class RowFault extends Error {}

/**
 * @param columns the columns the header must name, in any order; other columns are let be
 * @param toEntry makes an entry of a row, or throws `RowFault`
 * @param idOf what no two entries may share
 */
export async function readTable<Column extends string, Entry>(
  file: string,
  columns: readonly Column[],
  toEntry: (row: Row<Column>) => Entry,
  idOf: (entry: Entry) => string,
): Promise<TableReading<Entry>> {
  const text = await readText(file);
  if (text.kind === 'fault') return text;
  const [header, ...lines] = parseLines(text.text);
  if (header === undefined) return fault(file, 'is empty', 'it needs a header line and rows');
  const missing = columns.filter((column) => !header.cells.includes(column));
  if (missing.length > 0) {
    return fault(file, `has no column ${missing.join(', ')}`, `its header is: ${header.cells.join(',')}`);
  }

  const places = columns.map((column) => [column, header.cells.indexOf(column)] as const);
  const entries: Entry[] = [];
  const skipped: SkippedRow[] = [];
  const lineOfId = new Map<string, number>();
  for (const { cells, line } of lines) {
    try {
      if (cells.length !== header.cells.length) {
        throw new RowFault(`${cells.length} columns where the header has ${header.cells.length}`);
      }
      const entry = toEntry(Object.fromEntries(places.map(([column, at]) => [column, cells[at]])) as Row<Column>);
      const id = idOf(entry);
      const earlier = lineOfId.get(id);
      if (earlier !== undefined) throw new RowFault(`id ${id} is also on line ${earlier}`);
      lineOfId.set(id, line);
      entries.push(entry);
    } catch (error) {
      if (!(error instanceof RowFault)) throw error;
      skipped.push({ file, line, reason: error.message });
    }
  }
  return { kind: 'read', entries, skipped };
}

async function readText(file: string): Promise<{ kind: 'text'; text: string } | { kind: 'fault'; fault: string }> {
  try {
    const { size } = await stat(file);
    if (size > FILE_MAX_BYTES) return fault(file, `has ${size} bytes`, `at most ${FILE_MAX_BYTES} are read`);
    return { kind: 'text', text: await readFile(file, 'utf8') };
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : String(error);
    return code === 'ENOENT'
      ? fault(file, 'is missing', 'every city needs orders.csv and couriers.csv')
      : fault(file, `cannot be read (${code})`, 'look at its kind and its permissions');
  }
}

interface Line {
  readonly cells: string[];
  readonly line: number;
}

/**
 * The cells of every line that has any. Without quotes on purpose: no field of the format holds a comma, and with them
 * one stray quote would swallow every line up to the next; so a record is a line. Both line ends are named because
 * csv-parse otherwise settles on the first it meets.
 */
function parseLines(text: string): Line[] {
  const records = parse(text, {
    bom: true,
    quote: null,
    record_delimiter: ['\r\n', '\n'],
    relax_column_count: true,
    trim: true,
  });
  return records
    .map((cells, index) => ({ cells, line: index + 1 }))
    .filter(({ cells }) => cells.length > 1 || cells[0] !== '');
}

function fault(file: string, what: string, remedy: string): { kind: 'fault'; fault: string } {
  return { kind: 'fault', fault: `${file} ${what}: ${remedy}` };
}
