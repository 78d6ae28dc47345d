/**
 * A handover (design.md section 6; SPEC.md M1–M7), the old owner being alive.
 *
 *     record ─► freeze ─► check ─► each shard: intend ─► publish ─► fence ─► applied? ─► accept ─► serve ─► publish ─► tell
 *                                                                                          │
 *          thaw ◄─ routers have reported ◄─────────────────────────────────────────────────┘        point of no return: accept
 *
 * What to do next for a shard is asked of the voters again whenever something went wrong (`nextHandoverStep`), so a
 * coordinator that takes the move up goes on from wherever the last one died. Nothing here is remembered but the record.
 */
import { type MoveShard, type MoveView } from '@borough/contracts';
import { type Logger, Problem } from '@borough/server-kit';
import {
  type HandoverBlocker,
  handoverBlockers,
  type InSyncRecord,
  type MoveId,
  nextHandoverStep,
  type ShardNumber,
  type Term,
  type ZoneId,
  zonesToApplyTheCut,
} from '@borough/topology';
import pg from 'pg';
import { type RouterReports } from '../watch/router-reports.js';
import { type Voters } from '../voters/voters.js';
import { type Crashes } from './crash-points.js';
import { ended, withProblem, withShard } from './move-record.js';

/** How long the heir, and the zones it waits for, may take to apply up to the cut, in ms. */
const APPLY_WITHIN_MS = 1_000;
/** How long a move waits for routers that have not reported, in ms: such a one is refused by the database anyway. */
export const ROUTERS_WITHIN_MS = 1_000;
/** Tries of a fence, each of 300 ms; before the last ones the writers that keep it waiting are ended. */
const FENCE_TRIES = 4;
/** Shards of one move that are under way at once. More makes a drain shorter and each pause longer. */
const SHARDS_AT_ONCE = 2;

/** SQLSTATE: the lock was not had in time. */
const LOCK_NOT_AVAILABLE = '55P03';

export interface HandoverParts {
  readonly voters: Voters;
  readonly routers: RouterReports;
  readonly crashes: Crashes;
  readonly logger: Logger;
  /** The version of the routing table as last published. */
  readonly tableVersion: () => number;
}

/** A move under way in this coordinator, with its newest record. */
export interface RunningMove {
  view: MoveView;
  /** Zones that are being left by a failover: what this move has to do with them is that failover's business from now on. */
  readonly lost?: ReadonlySet<ZoneId>;
  /** Tells of a new record. */
  changed(view: MoveView): void;
}

/**
 * Carries a recorded move out, or takes it up where another coordinator left it.
 *
 * @returns the record as it ended, stored on a majority
 * @throws Problem `stale-term`, `no-majority`, `zone-unavailable`: it has not ended, and may be taken up again
 */
export async function handOver(parts: HandoverParts, term: Term, move: RunningMove): Promise<MoveView> {
  const { voters, crashes } = parts;
  crashes.at('recorded');
  const { moveId } = move.view;
  let members: Members = new Map();
  try {
    const records = await freezeRecords(voters, zonesOf(move.view), moveId);
    crashes.at('frozen');
    members = await checkedMembers(parts, move, records);
    crashes.at('checked');
  } catch (error) {
    // Nothing has begun, or what has is finished without: shards in the middle of it go on below.
    if (error instanceof Problem && error.code === 'stale-term') throw error;
    move.changed(withProblem(move.view, `not begun: ${reasonOf(error)}`));
  }
  await shardByShard(move.view.shards, (shard) => moveShard(parts, term, move, shard.shard, members));
  // A failover waits for the end of this one, and for routers by itself.
  const isOvertaken = (move.lost?.size ?? 0) > 0;
  const lateRouters = isOvertaken ? [] : await parts.routers.late(parts.tableVersion(), ROUTERS_WITHIN_MS);
  crashes.at('routers-waited');
  await thawRecords(voters, zonesOf(move.view), moveId);
  crashes.at('thawed');
  const view = ended(move.view, new Date(), lateRouters);
  await voters.putMove(term, view);
  move.changed(view);
  return view;
}

function zonesOf({ shards }: MoveView): ZoneId[] {
  return [...new Set(shards.flatMap(({ from, to }) => [from, to]))].sort();
}

/** Whom each zone of the move waits for, while its in-sync set is frozen. */
type Members = ReadonlyMap<ZoneId, readonly ZoneId[]>;

/** Keeps the in-sync records of these zones as they are. @throws Problem `no-majority` */
export async function freezeRecords(
  voters: Voters,
  zones: readonly ZoneId[],
  moveId: MoveId,
): Promise<ReadonlyMap<ZoneId, InSyncRecord>> {
  const outcomes = await Promise.all(zones.map((zone) => voters.changeRecord(zone, { kind: 'freeze', by: moveId })));
  return new Map(outcomes.map(({ record }) => [record.zone, record]));
}

/** @throws Problem `no-majority` */
export async function thawRecords(voters: Voters, zones: readonly ZoneId[], moveId: MoveId): Promise<void> {
  await Promise.all(zones.map((zone) => voters.changeRecord(zone, { kind: 'thaw', by: moveId })));
}

/**
 * Asks again what the plan was made from: it may have changed until the freeze, and from here on it cannot.
 *
 * @throws Error when a heir is not, or no longer, good for it
 */
async function checkedMembers(
  { voters }: HandoverParts,
  move: RunningMove,
  records: ReadonlyMap<ZoneId, InSyncRecord>,
): Promise<Members> {
  const { moveId } = move.view;
  const readings = await voters.read();
  const sealedOff = [...readings.values()].flatMap(({ seals }) => seals.map(({ zone }) => zone));
  for (const { from, to } of move.view.shards) {
    const ownerRecord = records.get(from);
    const heirRecord = records.get(to);
    if (ownerRecord === undefined || heirRecord === undefined) throw new Error(`no in-sync record of ${from} or ${to}`);
    const [blocker] = handoverBlockers({
      from,
      to,
      moveId,
      ownerRecord,
      heirRecord,
      sealedOff,
      orphanMoves: [],
      runningMoves: [],
    });
    if (blocker !== undefined) throw new Error(`${blocker.check} does not hold: ${subjectsOf(blocker).join(', ')}`);
  }
  return new Map([...records].map(([zone, { members }]) => [zone, members]));
}

function subjectsOf(blocker: HandoverBlocker): readonly string[] {
  return 'zones' in blocker ? blocker.zones : blocker.moves;
}

export async function shardByShard(
  shards: readonly MoveShard[],
  work: (shard: MoveShard) => Promise<void>,
  atOnce = SHARDS_AT_ONCE,
): Promise<void> {
  const waiting = [...shards];
  const failures: unknown[] = [];
  const worker = async (): Promise<void> => {
    for (let shard = waiting.shift(); shard !== undefined && failures.length === 0; shard = waiting.shift()) {
      await work(shard).catch((error: unknown) => failures.push(error));
    }
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
  if (failures.length > 0) throw failures[0];
}

/** One shard, from whatever state the voters have it in to its end. */
async function moveShard(
  parts: HandoverParts,
  term: Term,
  move: RunningMove,
  shard: ShardNumber,
  members: Members,
): Promise<void> {
  const { voters, crashes } = parts;
  for (;;) {
    const planned = move.view.shards.find((candidate) => candidate.shard === shard);
    if (planned === undefined || isOver(planned)) return;
    const { from, to, epoch } = planned;
    const intent = { shard, epoch, heir: to, moveId: move.view.moveId };
    const { adopted, copies, inMoveForMs } = await voters.judgeShard(term, shard);
    const pausedSince = performance.now() - inMoveForMs;
    const step = nextHandoverStep({ ...intent, from, to }, adopted, directionOf(move));
    const note = (change: Partial<MoveShard>): void => {
      move.changed(withShard(move.view, shard, change));
    };
    const lost = [from, to].find((zone) => move.lost?.has(zone) === true);
    if (lost !== undefined) {
      const isAtHeir = adopted.kind === 'settled' && adopted.entry.owner === to && adopted.entry.epoch > epoch;
      if (!isAtHeir)
        move.changed(withProblem(move.view, `zone ${lost} was lost: its failover goes on with its shards`));
      note({ state: isAtHeir ? 'moved' : 'kept' });
      return;
    }
    switch (step.kind) {
      case 'wait':
        throw new Problem('no-majority', { retryAfterSeconds: 1 });
      case 'contradiction':
        throw new Error(`voters name two owners of shard ${shard} at one epoch: a person must look`);
      case 'intend':
        if (adopted.kind === 'settled') await voters.bringUp(term, adopted.entry, copies);
        if (crashes.isAimedAt('intended-at-one')) {
          await voters.intendAtOne(term, intent, from);
          crashes.at('intended-at-one');
        }
        await voters.intend(term, intent, from);
        crashes.at('intended');
        note({ state: 'intended' });
        await transfer(parts, term, move, planned, members, performance.now());
        break;
      case 'transfer':
        await transfer(parts, term, move, planned, members, pausedSince);
        break;
      case 'finish':
        await voters.install(term, shard, step.epoch, step.owner);
        voters.announce([{ shard, epoch: step.epoch, state: 'serving', owner: step.owner }]);
        if (inMoveForMs > 0) note({ pauseMs: sinceMs(pausedSince) });
        break;
      case 'ended':
        if (adopted.kind === 'settled') await voters.bringUp(term, adopted.entry, copies);
        // Its in-sync set may not change before it knows that it is not the owner any more (T25).
        if (!copies.some(({ voter }) => voter === from)) throw couldNotBeTold(from);
        if (step.as === 'overtaken')
          move.changed(withProblem(move.view, `shard ${shard} was moved on by another move`));
        note({ state: step.as === 'moved' || step.as === 'reverted' ? step.as : 'kept' });
    }
  }
}

export function isOver({ state }: MoveShard): boolean {
  return state === 'moved' || state === 'reverted' || state === 'kept';
}

/** Back once it was aborted or something went wrong; what was accepted goes forward all the same (`nextHandoverStep`). */
function directionOf({ view }: RunningMove): 'forward' | 'back' {
  return view.abortRequestedBy === undefined && view.problem === undefined ? 'forward' : 'back';
}

/**
 * From the intent on: the shard takes no write from here until the new owner serves.
 *
 * @param pausedSince when the pause began, in ms of `performance.now`
 */
async function transfer(
  parts: HandoverParts,
  term: Term,
  move: RunningMove,
  planned: MoveShard,
  members: Members,
  pausedSince: number,
): Promise<void> {
  const { voters, crashes } = parts;
  const { shard, from, to, epoch } = planned;
  const note = (change: Partial<MoveShard>): void => {
    move.changed(withShard(move.view, shard, change));
  };
  voters.announce([{ shard, epoch, state: 'moving', owner: from, heir: to }]);
  crashes.at('moving-published');
  const cut = await fence(parts, term, move, planned);
  note({ state: 'fenced', fencedAt: new Date().toISOString() });
  crashes.at('fenced');
  if (directionOf(move) === 'forward') await requireApplied(parts, term, move, planned, members, cut);
  crashes.at('applied');

  // Asked again here: this is the last moment before the point of no return.
  const owner = directionOf(move) === 'forward' ? to : from;
  if (crashes.isAimedAt('accepted-at-one')) {
    await voters.acceptAtOne(term, shard, epoch + 1, owner);
    crashes.at('accepted-at-one');
  }
  await voters.accept(term, shard, epoch + 1, owner);
  crashes.at('accepted');
  note({ state: 'accepted' });
  const servedAt = new Date().toISOString();
  await voters.serve(term, shard, epoch + 1, owner);
  crashes.at('served');
  voters.announce([{ shard, epoch: epoch + 1, state: 'serving', owner }]);
  const pauseMs = sinceMs(pausedSince);
  crashes.at('serving-published');
  const told = await voters.tellRest(term, shard, epoch + 1, owner);
  if (!told.has(from)) throw couldNotBeTold(from);
  crashes.at('told');
  note({ state: owner === to ? 'moved' : 'reverted', servedAt, pauseMs });
}

/**
 * @returns the cut
 * @throws Problem when the owner cannot be fenced: the shard stays where it is in the move, which is taken up again
 */
export async function fence(
  { voters, logger }: HandoverParts,
  term: Term,
  move: RunningMove,
  planned: MoveShard,
): Promise<string> {
  const { shard, from, to, epoch } = planned;
  const intent = { shard, epoch, heir: to, moveId: move.view.moveId };
  for (let tried = 1; ; tried += 1) {
    try {
      return await voters.at(term, from, (voter) => voter.fence(term, intent));
    } catch (error) {
      if (!isLockTimeout(error)) {
        if (error instanceof Problem) throw error;
        throw new Problem('zone-unavailable', { detail: `Zone ${from} could not be fenced.`, cause: error });
      }
      if (tried === FENCE_TRIES)
        throw new Problem('zone-unavailable', {
          detail: `Writers of shard ${shard} kept the fence waiting.`,
          cause: error,
        });
      const endedWriters = await voters.at(term, from, (voter) => voter.endWriters(term, shard));
      logger.warn(
        { moveId: move.view.moveId, shardId: shard, endedWriters },
        'writers kept a fence waiting and were ended',
      );
    }
  }
}

/** The heir, and everybody it waits for, must have what the old owner wrote (M4); otherwise the move goes back. */
async function requireApplied(
  { voters }: HandoverParts,
  term: Term,
  move: RunningMove,
  { from, to }: MoveShard,
  members: Members,
  cut: string,
): Promise<void> {
  try {
    const needed = zonesToApplyTheCut(from, to, { members: members.get(to) ?? [] });
    const late = await voters.at(term, from, (voter) => voter.waitApplied(needed, cut, APPLY_WITHIN_MS));
    if (late.length === 0) return;
    move.changed(
      withProblem(move.view, `zone ${late.join(', ')} did not apply up to the cut within ${APPLY_WITHIN_MS} ms`),
    );
  } catch (error) {
    if (error instanceof Problem && error.code === 'stale-term') throw error;
    move.changed(withProblem(move.view, `whether zone ${to} has caught up is not known: ${reasonOf(error)}`));
  }
}

function couldNotBeTold(zone: ZoneId): Problem {
  return new Problem('zone-unavailable', { detail: `Zone ${zone} could not be told.`, retryAfterSeconds: 1 });
}

export function sinceMs(startMs: number): number {
  return Math.round((performance.now() - startMs) * 10) / 10;
}

function isLockTimeout(error: unknown): boolean {
  return error instanceof pg.DatabaseError && error.code === LOCK_NOT_AVAILABLE;
}

export function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
