import { z } from 'zod';
import { type RouteContract } from './route.js';
import { moveIdField } from './moves.js';
import { routingEntry, zoneIdField } from './routing.js';

/** How the changes of another zone come in; anything but `streaming` and `sealed` is shown red. */
export const LINK_STATES = ['streaming', 'behind', 'stopped', 'failing', 'sealed', 'slot-lost', 'missing'] as const;

/** One direction of replication, as the zone that takes it in sees it. */
export const linkStatus = z.strictObject({
  from: zoneIdField,
  state: z.enum(LINK_STATES),
  /** Of the publisher's log, not yet applied here, in bytes; absent while the publisher does not answer. */
  lagBytes: z.number().min(0).optional(),
  /** Age of the newest beat of the publisher that was applied here, in ms. */
  beatAgeMs: z.number().min(0).optional(),
  /** Since the server's statistics began: changes that could not be applied, and rows that met another one of their key. */
  applyErrors: z.int().min(0),
  conflicts: z.int().min(0),
  /** How much more log the publisher keeps for this link before it gives the link up, in bytes; absent where unbounded. */
  logLeftBytes: z.number().min(0).optional(),
});
export type LinkStatus = z.infer<typeof linkStatus>;

/** A zone takes over rows of another: after its disk was lost, or on its way back. */
export const healingProgress = z.strictObject({
  from: zoneIdField,
  /** Rows gone through, of about so many. */
  rowsDone: z.int().min(0),
  rowsTotal: z.int().min(0),
  /** Rows written here, and rows kept as receipts. */
  taken: z.int().min(0),
  receipts: z.int().min(0),
});
export type HealingProgress = z.infer<typeof healingProgress>;

/** What came of the last audit of a zone's copies. */
export const auditSummary = z.strictObject({
  auditId: z.uuid(),
  endedAt: z.iso.datetime(),
  /** How long ago, in ms. */
  ageMs: z.number().min(0),
  rowsCompared: z.int().min(0),
  differing: z.int().min(0),
  /** Rows that moved all the time, or whose stream is stuck. */
  undecided: z.int().min(0),
  /** Why it did not come to its end. */
  problem: z.string().optional(),
});
export type AuditSummary = z.infer<typeof auditSummary>;

export const zoneStatus = z.strictObject({
  zone: zoneIdField,
  /** Its database answers the coordinator. */
  isDatabaseReachable: z.boolean(),
  /** It has a say: its disk is not new, or it has learnt again what was voted. Absent when its database does not answer. */
  isVoting: z.boolean().optional(),
  /** Its API says that it is ready; absent where the coordinator was given no address of it. */
  isApiReady: z.boolean().optional(),
  /** Shards it owns, in whatever state. */
  ownedShards: z.int().min(0),
  /** Zones each of its commits waits for; absent when its database does not answer. */
  waitsFor: z.array(zoneIdField).optional(),
  /** It waits for no other zone: what it acknowledges is nowhere else. Shown red. */
  isSolo: z.boolean().optional(),
  /** How it looks to the coordinator that leads, like `healthy`, `database-down`, `database-silent`, `api-down`, `cut-off`. */
  health: z.string().optional(),
  /** Its in-sync record: whom it must wait for, as a majority knows. Absent while no majority answers. */
  recordedMembers: z.array(zoneIdField).optional(),
  /** Zones that take in nothing of it any more: it was left by a failover and has not rejoined. */
  sealedOffBy: z.array(zoneIdField).optional(),
  /** Moves that keep its in-sync record as it is. */
  frozenBy: z.array(moveIdField).optional(),
  /** How much of its log each other zone has not applied, in bytes. */
  behindBytes: z.record(zoneIdField, z.int().min(0)).optional(),
  /** How the changes of each other zone come in. */
  links: z.array(linkStatus).optional(),
  /** Present while it takes over rows. */
  healing: z.array(healingProgress).optional(),
  /** Of what it holds of other zones' shards. */
  lastAudit: auditSummary.optional(),
  /** On its way back after a failover: what that waits for, in words. */
  rejoinWaitsFor: z.string().optional(),
  /** In words for people; empty when all is well. */
  problems: z.array(z.string()),
});
export type ZoneStatus = z.infer<typeof zoneStatus>;

export const routerStatus = z.strictObject({
  routerId: z.string(),
  tableVersion: z.int().min(0),
  /** How long ago it reported, in ms. */
  reportedMsAgo: z.number().min(0),
  heldRequests: z.int().min(0),
});

export const leaderStatus = z.strictObject({ coordinator: z.string(), term: z.int().min(1), isThisOne: z.boolean() });

export const zonesView = z.strictObject({
  /** The coordinator that answered. */
  answeredBy: z.string(),
  /** Absent while nobody is known to lead. */
  leader: leaderStatus.optional(),
  tableVersion: z.int().min(0),
  zones: z.array(zoneStatus),
  routers: z.array(routerStatus),
  runningMoves: z.array(moveIdField),
});
export type ZonesView = z.infer<typeof zonesView>;

export const shardStatus = routingEntry.extend({
  area: z.string().optional(),
  moveId: moveIdField.optional(),
  /** What each zone's copy says, like `serving a@7`; for people. */
  copies: z.record(zoneIdField, z.string()),
});
export type ShardStatus = z.infer<typeof shardStatus>;

export const shardsView = z.strictObject({ tableVersion: z.int().min(0), shards: z.array(shardStatus) });
export type ShardsView = z.infer<typeof shardsView>;

export const auditEntry = z.strictObject({
  at: z.iso.datetime(),
  who: z.string(),
  /** `move.requested`, `move.abort-requested`, `move.ended`. */
  what: z.string(),
  moveId: moveIdField.optional(),
  why: z.string().optional(),
  /** What came of it, in words. */
  detail: z.string(),
});
export type AuditEntry = z.infer<typeof auditEntry>;

export const auditPage = z.strictObject({
  entries: z.array(auditEntry),
  /** Cursor of the next, older page. */
  next: z.string().optional(),
});
export type AuditPage = z.infer<typeof auditPage>;

export const getZones = {
  method: 'get',
  path: '/ops/v1/zones',
  summary: 'Zones, routers and who leads, as this coordinator sees them just now',
  isTagged: false,
  answers: { 200: { description: 'All of them', body: zonesView } },
  problems: ['no-majority'],
} as const satisfies RouteContract;

export const getShards = {
  method: 'get',
  path: '/ops/v1/shards',
  summary: 'Every shard: its owner, state and move, and what each voter holds',
  isTagged: false,
  answers: { 200: { description: 'All of them, by number', body: shardsView } },
  problems: ['no-majority'],
} as const satisfies RouteContract;

export const getAuditLog = {
  method: 'get',
  path: '/ops/v1/audit-log',
  summary: 'Who asked for what, why, and what came of it; the newest first',
  isTagged: false,
  query: z.strictObject({
    limit: z.coerce.number().int().min(1).max(200).default(50),
    before: z.string().max(100).optional(),
  }),
  answers: { 200: { description: 'One page', body: auditPage } },
  problems: ['no-majority', 'malformed-query', 'malformed-cursor'],
} as const satisfies RouteContract;
