import { type AbortMoveRequest, type CreateMoveRequest, type MovePlan, type MoveView } from '@borough/contracts';
import { BackgroundLoop, type Logger, Problem } from '@borough/server-kit';
import { majority, type MoveId, type ShardNumber, type Term, type ZoneId } from '@borough/topology';
import { typeidUnboxed } from 'typeid-js';
import { type ZoneProbes } from '../watch/zone-probes.js';
import { type Leadership } from '../voters/leadership.js';
import { ownershipOf } from '../voters/ownership-of.js';
import { areasHeldBy, isOpenMove, type Readings, recordsOf, runningMovesOf } from '../voters/voters.js';
import { failOver, type FailoverParts } from './failover.js';
import { handOver, type RunningMove } from './handover.js';
import { newMove, takenUp, withAbort } from './move-record.js';
import { undoOrphans } from './orphans.js';
import { planMove } from './plan-move.js';
import { rejoin, removeLateSeals } from './rejoin.js';

/** How often a leader looks for moves that nobody carries out, in ms. */
const LOOK_EVERY_MS = 500;
/** How often a handover that a failover overtakes is brought on before the failover goes on without its end. */
const OVERTAKE_TRIES = 3;
/** Moves that a dry run looks back at for how long pauses were. */
const LOOK_BACK = 10;

interface Followed extends RunningMove {
  readonly lost: Set<ZoneId>;
  readonly followers: Set<(view: MoveView) => void>;
  isCarriedOut: boolean;
  /** Settles when the try that is under way has come to its end, good or bad. */
  attempt: Promise<void>;
}

export interface MovesParts extends Omit<FailoverParts, 'overtake'> {
  readonly leadership: Leadership;
  readonly probes: ZoneProbes;
  readonly logger: Logger;
}

/**
 * The moves this coordinator carries out while it leads: begins them, takes up those of a coordinator that died, stops
 * them, and tells of their progress. One move has a shard at a time (M1).
 */
export class Moves {
  private readonly running = new Map<MoveId, Followed>();
  private readonly looking: BackgroundLoop;
  private isStopped = false;
  /** What zones that were left by a failover wait for, by that move; said when it changes. */
  private readonly returning = new Map<MoveId, { readonly zone: ZoneId; readonly waitsFor: string }>();

  constructor(private readonly parts: MovesParts) {
    const { leadership, voters, logger } = parts;
    this.looking = new BackgroundLoop({
      name: 'moves',
      intervalMs: LOOK_EVERY_MS,
      maxPauseMs: LOOK_EVERY_MS,
      round: () => this.lookForMoves(),
      isStarting: () => !leadership.isLeading,
      logger,
    });
    leadership.onLead(() => {
      this.looking.wake();
    });
    voters.onLeadLost(() => {
      this.looking.wake();
    });
  }

  start(): void {
    this.looking.start();
  }

  /** Moves under way are left as they are: the next leader goes on with them. */
  async stop(): Promise<void> {
    this.isStopped = true;
    await this.looking.stop();
  }

  /** Whether a move of this coordinator has the shard to itself just now. */
  has(shard: ShardNumber): boolean {
    return this.moveOf(shard) !== undefined;
  }

  get runningIds(): MoveId[] {
    return [...this.running.keys()].sort();
  }

  /** @throws Problem `zone-not-found`, `shard-not-found`, `nothing-to-move`, `no-majority` */
  async plan(target: CreateMoveRequest['target']): Promise<MovePlan> {
    return this.planFrom(await this.parts.voters.read(), target, true);
  }

  /**
   * Begins a move, or answers with the one that this request key began.
   *
   * @throws Problem as `plan`; `not-leader`, `stale-term`; `shard-in-move` with the id of the move that has a shard;
   *   `move-blocked` with the checks, nothing being changed then
   */
  async begin(
    request: CreateMoveRequest & { readonly seen?: string; readonly detectedInMs?: number },
    requestKey: string | undefined,
  ): Promise<{ move: MoveView; isNew: boolean }> {
    const { leadership, voters, logger } = this.parts;
    const term = leadership.requireLead();
    if (requestKey !== undefined) {
      const known = await voters.moveOfRequest(requestKey);
      if (known !== undefined) return { move: this.running.get(known.moveId)?.view ?? known, isNew: false };
    }
    const readings = await (request.target.kind === 'failover' ? voters.readMajority() : voters.read());
    const plan = await this.planFrom(readings, request.target, false);
    const taken = [...this.runningViews(), ...(await this.recordedAsRunning(plan, readings))];
    // A failover overtakes handovers: the zone they wait for is lost.
    refuseTaken(plan, request.target.kind === 'failover' ? taken.filter(({ kind }) => kind === 'failover') : taken);
    if (plan.isBlocked) throw blocked(plan);
    const { target, why, requestedBy, seen, detectedInMs } = request;
    const moveId = typeidUnboxed('mov');
    const asked = { moveId, target, why, requestedBy };
    const found = {
      ...(seen === undefined ? {} : { seen }),
      ...(detectedInMs === undefined ? {} : { detectedInMs }),
    };
    const move = this.follow(newMove({ ...asked, ...found }, plan, new Date(), term));
    try {
      await voters.putMove(term, move.view, requestKey);
    } catch (error) {
      // Some voter may hold it: whoever leads next finds it there, and finishes it or finds nothing to do.
      this.running.delete(moveId);
      throw error;
    }
    logger.info({ moveId, shards: plan.shards.length, why, requestedBy }, 'move begun');
    this.carryOut(term, move);
    return { move: move.view, isNew: true };
  }

  /** @throws Problem `not-leader`, `move-not-found`, `move-ended`, `no-majority`, `stale-term` */
  async abort(moveId: MoveId, { requestedBy }: AbortMoveRequest): Promise<MoveView> {
    const term = this.parts.leadership.requireLead();
    const move = this.running.get(moveId);
    if (move === undefined) {
      const known = await this.find(moveId);
      if (known.state === 'ended') throw new Problem('move-ended', { members: { outcome: known.outcome } });
      throw new Problem('not-leader', { detail: 'The move is being taken up just now.', retryAfterSeconds: 1 });
    }
    move.changed(withAbort(move.view, requestedBy, new Date()));
    // The next coordinator must know it too.
    await this.parts.voters.putMove(term, move.view);
    this.parts.logger.info({ moveId, requestedBy }, 'move is being stopped');
    return move.view;
  }

  /** As it stands: by this coordinator's own progress where it carries it out. @throws Problem `move-not-found`, `no-majority` */
  async find(moveId: MoveId): Promise<MoveView> {
    const move = this.running.get(moveId)?.view ?? (await this.parts.voters.move(moveId));
    if (move === undefined) throw new Problem('move-not-found');
    return move;
  }

  /** The newest first. @throws Problem `no-majority` */
  async list(limit: number, before?: MoveId): Promise<MoveView[]> {
    const stored = await this.parts.voters.moves(limit, before);
    return stored.map((move) => this.running.get(move.moveId)?.view ?? move);
  }

  /** What a zone on its way back after a failover waits for, in words; as far as this coordinator, which leads, knows. */
  waitsFor(zone: ZoneId): string | undefined {
    return [...this.returning.values()].find((entry) => entry.zone === zone)?.waitsFor;
  }

  /** Whether a failover of the zone runs, or has ended and the zone has not rejoined. */
  async isLeft(zone: ZoneId): Promise<boolean> {
    const isOf = ({ target }: MoveView): boolean => target.kind === 'failover' && target.zone === zone;
    if ([...this.running.values()].some(({ view }) => isOf(view))) return true;
    return runningMovesOf(await this.parts.voters.read()).some(isOf);
  }

  /** Tells of each change of a move that this coordinator carries out. @returns what ends the telling; undefined when it does not */
  subscribe(moveId: MoveId, follower: (view: MoveView) => void): (() => void) | undefined {
    const move = this.running.get(moveId);
    if (move === undefined) return undefined;
    move.followers.add(follower);
    return () => {
      move.followers.delete(follower);
    };
  }

  private async planFrom(
    readings: Readings,
    target: CreateMoveRequest['target'],
    isDryRun: boolean,
  ): Promise<MovePlan> {
    const { voters, probes } = this.parts;
    const ownership = ownershipOf(readings, voters.zoneIds.length);
    if (target.kind === 'failover' && !isDryRun) {
      // Under the clock: nothing is asked of a zone that may give no answer.
      return planMove(target, {
        zones: voters.zoneIds,
        ownership,
        areas: areasHeldBy(readings, majority(voters.zoneIds.length)),
        members: membersOf(readings, voters.zoneIds.length),
        zoneFacts: new Map(),
        apiReady: new Map(),
        answering: voters.zoneIds.filter((zone) => this.parts.answers(zone)),
        recentPausesMs: [],
      });
    }
    const [zoneFacts, apiReady, recent, lastDrain, inProcessOrders, lastBeats] = await Promise.all([
      voters.facts(),
      probes.areReady(),
      isDryRun ? voters.moves(LOOK_BACK) : [],
      target.kind === 'undrain' ? voters.lastDrain(target.zone) : undefined,
      isDryRun ? voters.inProcessOrders(ownership.map(({ shard }) => shard)) : undefined,
      target.kind === 'failover' ? voters.lastBeatsOf(target.zone) : undefined,
    ]);
    return planMove(target, {
      zones: voters.zoneIds,
      ownership,
      areas: areasHeldBy(readings, majority(voters.zoneIds.length)),
      members: membersOf(readings, voters.zoneIds.length),
      zoneFacts,
      apiReady,
      answering: [...zoneFacts.keys()],
      recentPausesMs: recent.flatMap(({ pauseMs }) => (pauseMs === undefined ? [] : [pauseMs.p50])),
      ...(lastDrain === undefined ? {} : { lastDrain }),
      ...(inProcessOrders === undefined ? {} : { inProcessOrders }),
      ...(lastBeats === undefined ? {} : { lastBeats }),
    });
  }

  /** Recorded moves that have a shard of the plan. One that a lagging voter has as running may have ended: asked again. */
  private async recordedAsRunning(plan: MovePlan, readings: Readings): Promise<MoveView[]> {
    const wanted = new Set(plan.shards.map(({ shard }) => shard));
    const found = runningMovesOf(readings).filter(
      ({ state, shards }) => state === 'running' && shards.some(({ shard }) => wanted.has(shard)),
    );
    const stored = await Promise.all(found.map(({ moveId }) => this.parts.voters.move(moveId)));
    return found.filter((_, place) => stored[place]?.state !== 'ended');
  }

  private runningViews(): MoveView[] {
    return [...this.running.values()].map(({ view }) => view);
  }

  /**
   * Handovers from or to a zone that is lost come to an end: what they had begun with that zone they leave as it is. Returns
   * once they have, or after a bounded time: the voters take one owner per epoch and term, whoever proposes it.
   */
  private async overtake(zone: ZoneId): Promise<void> {
    const { logger } = this.parts;
    const overtaken = [...this.running.values()].filter(
      ({ view }) => view.kind === 'handover' && view.shards.some(({ from, to }) => from === zone || to === zone),
    );
    await Promise.all(
      overtaken.map(async (move) => {
        move.lost.add(zone);
        logger.info({ moveId: move.view.moveId, zone }, 'a handover is overtaken by the failover of its zone');
        for (let tried = 0; tried < OVERTAKE_TRIES && this.running.has(move.view.moveId); tried += 1) {
          await move.attempt;
          const term = this.parts.voters.leadingTerm;
          if (term === undefined) return;
          if (this.running.has(move.view.moveId) && !move.isCarriedOut) this.carryOut(term, move);
          await move.attempt;
        }
      }),
    );
  }

  private moveOf(shard: ShardNumber): MoveId | undefined {
    for (const [moveId, { view }] of this.running) {
      if (view.shards.some((taken) => taken.shard === shard)) return moveId;
    }
    return undefined;
  }

  private follow(view: MoveView): Followed {
    const followers = new Set<(view: MoveView) => void>();
    const move: Followed = {
      view,
      lost: new Set(),
      followers,
      attempt: Promise.resolve(),
      // From the first on: the loop, which finds it here before its record is stored, must not carry it out as well.
      isCarriedOut: true,
      changed: (changed) => {
        move.view = changed;
        for (const follower of followers) follower(changed);
      },
    };
    this.running.set(view.moveId, move);
    return move;
  }

  private carryOut(term: Term, move: Followed): void {
    const { logger, leadership } = this.parts;
    const { moveId } = move.view;
    move.isCarriedOut = true;
    const overtake = (zone: ZoneId): Promise<void> => this.overtake(zone);
    const carriedOut =
      move.view.kind === 'failover'
        ? failOver({ ...this.parts, overtake }, term, move)
        : handOver(this.parts, term, move);
    move.attempt = carriedOut.then(
      ({ outcome, pauseMs, problem, lateRouters }) => {
        this.running.delete(moveId);
        logger.info({ moveId, outcome, pauseMs, problem, lateRouters }, 'move ended');
      },
      (error: unknown) => {
        move.isCarriedOut = false;
        if (this.isStopped) return;
        logger.warn({ err: error, moveId }, 'a move could not go on just now');
        if (!leadership.isLeading) this.looking.wake();
      },
    );
  }

  /** What the voters have as running is carried out by whoever leads; what no running move owns is undone. */
  private async lookForMoves(): Promise<void> {
    const { leadership, voters, logger } = this.parts;
    const term = voters.leadingTerm;
    if (!leadership.isLeading || term === undefined) {
      for (const [moveId, { isCarriedOut }] of this.running) if (!isCarriedOut) this.running.delete(moveId);
      this.returning.clear();
      return;
    }
    const readings = await voters.read();
    const recorded = runningMovesOf(readings);
    for (const { moveId } of recorded) await this.takeUp(term, readings, moveId);
    // It failed a moment ago.
    for (const [, move] of this.running) if (!move.isCarriedOut && !this.isStopped) this.carryOut(term, move);
    const known = new Set([...recorded.map(({ moveId }) => moveId), ...this.running.keys()]);
    await removeLateSeals(voters, term, readings, known, logger);
    await undoOrphans(this.parts, term, readings);
  }

  private async takeUp(term: Term, readings: Readings, moveId: MoveId): Promise<void> {
    const { voters, logger } = this.parts;
    if (this.running.has(moveId)) return;
    const stored = await voters.move(moveId);
    // It ended between the reading and now, or this coordinator began it meanwhile.
    if (stored === undefined || this.running.has(moveId)) return;
    if (stored.state === 'ended') {
      if (isOpenMove(stored)) await this.bringBack(term, readings, stored);
      else await voters.putMove(term, stored);
      return;
    }
    const view = takenUp(stored, term);
    const move = this.follow(view);
    try {
      await voters.putMove(term, view);
    } catch (error) {
      this.running.delete(moveId);
      throw error;
    }
    logger.info({ moveId, coordinators: view.coordinators }, 'move taken up');
    this.carryOut(term, move);
  }

  /** One step on the way back of a zone that was left. What it waits for is said once. */
  private async bringBack(term: Term, readings: Readings, move: MoveView): Promise<void> {
    const { voters, logger } = this.parts;
    const { moveId } = move;
    try {
      const result = await rejoin(voters, term, readings, move, logger);
      if (typeof result !== 'string') this.returning.delete(moveId);
      else if (this.returning.get(moveId)?.waitsFor !== result) {
        this.returning.set(moveId, { zone: move.target.kind === 'failover' ? move.target.zone : '', waitsFor: result });
        logger.info({ moveId, waitsFor: result }, 'a zone that was left has not rejoined yet');
      }
    } catch (error) {
      if (error instanceof Problem && (error.code === 'stale-term' || error.code === 'no-majority')) throw error;
      logger.warn({ err: error, moveId }, 'a zone that was left could not be brought on just now');
    }
  }
}

function refuseTaken(plan: MovePlan, taken: readonly MoveView[]): void {
  for (const { shard } of plan.shards) {
    const moveId = taken.find(({ shards }) => shards.some((entry) => entry.shard === shard))?.moveId;
    if (moveId === undefined) continue;
    throw new Problem('shard-in-move', { detail: `Move ${moveId} has shard ${shard}.`, members: { moveId, shard } });
  }
}

function membersOf(readings: Readings, voterCount: number): ReadonlyMap<ZoneId, readonly ZoneId[]> {
  return new Map([...recordsOf(readings, voterCount)].map(([zone, { members }]) => [zone, members]));
}

function blocked({ checks }: MovePlan): Problem {
  const failed = checks.filter(({ isPassed }) => !isPassed);
  return new Problem('move-blocked', {
    detail: failed.map(({ detail }) => detail).join(' '),
    members: { checks: failed },
  });
}
