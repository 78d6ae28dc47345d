import {
  EPOCH_HEADER,
  IDEMPOTENCY_KEY_HEADER,
  REQUEST_ID_HEADER,
  SHARD_HEADER,
  TABLE_VERSION_HEADER,
} from '@borough/contracts';
import { Problem, sendProblem } from '@borough/server-kit';
import { type Epoch, resolveTag, type ShardNumber, type TrafficTag, type ZoneId } from '@borough/topology';
import { type FastifyReply, type FastifyRequest } from 'fastify';
import { type CanonicalRequest, canonicalRequest } from './forward/canonical-request.js';
import { replaysTotal, reroutesTotal } from './forward/forward-metrics.js';
import { type ForwardedAnswer, type Forwarder } from './forward/forwarder.js';
import { readBody } from './forward/read-body.js';
import { mayBeRefusal, readRefusal, type ZoneRefusal } from './forward/zone-refusal.js';
import { ClientGone, type Hold, type Turn } from './hold/hold.js';
import { refusedTotal } from './hold/hold-metrics.js';
import { type LiveTable } from './table/live-table.js';
import { readTag } from './tag/read-tag.js';

/** Answered by the zone for its own connection with us. */
const NOT_RETURNED = new Set(['connection', 'keep-alive', 'transfer-encoding', 'date', REQUEST_ID_HEADER]);

/** First pause after a failure, in ms; it doubles up to the last. Up to as much again is added by chance. */
const FIRST_BACK_OFF_MS = 25;
const LAST_BACK_OFF_MS = 400;
/** A zone said the shard moves and no coordinator says so: after this many ms the zone is asked again. */
const DOUBT_AFTER_MS = 300;
/** After a wait in vain the zone's own words are the answer, if they were these: they say more than that it was in vain. */
const SAY_MORE: ReadonlySet<string> = new Set(['zone-starting', 'wrong-zone', 'stale-epoch']);
/** The reason of a wait behind requests that were held before. */
const QUEUE = 'queue';

export interface RouteRequestParts {
  readonly table: LiveTable;
  readonly forwarder: Forwarder;
  readonly hold: Hold;
  readonly maxBodyBytes: number;
  /** Longest time a request waits here altogether, from the first wait on, in ms. */
  readonly holdMaxMs: number;
  /** A larger body is not kept for a wait. */
  readonly holdMaxBodyBytes: number;
  /** From 0 to 1. */
  readonly random: () => number;
}

/**
 * The story of a request: head read strictly → tag → shard → owner → sent → answered. What may come between is told by
 * `carry`.
 *
 * Runs as a Fastify `onRequest` hook, before any body parser or Nest pipeline: this is most of what a router does.
 */
export function routeRequest(
  parts: RouteRequestParts,
): (request: FastifyRequest, reply: FastifyReply) => Promise<FastifyReply | undefined> {
  const { table, hold, maxBodyBytes } = parts;
  return async (request, reply) => {
    if (request.raw.url?.startsWith('/v1/') !== true) return undefined;
    if (!request.is404) return undefined; // the router's own: the routing table for clients
    try {
      const canonical = canonicalRequest(request.raw);
      const tag = readTag(request.headers, canonical.pathname);
      const shard = await shardOf(table, tag, isRead(canonical));
      canonical.headers[REQUEST_ID_HEADER] = request.id;
      canonical.headers[SHARD_HEADER] = String(shard);
      const body = isRead(canonical) ? undefined : await readBody(request.raw, maxBodyBytes);
      const answer = await carry(parts, shard, canonical, body, reply);
      sayWhereWeAre(reply, table, hold);
      giveBack(reply, answer);
    } catch (error) {
      if (error instanceof ClientGone) return reply.hijack();
      sayWhereWeAre(reply, table, hold);
      sendProblem(error, request, reply);
    }
    return reply;
  };
}

/** @throws Problem `routing-unknown`, `area-not-served` */
async function shardOf(table: LiveTable, tag: TrafficTag, isReadOnly: boolean): Promise<ShardNumber> {
  const known = knownShardOf(table, tag);
  if (known !== undefined) return known;
  await table.refresh();
  const found = knownShardOf(table, tag);
  if (found !== undefined) return found;
  if (!table.isKnown) throw new Problem('routing-unknown', { retryAfterSeconds: 1 });
  // Nobody owns it, and any zone can say that there is no such thing.
  if (isReadOnly && tag.kind === 'id') return tag.shard;
  throw new Problem('area-not-served', { detail: 'No area has the place, shard or id that the traffic tag names.' });
}

function knownShardOf(table: LiveTable, tag: TrafficTag): ShardNumber | undefined {
  const shard = resolveTag(tag, table.areaMap);
  return shard === undefined || table.entryOf(shard) === undefined ? undefined : shard;
}

/** Who is asked, and what it is told about the shard. */
interface Goal {
  readonly epoch: Epoch;
  /** Undefined when nobody owns the shard. */
  readonly owner: ZoneId | undefined;
}

const NOBODY: Goal = { epoch: 0, owner: undefined };

/** Why a request waits before it is sent (again). */
interface Wait {
  readonly reason: string;
  readonly afterEpoch: Epoch;
  readonly retryAfterMs?: number;
}

/**
 * Brings a request to whoever owns its shard, however often that changes on the way.
 *
 * ```
 *            ┌─ moving, or others of the shard still wait ─► held ─┐
 *   table ───┤                                                     ├──► sent ──► answered
 *            └─ serving ───────────────────────────────────────────┘      │
 *      421, 409 stale-epoch: once at once to the owner it names; then only as the table says another one than tried
 *      503 shard-moving or zone-starting: nothing was written; held, and sent again
 *      no connection, no answer: if it may be replayed, held for a moment or for a newer owner, and sent again
 * ```
 *
 * An owner that a zone names may be one that a majority is just about to accept: it does not serve yet, or has not heard
 * of it. So what the one says and the other does not know is tried again shortly, and is no reason to wait for yet
 * another epoch.
 *
 * All waits of a request share one budget. When that is over it is told the last thing that is known of its fate: once a
 * zone may have written it, nothing but a zone's answer changes that.
 */
async function carry(
  parts: RouteRequestParts,
  shard: ShardNumber,
  request: CanonicalRequest,
  body: Buffer | undefined,
  reply: FastifyReply,
): Promise<ForwardedAnswer> {
  const { table, forwarder, hold } = parts;
  const isReadOnly = isRead(request);
  const mayReplay = isReadOnly || request.headers[IDEMPOTENCY_KEY_HEADER] !== undefined;
  const refusedBy: string[] = [];
  let deadlineAtMs: number | undefined;
  let tries = 0;
  let goal = goalOf(table, shard);
  /** What a zone said of the owner, and the table perhaps does not say yet. */
  let hint: Goal | undefined;
  let wait: Wait | undefined;
  let unknown: Problem | undefined;
  let failed: Problem | undefined;
  let refused: ForwardedAnswer | undefined;

  if (!isReadOnly && hold.mustWait(shard)) wait = waitForTable(table, shard);
  for (;;) {
    let turn: Turn | undefined;
    if (wait !== undefined) {
      deadlineAtMs ??= performance.now() + parts.holdMaxMs;
      const bytes = body?.length ?? 0;
      const triesWhileMoving = isReadOnly || hint !== undefined;
      // Queueing behind others is good manners; a shard that serves refuses nobody for want of a place.
      const isFree = wait.reason === QUEUE;
      const fate: Problem | undefined = unknown ?? failed;
      if (bytes <= parts.holdMaxBodyBytes) {
        try {
          turn = await hold.wait({ ...wait, shard, bytes, deadlineAtMs, triesWhileMoving, client: reply.raw });
        } catch (error) {
          if (error instanceof ClientGone) throw error;
          if (!isFree || !isHoldFull(error)) {
            if (fate !== undefined) throw fate;
            if (refused !== undefined && SAY_MORE.has(wait.reason)) return refused;
            throw error;
          }
        }
      } else if (!isFree) {
        refusedTotal.inc({ reason: 'body' });
        if (fate !== undefined) throw fate;
        if (refused !== undefined) return refused;
        throw tooLargeToHold(parts.holdMaxBodyBytes);
      }
      if (tries > 0) replaysTotal.inc({ reason: wait.reason });
      goal = goalOf(table, shard, hint);
      wait = undefined;
    }

    tries += 1;
    let outcome: Outcome;
    try {
      outcome = await send(forwarder, goal, request, body);
    } finally {
      turn?.end();
    }

    if (outcome.kind === 'answered') return outcome.answer;

    const backOffMs = pauseAfter(tries, parts.random);
    // A zone's word is settled by the table saying the same; the table's own only by a later epoch.
    const afterEpoch = goal === hint ? goal.epoch - 1 : goal.epoch;
    if (outcome.kind === 'failed') {
      const { problem, answer } = outcome;
      if (!mayReplay || problem.code === 'overloaded') {
        if (answer !== undefined && unknown === undefined) return answer;
        throw unknown ?? problem;
      }
      if (problem.code === 'outcome-unknown') unknown = problem;
      failed = problem;
      wait = { reason: problem.code, afterEpoch, retryAfterMs: backOffMs };
      continue;
    }

    const { code, owner, epoch, answer } = outcome.refusal;
    refused = answer;
    failed = undefined;
    if (code === 'wrong-zone' || code === 'stale-epoch') {
      const isFirst = refusedBy.length === 0;
      refusedBy.push(nameOf(goal));
      const named: Goal | undefined = epoch === undefined ? undefined : { owner, epoch };
      const isBehind = named !== undefined && named.epoch < goal.epoch;
      if (isFirst && named !== undefined && !isBehind && mayGoTo(named, refusedBy, forwarder)) {
        reroutesTotal.inc();
        void table.refresh();
        hint = named;
        goal = named;
        continue;
      }
      if (isBehind && !isReadOnly) {
        wait = { reason: code, afterEpoch, retryAfterMs: backOffMs };
        continue;
      }
      deadlineAtMs ??= performance.now() + parts.holdMaxMs;
      await before(deadlineAtMs, table.refresh());
      const next = goalOf(table, shard);
      if (!isReadOnly && isMoving(table, shard)) wait = waitForTable(table, shard);
      else if (performance.now() < deadlineAtMs && mayGoTo(next, refusedBy, forwarder)) goal = next;
      else if (unknown !== undefined) throw unknown;
      else return answer;
      continue;
    }

    if (isReadOnly) return answer;
    const isSoon = code === 'zone-starting' || goal === hint;
    const retryAfterMs = isSoon ? backOffMs : DOUBT_AFTER_MS * (1 + parts.random());
    wait = { reason: code, afterEpoch, retryAfterMs };
  }
}

/** Who owns the shard, by the table or, where that is later, by what a zone said. */
function goalOf(table: LiveTable, shard: ShardNumber, hint?: Goal): Goal {
  const known = table.entryOf(shard) ?? NOBODY;
  return hint !== undefined && hint.epoch > known.epoch ? hint : known;
}

function isMoving(table: LiveTable, shard: ShardNumber): boolean {
  const entry = table.entryOf(shard);
  return entry !== undefined && entry.state !== 'serving';
}

/** The wait of a write that the table, and no zone, holds up: for the next epoch of a move, or behind the others after it. */
function waitForTable(table: LiveTable, shard: ShardNumber): Wait {
  const entry = table.entryOf(shard);
  if (entry === undefined || entry.state === 'serving') return { reason: QUEUE, afterEpoch: (entry?.epoch ?? 0) - 1 };
  return { reason: entry.state, afterEpoch: entry.epoch };
}

function isHoldFull(error: unknown): boolean {
  return error instanceof Problem && error.code === 'hold-full';
}

function nameOf({ owner, epoch }: Goal): string {
  return `${owner ?? ''}@${epoch}`;
}

function mayGoTo(goal: Goal, refusedBy: readonly string[], forwarder: Forwarder): boolean {
  return goal.owner !== undefined && forwarder.hasAddressOf(goal.owner) && !refusedBy.includes(nameOf(goal));
}

function tooLargeToHold(maxBytes: number): Problem {
  return new Problem('shard-moving', {
    detail: `Bodies of more than ${maxBytes} bytes are not held meanwhile.`,
    retryAfterSeconds: 1,
  });
}

function pauseAfter(tries: number, random: () => number): number {
  return Math.min(FIRST_BACK_OFF_MS * 2 ** (tries - 1), LAST_BACK_OFF_MS) * (1 + random());
}

/** Waits for it, but not past the deadline. */
async function before(deadlineAtMs: number, work: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, deadlineAtMs - performance.now());
  });
  await Promise.race([work, late]);
  clearTimeout(timer);
}

/** What came of one try. */
type Outcome =
  | { readonly kind: 'answered'; readonly answer: ForwardedAnswer }
  | { readonly kind: 'refused'; readonly refusal: ZoneRefusal }
  /** `answer` when it was the zone itself that said so. */
  | { readonly kind: 'failed'; readonly problem: Problem; readonly answer?: ForwardedAnswer };

/**
 * Writes go to the owner and nowhere else. Reads go on to another zone when the owner cannot be asked: every zone holds
 * complete data (P6).
 */
async function send(
  forwarder: Forwarder,
  { owner, epoch }: Goal,
  request: CanonicalRequest,
  body: Buffer | undefined,
): Promise<Outcome> {
  request.headers[EPOCH_HEADER] = String(epoch);
  const others = isRead(request) ? forwarder.zoneIds.filter((zoneId) => zoneId !== owner) : [];
  let outcome: Outcome = { kind: 'failed', problem: new Problem('zone-unavailable', { retryAfterSeconds: 1 }) };
  for (const zoneId of owner === undefined ? others : [owner, ...others]) {
    outcome = await sendTo(zoneId, forwarder, request, body);
    if (outcome.kind !== 'failed') return outcome;
  }
  if (!isRead(request)) return outcome;
  // A read changes nothing, so there is no outcome to wonder about.
  const problem = new Problem('zone-unavailable', { retryAfterSeconds: 1, cause: outcome.problem });
  return { ...outcome, problem };
}

async function sendTo(
  zoneId: ZoneId,
  forwarder: Forwarder,
  request: CanonicalRequest,
  body: Buffer | undefined,
): Promise<Outcome> {
  try {
    const answer = await forwarder.send(zoneId, request, body);
    if (request.method === 'HEAD' || !mayBeRefusal(answer)) return { kind: 'answered', answer };
    const read = await readRefusal(answer);
    if (!('code' in read)) return { kind: 'answered', answer: read };
    if (read.code !== 'zone-unavailable' && read.code !== 'outcome-unknown') return { kind: 'refused', refusal: read };
    const problem = new Problem(read.code, { detail: `Zone ${zoneId} said so.`, retryAfterSeconds: 1 });
    return { kind: 'failed', problem, answer: read.answer };
  } catch (error) {
    if (error instanceof Problem) return { kind: 'failed', problem: error };
    throw error;
  }
}

function isRead({ method }: CanonicalRequest): boolean {
  return method === 'GET' || method === 'HEAD';
}

/** Said last, since much may have changed while a request was held. */
function sayWhereWeAre(reply: FastifyReply, table: LiveTable, hold: Hold): void {
  void reply.header(TABLE_VERSION_HEADER, String(table.tableVersion));
  // Else a stopping router would wait for the client's idle connection.
  if (hold.isStopped) void reply.header('connection', 'close');
}

function giveBack(reply: FastifyReply, answer: ForwardedAnswer): void {
  for (const [name, value] of Object.entries(answer.headers)) {
    if (value !== undefined && !NOT_RETURNED.has(name)) void reply.header(name, value);
  }
  void reply.code(answer.status).send(answer.body);
}
