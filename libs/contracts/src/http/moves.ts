import { z } from 'zod';
import { instantField, textField } from '../fields.js';
import { type RouteContract } from './route.js';
import { shardField, zoneIdField } from './routing.js';

/** Name of a move: a TypeID over a UUIDv7, so moves sort by when they were asked for. Tells no shard. */
export const MOVE_ID_PATTERN = /^mov_[0-7][0-9a-hjkmnp-tv-z]{25}$/;
export const moveIdField = z.string().regex(MOVE_ID_PATTERN);

/** What may be asked for. `drain` and `undrain` are worked out into shards when the move is asked for. */
export const moveTarget = z.discriminatedUnion('kind', [
  /** These shards, each from whoever owns it, to one zone. */
  z.strictObject({
    kind: z.literal('shards'),
    shards: z
      .array(shardField)
      .min(1)
      .max(4096)
      .refine((shards) => new Set(shards).size === shards.length, 'names a shard twice'),
    to: zoneIdField,
  }),
  /** Everything a zone owns; to one zone, or without `to` spread over the other zones that are able. */
  z.strictObject({ kind: z.literal('drain'), zone: zoneIdField, to: zoneIdField.optional() }),
  /** Back to a zone what the last drain of it moved away, and nobody moved on since. */
  z.strictObject({ kind: z.literal('undrain'), zone: zoneIdField }),
  /** Everything a zone owns, though its database may not answer: to the recorded member that has the most of its log. */
  z.strictObject({
    kind: z.literal('failover'),
    zone: zoneIdField,
    /**
     * Somebody accepts that writes are lost which the zone acknowledged and no zone that answers has: then any zone may be
     * the heir, and the orders in process are held until each was looked at. Never asked for by a policy.
     */
    declareLost: z.literal(true).optional(),
  }),
]);
export type MoveTarget = z.infer<typeof moveTarget>;

export const createMoveRequest = z.strictObject({
  target: moveTarget,
  /** For the record; like `kernel update of zone a`. */
  why: textField(500),
  /** Who asks; like `ana@laptop`. */
  requestedBy: textField(100),
  /** Answers with the plan and changes nothing. */
  dryRun: z.boolean().default(false),
});
export type CreateMoveRequest = z.input<typeof createMoveRequest>;

export const moveCheck = z.strictObject({
  /** Stable name, like `heir-is-ready`. */
  check: z.string(),
  isPassed: z.boolean(),
  /** What was seen, and when it did not pass what to do about it. */
  detail: z.string(),
});
export type MoveCheck = z.infer<typeof moveCheck>;

export const plannedShard = z.strictObject({
  shard: shardField,
  area: z.string().optional(),
  from: zoneIdField,
  to: zoneIdField,
  /** The epoch that ends with the move. */
  epoch: z.int().min(1),
  /** Placed, and neither delivered nor cancelled: these take no change while their shard moves. Counted for a dry run only. */
  inProcessOrders: z.int().min(0).optional(),
});
export type PlannedShard = z.infer<typeof plannedShard>;

export const movePlan = z.strictObject({
  shards: z.array(plannedShard),
  /** In order, in words for people. */
  steps: z.array(z.string()),
  checks: z.array(moveCheck),
  /** A check that did not pass blocks the move: asked for without `dryRun`, it is refused. */
  isBlocked: z.boolean(),
  /** How long writes of one shard are expected to wait, in ms; from the last moves, or the design's figure. */
  expectedPauseMs: z.number().min(0),
});
export type MovePlan = z.infer<typeof movePlan>;

/** waiting → intended → fenced (or, of an owner that does not answer, sealed off) → accepted → moved; or reverted (the old owner serves again, at a new epoch), or kept (never begun). */
export const MOVE_SHARD_STATES = [
  'waiting',
  'intended',
  'fenced',
  'sealed',
  'accepted',
  'moved',
  'reverted',
  'kept',
] as const;

export const moveShard = z.strictObject({
  shard: shardField,
  area: z.string().optional(),
  from: zoneIdField,
  to: zoneIdField,
  /** The epoch the plan found; the move ends it. */
  epoch: z.int().min(1),
  state: z.enum(MOVE_SHARD_STATES),
  /** The old owner did not answer and was sealed off: it has to rejoin. */
  sealedOff: z.boolean().optional(),
  /** From the moment writes could first be refused or held until the new owner was told to routers, in ms. */
  pauseMs: z.number().min(0).optional(),
  /** When the fence stood, and when the new (or old) owner could write again, by the coordinator's clock. */
  fencedAt: instantField.optional(),
  servedAt: instantField.optional(),
});
export type MoveShard = z.infer<typeof moveShard>;

/** moved: all of it; partly-moved: some shards; reverted: none, because of `problem`; aborted: stopped by a person. */
export const MOVE_OUTCOMES = ['moved', 'partly-moved', 'reverted', 'aborted'] as const;
export type MoveOutcome = (typeof MOVE_OUTCOMES)[number];

export const moveView = z.strictObject({
  moveId: moveIdField,
  kind: z.enum(['handover', 'failover']),
  target: moveTarget,
  why: z.string(),
  requestedBy: z.string(),
  requestedAt: z.iso.datetime(),
  state: z.enum(['running', 'ended']),
  /** Only when ended. */
  outcome: z.enum(MOVE_OUTCOMES).optional(),
  endedAt: z.iso.datetime().optional(),
  abortRequestedBy: z.string().optional(),
  abortRequestedAt: z.iso.datetime().optional(),
  /** Why it did not do all it was asked for. */
  problem: z.string().optional(),
  plan: movePlan,
  shards: z.array(moveShard),
  /** Of a failover: what was seen of the zone when it began, and how long that took from the first sign, in ms. */
  seen: z.string().optional(),
  detectedInMs: z.number().min(0).optional(),
  /** Of a failover: since when the zone that was left is a full member again; until then it is no heir and no member. */
  rejoinedAt: z.iso.datetime().optional(),
  /** Over the shards that moved. */
  pauseMs: z.strictObject({ p50: z.number(), p99: z.number(), max: z.number() }).optional(),
  /** Routers that did not report the new table within the bound; they learn it later, and are refused until then. */
  lateRouters: z.array(z.string()).optional(),
  /** Coordinators that worked on it, in order. More than one: an earlier one died or lost the lead. */
  coordinators: z.array(z.string()),
  /** +1 with each change of this record. */
  version: z.int().min(1),
});
export type MoveView = z.infer<typeof moveView>;

export const movePage = z.strictObject({ moves: z.array(moveView), next: moveIdField.optional() });
export type MovePage = z.infer<typeof movePage>;

export const abortMoveRequest = z.strictObject({ requestedBy: textField(100) });
export type AbortMoveRequest = z.infer<typeof abortMoveRequest>;

const LEADER_PROBLEMS = ['not-leader', 'no-majority', 'stale-term'] as const;
const BODY_PROBLEMS = [
  'malformed-json',
  'body-too-deep',
  'body-too-large',
  'unsupported-media-type',
  'validation-failed',
] as const;

export const createMove = {
  method: 'post',
  path: '/ops/v1/moves',
  summary:
    'Move shards to another zone, or with dryRun say what that would do; the same Idempotency-Key gives the same move',
  isTagged: false,
  body: createMoveRequest,
  answers: {
    202: { description: 'Begun; follow it at its own path', body: moveView },
    200: {
      description: 'The plan (dryRun), or the move this Idempotency-Key began',
      body: z.union([movePlan, moveView]),
    },
  },
  problems: [
    ...LEADER_PROBLEMS,
    ...BODY_PROBLEMS,
    'zone-not-found',
    'shard-not-found',
    'shard-unsettled',
    'shard-in-move',
    'move-blocked',
    'nothing-to-move',
  ],
} as const satisfies RouteContract;

export const listMoves = {
  method: 'get',
  path: '/ops/v1/moves',
  summary: 'Moves, the newest first',
  isTagged: false,
  query: z.strictObject({ limit: z.coerce.number().int().min(1).max(100).default(20), before: moveIdField.optional() }),
  answers: { 200: { description: 'One page', body: movePage } },
  problems: ['no-majority', 'malformed-query'],
} as const satisfies RouteContract;

export const getMove = {
  method: 'get',
  path: '/ops/v1/moves/{moveId}',
  summary: 'A move as it stands',
  isTagged: false,
  params: z.strictObject({ moveId: moveIdField }),
  answers: { 200: { description: 'The move', body: moveView } },
  problems: ['no-majority', 'malformed-id', 'move-not-found'],
} as const satisfies RouteContract;

/** Server-sent events: `event: progress` with a `MoveView` as data whenever it changed; `event: ended` with the last one, then the end. `id:` is its version. */
export const MOVE_EVENTS_PATH = '/ops/v1/moves/{moveId}/events';

export const abortMove = {
  method: 'post',
  path: '/ops/v1/moves/{moveId}/abort',
  summary: 'Stop a move: shards not yet accepted for the heir go back to their owner, moved ones stay moved',
  isTagged: false,
  params: z.strictObject({ moveId: moveIdField }),
  body: abortMoveRequest,
  answers: { 202: { description: 'The move, which is being stopped', body: moveView } },
  problems: [...LEADER_PROBLEMS, ...BODY_PROBLEMS, 'malformed-id', 'move-not-found', 'move-ended'],
} as const satisfies RouteContract;
