/** Receipts for people: a list, and one of them beside the row that took its place. */
import { type Receipt, type ReceiptPage, type WholeReceipt } from '@borough/contracts';
import { type IdKind, toId } from '@borough/topology';
import { type Paint } from '../terminal/paint.js';
import { tableLines } from './table.js';
import { instant, printable } from './words.js';

/** A cell that is wider is cut; `--json` prints it whole. */
const CELL_MAX = 60;

/** @param more the command line of the next page, without its `--before` */
export function receiptsLines({ receipts, next, unanswered }: ReceiptPage, more: string, paint: Paint): string[] {
  const rows = receipts.map((receipt) => [
    `${receipt.zone}/${receipt.id}`,
    instant(receipt.foundAt),
    receipt.foundBy,
    receipt.table,
    keyWords(receipt),
    receipt.shard,
    `${receipt.epoch}/${receipt.version}`,
    receipt.isReplaced ? 'yes' : 'no',
  ]);
  return [
    ...tableLines(['RECEIPT', 'FOUND', 'BY', 'TABLE', 'KEY', 'SHARD', 'EPOCH/VERSION', 'REPLACED'], rows),
    ...(receipts.length === 0 ? [paint.green('✓ No receipt')] : []),
    ...(next === undefined ? [] : [`older ones:  ${more} --before ${next}`]),
    ...unanswered.map((zone) => paint.red(`✗ zone ${zone} did not answer: what it keeps is missing here`)),
  ];
}

/** The two rows side by side, column by column, with a mark where they differ. */
export function receiptLines(receipt: WholeReceipt, paint: Paint): string[] {
  const { zone, id, table, shard, epoch, version, foundAt, foundBy, document, replacedBy } = receipt;
  const columns = [...new Set([...Object.keys(document), ...Object.keys(replacedBy ?? {})])];
  const differing = columns.filter((column) => differs(document, replacedBy, column));
  const rows = columns.map((column) => {
    const isDiffering = replacedBy !== null && differing.includes(column);
    const cells = [isDiffering ? '≠' : '', column, cellOf(document[column]), cellOf(replacedBy?.[column])];
    return isDiffering ? cells.map((cell) => paint.yellow(cell)) : cells;
  });
  return [
    `${paint.bold(`${zone}/${id}`)}  ${table} ${keyWords(receipt)}`,
    `shard ${shard}, written at epoch ${epoch}, version ${version}; found ${instant(foundAt)} ${FOUND_WORDS[foundBy]}`,
    '',
    ...tableLines(['', 'COLUMN', `FOUND IN ${zone}`, 'IN ITS PLACE'], rows),
    '',
    replacedBy === null
      ? 'The owner has no such row: what was written here was never told to anybody, and is gone.'
      : `${differing.length} of ${columns.length} columns differ${differing.length === 0 ? '' : `: ${differing.join(', ')}`}`,
  ];
}

const FOUND_WORDS: Record<Receipt['foundBy'], string> = {
  guard: 'as the row of the owner came in',
  healing: 'as the zone healed',
};

function differs(document: WholeReceipt['document'], other: WholeReceipt['replacedBy'], column: string): boolean {
  return wordsOf(document[column]) !== wordsOf(other?.[column]);
}

/** Ids of these tables are shown as everybody outside knows them. */
const KINDS: ReadonlyMap<string, IdKind> = new Map([
  ['orders', 'order'],
  ['order_events', 'event'],
  ['stores', 'store'],
  ['couriers', 'courier'],
]);
const UUID_V7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

function keyWords({ table, key }: Pick<Receipt, 'table' | 'key'>): string {
  const kind = KINDS.get(table);
  const { id } = key;
  if (kind !== undefined && typeof id === 'string' && UUID_V7.test(id)) return toId(kind, id);
  return cut(Object.values(key).map(wordsOf).join(' · '));
}

function cellOf(value: unknown): string {
  return value === undefined ? '–' : cut(wordsOf(value));
}

function wordsOf(value: unknown): string {
  if (value === undefined) return '';
  return typeof value === 'string' ? value : JSON.stringify(value);
}

function cut(text: string): string {
  const clean = printable(text);
  return clean.length <= CELL_MAX ? clean : `${clean.slice(0, CELL_MAX - 1)}…`;
}
