/** The record of a move: pure changes of a `MoveView`, which is also its wire and stored form. */
import { type MoveOutcome, type MovePlan, type MoveShard, type MoveTarget, type MoveView } from '@borough/contracts';
import { type MoveId, type ShardNumber, type Term } from '@borough/topology';

/** Versions of one term: more than any move has changes. */
const VERSIONS_PER_TERM = 1_000_000;

/**
 * The first version under a term. Greater than every version of an older term, so that whoever follows a move over the
 * death of a coordinator sees it only go forward.
 */
export function firstVersionOf(term: Term): number {
  return term.number * VERSIONS_PER_TERM;
}

export interface MoveRequest {
  readonly moveId: MoveId;
  readonly target: MoveTarget;
  readonly why: string;
  readonly requestedBy: string;
  /** Of a failover that a policy began. */
  readonly seen?: string;
  readonly detectedInMs?: number;
}

export function newMove(request: MoveRequest, plan: MovePlan, at: Date, term: Term): MoveView {
  return {
    ...request,
    kind: request.target.kind === 'failover' ? 'failover' : 'handover',
    requestedAt: at.toISOString(),
    state: 'running',
    plan,
    shards: plan.shards.map(({ shard, area, from, to, epoch }) => ({
      shard,
      ...(area === undefined ? {} : { area }),
      from,
      to,
      epoch,
      state: 'waiting',
    })),
    coordinators: [term.coordinator],
    version: firstVersionOf(term),
  };
}

/** As another coordinator, or the same under a new term, takes it up. */
export function takenUp(move: MoveView, term: Term): MoveView {
  const coordinators =
    move.coordinators.at(-1) === term.coordinator ? move.coordinators : [...move.coordinators, term.coordinator];
  return { ...move, coordinators, version: Math.max(firstVersionOf(term), move.version + 1) };
}

/** With one shard's progress; `change` wins over what is there. */
export function withShard(move: MoveView, shard: ShardNumber, change: Partial<MoveShard>): MoveView {
  const shards = move.shards.map((entry) => (entry.shard === shard ? { ...entry, ...change } : entry));
  return { ...move, shards, version: move.version + 1 };
}

/** The zone that a failover left is a full member again. */
export function rejoined(move: MoveView, at: Date): MoveView {
  return { ...move, rejoinedAt: at.toISOString(), version: move.version + 1 };
}

/** With the reason why it does not do all it was asked for; the first one stays. */
export function withProblem(move: MoveView, problem: string): MoveView {
  return move.problem === undefined ? { ...move, problem, version: move.version + 1 } : move;
}

export function withAbort(move: MoveView, requestedBy: string, at: Date): MoveView {
  if (move.abortRequestedBy !== undefined) return move;
  return { ...move, abortRequestedBy: requestedBy, abortRequestedAt: at.toISOString(), version: move.version + 1 };
}

export function ended(move: MoveView, at: Date, lateRouters: readonly string[]): MoveView {
  const pauses = move.shards.flatMap(({ state, pauseMs }) =>
    state === 'moved' && pauseMs !== undefined ? [pauseMs] : [],
  );
  return {
    ...move,
    state: 'ended',
    outcome: outcomeOf(move),
    endedAt: at.toISOString(),
    ...(pauses.length === 0 ? {} : { pauseMs: pauseSummary(pauses) }),
    ...(lateRouters.length === 0 ? {} : { lateRouters: [...lateRouters] }),
    version: move.version + 1,
  };
}

function outcomeOf({ shards, abortRequestedBy }: MoveView): MoveOutcome {
  const moved = shards.filter(({ state }) => state === 'moved').length;
  if (moved === shards.length) return 'moved';
  if (abortRequestedBy !== undefined) return 'aborted';
  return moved > 0 ? 'partly-moved' : 'reverted';
}

/** Nearest-rank percentiles, in ms with one decimal. @param pauses at least one */
function pauseSummary(pauses: readonly number[]): { p50: number; p99: number; max: number } {
  const sorted = [...pauses].sort((a, b) => a - b);
  const at = (share: number): number => sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? 0;
  return { p50: at(0.5), p99: at(0.99), max: at(1) };
}
