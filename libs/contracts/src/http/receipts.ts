import { z } from 'zod';
import { type RouteContract } from './route.js';
import { shardField, zoneIdField } from './routing.js';

const receiptNumber = z.int().min(1);

/** A row that a deposed owner had written and nobody was told of. It left its table, and is kept where it was found. */
export const receipt = z.strictObject({
  zone: zoneIdField,
  /** Counts from 1 in each zone. */
  id: receiptNumber,
  table: z.string(),
  /** The columns of the primary key. */
  key: z.record(z.string(), z.unknown()),
  shard: shardField,
  /** Of the row as it was found. */
  epoch: z.int().min(1),
  version: z.int().min(1),
  foundAt: z.iso.datetime(),
  /** `guard`: the owner's row came in over it. `healing`: the zone compared itself with the owner. */
  foundBy: z.enum(['guard', 'healing']),
  /** Whether another row stands in its place; otherwise the owner has none. */
  isReplaced: z.boolean(),
});
export type Receipt = z.infer<typeof receipt>;

export const receiptPage = z.strictObject({
  /** The newest of each zone first. */
  receipts: z.array(receipt),
  /** Cursor of the next, older page. */
  next: z.string().optional(),
  /** Zones that did not answer: what they keep is not shown. */
  unanswered: z.array(zoneIdField),
});
export type ReceiptPage = z.infer<typeof receiptPage>;

const rowDocument = z.record(z.string(), z.unknown());

export const wholeReceipt = receipt.omit({ isReplaced: true }).extend({
  /** The row as it stood, column by column. */
  document: rowDocument,
  /** The row in its place, of the same key or of another that collides with it; null where the owner has none. */
  replacedBy: rowDocument.nullable(),
});
export type WholeReceipt = z.infer<typeof wholeReceipt>;

/** Where a page ends: the oldest receipt shown of each zone, like `a/12,b/7`. */
export const RECEIPT_CURSOR_PATTERN = /^[a-z][a-z0-9-]{0,15}\/[1-9]\d{0,14}(?:,[a-z][a-z0-9-]{0,15}\/[1-9]\d{0,14})*$/;

export const listReceipts = {
  method: 'get',
  path: '/ops/v1/receipts',
  summary: 'Rows that deposed owners had written and nobody was told of, the newest first; without what stood in them',
  isTagged: false,
  query: z.strictObject({
    zone: zoneIdField.optional(),
    table: z.string().min(1).max(63).optional(),
    shard: z.coerce.number().pipe(shardField).optional(),
    limit: z.coerce.number().int().min(1).max(500).default(50),
    before: z.string().max(500).optional(),
  }),
  answers: { 200: { description: 'One page, of every zone that answered', body: receiptPage } },
  problems: ['malformed-query', 'malformed-cursor', 'zone-not-found'],
} as const satisfies RouteContract;

export const getReceipt = {
  method: 'get',
  path: '/ops/v1/receipts/{zone}/{id}',
  summary: 'One receipt, with the row as it stood and the row that took its place',
  isTagged: false,
  params: z.strictObject({ zone: zoneIdField, id: z.coerce.number().pipe(receiptNumber) }),
  answers: { 200: { description: 'The receipt', body: wholeReceipt } },
  problems: ['malformed-id', 'zone-not-found', 'receipt-not-found', 'zone-unavailable'],
} as const satisfies RouteContract;
