import { EPOCH_HEADER, IDEMPOTENCY_KEY_HEADER, type OrderHold } from '@borough/contracts';
import { Problem } from '@borough/server-kit';
import { type Epoch, type ShardNumber } from '@borough/topology';
import { type FastifyReply } from 'fastify';
import { type CanonicalRequest } from './forward/canonical-request.js';
import { replaysTotal, reroutesTotal } from './forward/forward-metrics.js';
import { type ForwardedAnswer, type Forwarder } from './forward/forwarder.js';
import { type Outcome, tryZone } from './forward/try-zone.js';
import { type ZoneHealth } from './forward/zone-health.js';
import { type Goal, goalOf, pauseAfter } from './goal.js';
import { ClientGone, type Hold, type Turn, type Waiting } from './hold/hold.js';
import { refusedTotal } from './hold/hold-metrics.js';
import { type InFlightWrites } from './in-flight-writes.js';
import { type LiveTable } from './table/live-table.js';

/** A zone said the shard moves and no coordinator says so: after this many ms the zone is asked again. */
const DOUBT_AFTER_MS = 300;
/** After a wait in vain the zone's own words are the answer, if they were these: they say more than that it was in vain. */
const SAY_MORE: ReadonlySet<string> = new Set(['zone-starting', 'wrong-zone', 'stale-epoch', 'order-held']);
/** An order that is held for this reason waits for a person. */
const DECLARED_LOSS: OrderHold['reason'] = 'declared-loss';
/** The reason of a wait behind requests that were held before. */
const QUEUE = 'queue';
/** The reason of a wait after the zone that had the write was left. */
const TAKEN_BACK = 'taken-back';
/** The reason of a wait for an owner that does not answer, or for the next one. */
const SILENT = 'zone-silent';
/** What waits for one of these only keeps an order; a shard that serves refuses nobody for want of a place. */
const GOES_ANYWAY: ReadonlySet<string> = new Set([QUEUE, TAKEN_BACK]);

export interface WriteParts {
  readonly table: LiveTable;
  readonly forwarder: Forwarder;
  readonly health: ZoneHealth;
  readonly inFlight: InFlightWrites;
  readonly hold: Hold;
  /** Longest time a request waits here altogether, from the first wait on, in ms. */
  readonly holdMaxMs: number;
  /** A larger body is not kept for a wait. */
  readonly holdMaxBodyBytes: number;
  /** From 0 to 1. */
  readonly random: () => number;
}

/** Why a request waits before it is sent (again). */
type Wait = Pick<Waiting, 'reason' | 'afterEpoch' | 'retryAfterMs' | 'untilAnswers'>;

/** What is known of a write that is not answered yet. */
interface Fate {
  /** Its outcome at the zone that had it is not known, since it was tried at this epoch. */
  unknown?: { readonly problem: Problem; readonly epoch: Epoch } | undefined;
  /** How the last try failed, if it did. */
  failed?: Problem | undefined;
  /** What a zone said last. */
  refused?: ForwardedAnswer | undefined;
}

/**
 * Brings a write to whoever owns its shard, however often that changes on the way.
 *
 * ```
 *            ┌─ moving, or others of the shard still wait, or its owner is silent ─► held ─┐
 *   table ───┤                                                                             ├──► sent ──► answered
 *            └─ serving ───────────────────────────────────────────────────────────────────┘      │
 *      421, 409 stale-epoch: once at once to the owner it names; then only as the table says another one than tried
 *      503 shard-moving or zone-starting, 423 order-held: nothing was written; held, and sent again
 *      no connection, no answer: if it may be replayed, held for a moment or for a newer owner, and sent again
 *      no answer yet, and the table says another owner: if it may be replayed, taken back, and sent to that one
 * ```
 *
 * An owner that a zone names may be one that a majority is just about to accept: it does not serve yet, or has not heard
 * of it. So what the one says and the other does not know is tried again shortly, and is no reason to wait for yet
 * another epoch.
 *
 * All waits of a request share one budget. When that is over it is told the last thing that is known of its fate: once a
 * zone may have written it, nothing but a zone's answer changes that.
 */
export async function carryWrite(
  parts: WriteParts,
  shard: ShardNumber,
  request: CanonicalRequest,
  body: Buffer | undefined,
  reply: FastifyReply,
): Promise<ForwardedAnswer> {
  const { table, forwarder, health, hold } = parts;
  const mayReplay = request.headers[IDEMPOTENCY_KEY_HEADER] !== undefined;
  const refusedBy: string[] = [];
  const fate: Fate = {};
  let deadlineAtMs: number | undefined;
  let tries = 0;
  let goal = goalOf(table, shard);
  /** What a zone said of the owner, and the table perhaps does not say yet. */
  let hint: Goal | undefined;
  let wait: Wait | undefined;

  if (hold.mustWait(shard)) wait = waitForTable(table, shard);
  for (;;) {
    let turn: Turn | undefined;
    if (wait !== undefined) {
      deadlineAtMs ??= performance.now() + parts.holdMaxMs;
      const waiting = {
        ...wait,
        shard,
        bytes: body?.length ?? 0,
        deadlineAtMs,
        triesWhileMoving: hint !== undefined,
        client: reply.raw,
      };
      const ended = await waitForTurn(parts, waiting, fate);
      if ('answer' in ended) return ended.answer;
      turn = ended.turn;
      if (tries > 0) replaysTotal.inc({ reason: wait.reason });
      goal = goalOf(table, shard, hint);
    }
    wait = waitForOwner(health, goal);
    if (wait !== undefined) {
      turn?.end();
      continue;
    }

    tries += 1;
    let outcome: Outcome | TakenBack;
    try {
      outcome = await send(parts, shard, goal, request, body, mayReplay);
    } finally {
      turn?.end();
    }
    if (outcome.kind === 'answered') return outcome.answer;

    const backOffMs = pauseAfter(tries, parts.random);
    // A zone's word is settled by the table saying the same; the table's own only by a later epoch.
    const afterEpoch = goal === hint ? goal.epoch - 1 : goal.epoch;
    if (outcome.kind === 'taken-back') {
      fate.unknown = { problem: outcome.problem, epoch: goal.epoch };
      wait = { reason: TAKEN_BACK, afterEpoch: goal.epoch };
      continue;
    }
    if (outcome.kind === 'failed') {
      const { problem, answer } = outcome;
      if (!mayReplay || problem.code === 'overloaded') {
        if (answer !== undefined && fate.unknown === undefined) return answer;
        throw fate.unknown?.problem ?? problem;
      }
      if (problem.code === 'outcome-unknown') fate.unknown = { problem, epoch: goal.epoch };
      fate.failed = problem;
      wait = { reason: problem.code, afterEpoch, retryAfterMs: backOffMs };
      continue;
    }

    const { code, owner, epoch, reason, answer } = outcome.refusal;
    fate.refused = answer;
    fate.failed = undefined;
    if (code === 'overloaded') return lastWord(answer, fate);
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
      if (isBehind) {
        wait = { reason: code, afterEpoch, retryAfterMs: backOffMs };
        continue;
      }
      deadlineAtMs ??= performance.now() + parts.holdMaxMs;
      await before(deadlineAtMs, table.refresh());
      const next = goalOf(table, shard);
      if (isMoving(table, shard)) wait = waitForTable(table, shard);
      else if (performance.now() < deadlineAtMs && mayGoTo(next, refusedBy, forwarder)) goal = next;
      else return lastWord(answer, fate);
      continue;
    }

    if (code === 'order-held') {
      // This owner has all that the ones before it said done, and does not have this: it was not done, and will not be.
      if (fate.unknown !== undefined && fate.unknown.epoch < goal.epoch) fate.unknown = undefined;
      if (reason === DECLARED_LOSS) return lastWord(answer, fate);
      wait = { reason: code, afterEpoch, retryAfterMs: backOffMs };
      continue;
    }
    const isSoon = code !== 'shard-moving' || goal === hint;
    wait = { reason: code, afterEpoch, retryAfterMs: isSoon ? backOffMs : DOUBT_AFTER_MS * (1 + parts.random()) };
  }
}

/** @throws Problem when the write may have been done where it was tried before: this zone cannot know */
function lastWord(answer: ForwardedAnswer, { unknown }: Fate): ForwardedAnswer {
  if (unknown !== undefined) throw unknown.problem;
  return answer;
}

/**
 * @returns the turn, if one had to be waited for; or the answer, where a zone's last word says more than a wait in vain
 * @throws Problem with what is known of the write's fate; `hold-full`, `hold-timeout`, `shard-moving`, `zone-unavailable`
 * @throws ClientGone
 */
async function waitForTurn(
  { hold, holdMaxBodyBytes }: WriteParts,
  waiting: Waiting,
  { unknown, failed, refused }: Fate,
): Promise<{ turn: Turn | undefined } | { answer: ForwardedAnswer }> {
  const { reason } = waiting;
  const fate = unknown?.problem ?? failed;
  if (waiting.bytes > holdMaxBodyBytes) {
    if (GOES_ANYWAY.has(reason)) return { turn: undefined };
    refusedTotal.inc({ reason: 'body' });
    if (fate !== undefined) throw fate;
    if (refused !== undefined) return { answer: refused };
    throw reason === SILENT ? ownerIsSilent(waiting.untilAnswers) : tooLargeToHold(holdMaxBodyBytes);
  }
  try {
    return { turn: await hold.wait(waiting) };
  } catch (error) {
    if (error instanceof ClientGone) throw error;
    if (GOES_ANYWAY.has(reason) && isHoldFull(error)) return { turn: undefined };
    if (fate !== undefined) throw fate;
    if (refused !== undefined && SAY_MORE.has(reason)) return { answer: refused };
    throw reason === SILENT && !isHoldFull(error) ? ownerIsSilent(waiting.untilAnswers, error) : error;
  }
}

/** The zone that had the write does not own its shard any more: what became of the write there counts for nothing. */
interface TakenBack {
  readonly kind: 'taken-back';
  readonly problem: Problem;
}

async function send(
  { forwarder, health, inFlight }: WriteParts,
  shard: ShardNumber,
  { owner, epoch }: Goal,
  request: CanonicalRequest,
  body: Buffer | undefined,
  mayReplay: boolean,
): Promise<Outcome | TakenBack> {
  if (owner === undefined)
    return { kind: 'failed', problem: new Problem('zone-unavailable', { retryAfterSeconds: 1 }) };
  request.headers[EPOCH_HEADER] = String(epoch);
  if (!mayReplay) return tryZone({ forwarder, health }, owner, request, body);
  const { signal, end } = inFlight.begin(shard, owner, epoch);
  try {
    const outcome = await tryZone({ forwarder, health }, owner, request, body, signal);
    const isTakenBack = outcome.kind === 'failed' && signal.aborted;
    return isTakenBack ? { kind: 'taken-back', problem: outcome.problem } : outcome;
  } finally {
    end();
  }
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

/** No write is added to those that a silent zone has already. */
function waitForOwner(health: ZoneHealth, { owner, epoch }: Goal): Wait | undefined {
  if (owner === undefined || health.conditionOf(owner) !== 'silent') return undefined;
  return { reason: SILENT, afterEpoch: epoch, untilAnswers: owner };
}

function ownerIsSilent(owner: string | undefined, cause?: unknown): Problem {
  return new Problem('zone-unavailable', {
    detail: `Zone ${owner ?? ''} does not answer.`,
    retryAfterSeconds: 1,
    cause,
  });
}

function tooLargeToHold(maxBytes: number): Problem {
  return new Problem('shard-moving', {
    detail: `Bodies of more than ${maxBytes} bytes are not held meanwhile.`,
    retryAfterSeconds: 1,
  });
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

/** Waits for it, but not past the deadline. */
async function before(deadlineAtMs: number, work: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, deadlineAtMs - performance.now());
  });
  await Promise.race([work, late]);
  clearTimeout(timer);
}
