import { z } from 'zod';
import { textField } from '../fields.js';
import { type RouteContract } from './route.js';
import { shardField, zoneIdField } from './routing.js';

const auditIdField = z.uuid();
const tableField = z.string().regex(/^[a-z_][a-z0-9_]{0,62}$/, 'must be the name of a table');

/** What is compared, and what is done about what differs. */
const auditScope = z.strictObject({
  /** Only these tables; all when left out. */
  tables: z.array(tableField).min(1).max(100).optional(),
  /** Only what these zones own and hold of each other; all when left out. */
  zones: z.array(zoneIdField).min(2).max(16).optional(),
  /** Only rows that may have changed since. */
  since: z.iso.datetime({ offset: true }).optional(),
  /** Copies that differ are made what their owner has. Nothing is ever written to an owner. */
  heal: z.boolean().default(false),
  why: textField(500).optional(),
});

export const createAuditRequest = auditScope.extend({
  /** Who asks; like `ana@laptop`. */
  requestedBy: textField(100),
  /** A UUID of the caller's: asked again with the same one, nothing is begun anew. */
  auditId: auditIdField.optional(),
});
export type CreateAuditRequest = z.input<typeof createAuditRequest>;

const stamp = z.strictObject({ epoch: z.int().min(1), version: z.int().min(1) });

export const auditDifference = z.strictObject({
  table: z.string(),
  /** The values of the primary key, as text. */
  key: z.array(z.string()),
  shard: shardField,
  /** Of the owner's row; absent where it has none. */
  owner: stamp.optional(),
  /** Of the row in the zone that was audited; absent where it has none. */
  copy: stamp.optional(),
});
export type AuditDifference = z.infer<typeof auditDifference>;

/** What one zone holds of the shards of another, compared with what that owner has. */
export const auditPair = z.strictObject({
  owner: zoneIdField,
  /** Where the copies are. */
  copy: zoneIdField,
  rowsCompared: z.int().min(0),
  /** Rows that were looked at one by one; the rest by the digest of their range. */
  rowsRead: z.int().min(0),
  /** At most 1,000; after a healing what is left. */
  differing: z.array(auditDifference),
  /** Rows that moved all the time, or whose stream stands still: nobody can say. */
  undecided: z.int().min(0),
  /** False: there may be more that differ. */
  isComplete: z.boolean(),
  /** Rows that were taken over from the owner, and rows that are kept as receipts. */
  taken: z.int().min(0),
  receipts: z.int().min(0),
  /** Why not all is known. */
  problem: z.string().optional(),
});
export type AuditPair = z.infer<typeof auditPair>;

const auditState = z.enum(['waiting', 'running', 'ended']);

const zonePart = z.strictObject({
  zone: zoneIdField,
  state: auditState,
  /** While it runs. */
  progress: z.strictObject({ owner: z.string(), table: z.string(), rowsCompared: z.int().min(0) }).optional(),
});

export const auditView = z.strictObject({
  auditId: auditIdField,
  /** `ended` once every zone that answers has ended its part. */
  state: auditState,
  request: auditScope,
  requestedBy: z.string(),
  requestedAt: z.iso.datetime(),
  endedAt: z.iso.datetime().optional(),
  isCancelled: z.boolean(),
  zones: z.array(zonePart),
  /** Zones that do not answer, or did not when it was asked for: what they hold is not known. */
  unanswered: z.array(zoneIdField),
  pairs: z.array(auditPair),
  rowsCompared: z.int().min(0),
  rowsRead: z.int().min(0),
  differing: z.int().min(0),
  undecided: z.int().min(0),
  /** It has ended, everything that was asked for was seen, and no row differs. */
  isEqual: z.boolean(),
});
export type AuditView = z.infer<typeof auditView>;

export const auditList = z.strictObject({ audits: z.array(auditView) });
export type AuditList = z.infer<typeof auditList>;

const WRITE_PROBLEMS = [
  'not-leader',
  'no-majority',
  'stale-term',
  'malformed-json',
  'body-too-deep',
  'body-too-large',
  'unsupported-media-type',
  'validation-failed',
] as const;

export const createAudit = {
  method: 'post',
  path: '/ops/v1/audits',
  summary: 'Compare what zones hold of the shards of others with their owners; read-only unless it is to heal',
  isTagged: false,
  body: createAuditRequest,
  answers: { 202: { description: 'It is begun in every zone that answers', body: auditView } },
  problems: [...WRITE_PROBLEMS, 'zone-not-found', 'zone-unavailable'],
} as const satisfies RouteContract;

export const listAudits = {
  method: 'get',
  path: '/ops/v1/audits',
  summary: 'Audits, the newest first; those that zones make by themselves are one per zone',
  isTagged: false,
  query: z.strictObject({ limit: z.coerce.number().int().min(1).max(50).default(20) }),
  answers: { 200: { description: 'Of every zone that answered', body: auditList } },
  problems: ['malformed-query', 'zone-unavailable'],
} as const satisfies RouteContract;

export const getAudit = {
  method: 'get',
  path: '/ops/v1/audits/{auditId}',
  summary: 'One audit: how far it is, and what it found',
  isTagged: false,
  params: z.strictObject({ auditId: auditIdField }),
  answers: { 200: { description: 'The audit', body: auditView } },
  problems: ['malformed-id', 'audit-not-found', 'zone-unavailable'],
} as const satisfies RouteContract;

export const cancelAudit = {
  method: 'post',
  path: '/ops/v1/audits/{auditId}/cancel',
  summary: 'End an audit with what it has found so far; what was healed stays',
  isTagged: false,
  params: z.strictObject({ auditId: auditIdField }),
  answers: { 200: { description: 'It ends in a moment', body: auditView } },
  problems: ['not-leader', 'no-majority', 'stale-term', 'malformed-id', 'audit-not-found', 'zone-unavailable'],
} as const satisfies RouteContract;
