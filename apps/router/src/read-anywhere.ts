import { ALLOW_STALE_HEADER, EPOCH_HEADER } from '@borough/contracts';
import { Problem } from '@borough/server-kit';
import { type ShardNumber, type ZoneId } from '@borough/topology';
import { type FastifyReply } from 'fastify';
import { type CanonicalRequest } from './forward/canonical-request.js';
import { hedgesTotal, replaysTotal } from './forward/forward-metrics.js';
import { type ForwardedAnswer, type Forwarder } from './forward/forwarder.js';
import { type Outcome, tryZone } from './forward/try-zone.js';
import { type ZoneHealth } from './forward/zone-health.js';
import { goalOf, pauseAfter } from './goal.js';
import { ClientGone, type Hold } from './hold/hold.js';
import { type LiveTable } from './table/live-table.js';

export interface ReadParts {
  readonly table: LiveTable;
  readonly forwarder: Forwarder;
  readonly health: ZoneHealth;
  readonly hold: Hold;
  /** Longest time a request waits here for some zone to be back, in ms. */
  readonly holdMaxMs: number;
  /** A zone that has not answered after so many ms has another one asked beside it. */
  readonly hedgeAfterMs: number;
  /** From 0 to 1. */
  readonly random: () => number;
}

const NOT_FOUND = 404;

/** What a zone may say that another zone need not say too. */
type Failure = Exclude<Outcome, { kind: 'answered' }>;

/**
 * Brings a read to the first zone that answers: every zone holds all rows (P6).
 *
 * ```
 *   owner ──┬─ answers ─────────────────────────────────────────► answered
 *           ├─ fails, refuses, is not current ─► the next one, at once
 *           └─ says nothing ─► the next one too, and the first answer counts
 *   all of them in vain: those not current are asked for what they have, and say how old it may be;
 *                        else, or where they have nothing, it is held for a moment, and all are asked again
 * ```
 */
export async function readAnywhere(
  parts: ReadParts,
  shard: ShardNumber,
  request: CanonicalRequest,
  reply: FastifyReply,
): Promise<ForwardedAnswer> {
  const { table, hold } = parts;
  let deadlineAtMs: number | undefined;
  for (let tries = 1; ; tries += 1) {
    const { owner, epoch } = goalOf(table, shard);
    request.headers[EPOCH_HEADER] = String(epoch);
    const round = await askZones(parts, owner, request);
    if ('answer' in round) return round.answer;

    if (round.failures.some(isOfOldTable)) void table.refresh();
    deadlineAtMs ??= performance.now() + parts.holdMaxMs;
    try {
      const turn = await hold.wait({
        shard,
        bytes: 0,
        afterEpoch: epoch,
        retryAfterMs: pauseAfter(tries, parts.random),
        triesWhileMoving: true,
        deadlineAtMs,
        reason: 'zone-unavailable',
        client: reply.raw,
      });
      turn.end();
    } catch (error) {
      if (error instanceof ClientGone) throw error;
      return inVain(round.failures);
    }
    replaysTotal.inc({ reason: 'zone-unavailable' });
  }
}

/** The owner says most; without one, or when it is not there, any other. */
async function askZones(
  { forwarder, health, hedgeAfterMs }: ReadParts,
  owner: ZoneId | undefined,
  request: CanonicalRequest,
): Promise<FirstAnswer> {
  const others = forwarder.zoneIds.filter((zoneId) => zoneId !== owner);
  const zoneIds = health.forReads(owner === undefined ? others : [owner, ...others]);
  const ask = (zoneId: ZoneId, signal: AbortSignal): Promise<Outcome> =>
    tryZone({ forwarder, health }, zoneId, request, undefined, signal);
  // One that is known to say nothing is not waited for while others may have the answer, or something older.
  const silent = zoneIds.filter((zoneId) => health.conditionOf(zoneId) === 'silent');
  const speaking = zoneIds.filter((zoneId) => !silent.includes(zoneId));
  const round = await firstAnswer(speaking, ask, hedgeAfterMs);
  if ('answer' in round) return round;
  if (!round.failures.some(isNotCurrent)) {
    if (silent.length === 0) return round;
    const last = await firstAnswer(silent, ask, hedgeAfterMs);
    return 'answer' in last ? last : { failures: [...round.failures, ...last.failures] };
  }
  const staleRequest = { ...request, headers: { ...request.headers, [ALLOW_STALE_HEADER]: 'true' } };
  const stale = await firstAnswer(
    // Asked anew: one that said nothing comes last now.
    health.forReads(zoneIds),
    async (zoneId, signal) => knownOf(await tryZone({ forwarder, health }, zoneId, staleRequest, undefined, signal)),
    hedgeAfterMs,
  );
  return 'answer' in stale ? stale : round;
}

/** What an old copy lacks may be there all the same: it says nothing, and the read waits until somebody knows. */
function knownOf(outcome: Outcome): Outcome {
  if (outcome.kind !== 'answered' || outcome.answer.status !== NOT_FOUND) return outcome;
  if (!Buffer.isBuffer(outcome.answer.body)) outcome.answer.body.resume();
  return { kind: 'failed', problem: new Problem('zone-unavailable', { retryAfterSeconds: 1 }) };
}

type FirstAnswer = { readonly answer: ForwardedAnswer } | { readonly failures: readonly Failure[] };

/** Asks one after the other, each as soon as the one before has failed or is late, and gives up the others at an answer. */
function firstAnswer(
  zoneIds: readonly ZoneId[],
  ask: (zoneId: ZoneId, signal: AbortSignal) => Promise<Outcome>,
  hedgeAfterMs: number,
): Promise<FirstAnswer> {
  const waiting = [...zoneIds];
  const underWay = new Set<AbortController>();
  const failures: Failure[] = [];
  return new Promise((resolve, reject) => {
    let hedging: NodeJS.Timeout | undefined;
    const finish = (outcome: FirstAnswer): void => {
      clearTimeout(hedging);
      waiting.length = 0;
      for (const controller of underWay) controller.abort();
      resolve(outcome);
    };
    const next = (): void => {
      clearTimeout(hedging);
      const zoneId = waiting.shift();
      if (zoneId === undefined) {
        if (underWay.size === 0) finish({ failures });
        // Who has it would show it to whoever does not mind its age; a zone that says nothing is waited for no longer.
        else if (failures.some(isNotCurrent))
          hedging = setTimeout(() => {
            finish({ failures });
          }, hedgeAfterMs);
        return;
      }
      const controller = new AbortController();
      underWay.add(controller);
      const hedge = (): void => {
        if (!underWay.has(controller)) return;
        if (waiting.length > 0) hedgesTotal.inc();
        next();
      };
      // Once what has come in is read: else a busy moment of this process would look like a late zone.
      hedging = setTimeout(() => setImmediate(hedge), hedgeAfterMs);
      ask(zoneId, controller.signal).then((outcome) => {
        underWay.delete(controller);
        if (outcome.kind === 'answered') finish(outcome);
        else {
          failures.push(outcome);
          next();
        }
      }, reject);
    };
    if (waiting.length === 0) finish({ failures });
    else next();
  });
}

function isNotCurrent(failure: Failure): boolean {
  return failure.kind === 'refused' && failure.refusal.code === 'zone-not-current';
}

function isOfOldTable(failure: Failure): boolean {
  return failure.kind === 'refused' && ['wrong-zone', 'stale-epoch'].includes(failure.refusal.code);
}

/** A zone's own words say more than ours. A read changes nothing, so there is no outcome to wonder about. */
function inVain(failures: readonly Failure[]): ForwardedAnswer {
  for (const failure of failures) if (failure.kind === 'refused') return failure.refusal.answer;
  const [first] = failures;
  throw new Problem('zone-unavailable', {
    retryAfterSeconds: 1,
    ...(first?.kind === 'failed' ? { cause: first.problem } : {}),
  });
}
