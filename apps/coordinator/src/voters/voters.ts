import { type Logger, Problem } from '@borough/server-kit';
import { type MoveView } from '@borough/contracts';
import {
  type AdoptedOwnership,
  adoptedOwnership,
  type Area,
  compareTerms,
  laggingVoters,
  majority,
  mayServe,
  type MoveId,
  type RoutingEntry,
  type ShardNumber,
  type Term,
  type VoterCopy,
  type ZoneId,
} from '@borough/topology';
import { type Intent, type Pulse, StaleTerm, type Voter, type VoterReading, type ZoneFacts } from './voter.js';

/** How long voters that are slower than a majority are waited for, where having them all is better, in ms. */
const GRACE_MS = 100;

/** What a majority (or more) of the voters answered. */
export type Readings = ReadonlyMap<ZoneId, VoterReading>;

/** What a leader read, and the term it read it under: a decision made from it is written under that term or not at all. */
export interface Judgement {
  readonly term: Term;
  readonly readings: Readings;
}

/** What a majority says of one shard. */
export interface ShardJudgement {
  readonly adopted: AdoptedOwnership;
  readonly copies: readonly VoterCopy[];
  /** How long it has been moving or fenced at any of them, in ms; 0 when it is not. */
  readonly inMoveForMs: number;
}

/**
 * All voters, asked at once; an answer counts when a majority gives it.
 *
 * Leading: a coordinator leads from the moment a majority promised it a strictly greater term until any voter refuses
 * that term, or a write of its own fails. It takes the lead when it has something to write, not before.
 *
 * Every write takes the term it was decided under. The first draft took the lead again inside a write when it had been
 * lost meanwhile: a decision from old copies then went out under a new term, and two coordinators could give one epoch
 * to two owners.
 */
export class Voters {
  private term: Term | undefined;
  private deciding: Promise<unknown> = Promise.resolve();
  private readonly settledListeners: ((entries: readonly RoutingEntry[]) => void)[] = [];
  private readonly lostListeners: (() => void)[] = [];

  /** @param coordinatorName in its terms; unlike that of any other process, one with the same id included */
  constructor(
    readonly coordinatorName: string,
    private readonly voters: readonly Voter[],
    private readonly logger: Logger,
  ) {}

  get zoneIds(): readonly ZoneId[] {
    return this.voters.map((voter) => voter.zoneId);
  }

  /** The term this coordinator leads under, as far as it knows. */
  get leadingTerm(): Term | undefined {
    return this.term;
  }

  /** Tells of entries that a majority has settled just now, ahead of the next reading. */
  onSettled(listener: (entries: readonly RoutingEntry[]) => void): void {
    this.settledListeners.push(listener);
  }

  /** Tells when this coordinator stopped leading. */
  onLeadLost(listener: () => void): void {
    this.lostListeners.push(listener);
  }

  announce(entries: readonly RoutingEntry[]): void {
    for (const listener of this.settledListeners) listener(entries);
  }

  /** @throws Problem `no-majority` */
  async read(): Promise<Readings> {
    const readings = await this.ask((voter) => voter.read());
    this.requireMajority(readings.size);
    return readings;
  }

  /**
   * Decides from what a majority knows *and has promised to keep from older coordinators*: the only ground for a
   * decision. Copies of voters that have not promised this term may still be changed by the coordinator before us
   * (SPEC.md O2). A coordinator that was deposed since it last led takes the lead again: it has decided nothing yet.
   *
   * One decision at a time, since they share a term: from two readings at once, one may adopt what the other has not
   * seen and replaces. So `decide` must not call this again, it would wait for itself.
   *
   * @throws Problem `no-majority`, `stale-term` when another coordinator was faster; and what `decide` throws
   */
  asLeader<Result>(decide: (judgement: Judgement) => Promise<Result>): Promise<Result> {
    const decided = this.deciding.then(async () => decide(await this.readAsLeader()));
    this.deciding = decided.catch(() => undefined);
    return decided;
  }

  /** @throws Problem `no-majority` */
  async pulses(): Promise<ReadonlyMap<ZoneId, Pulse>> {
    const pulses = await this.ask((voter) => voter.pulse());
    this.requireMajority(pulses.size);
    return pulses;
  }

  /** Shows the other coordinators that this one lives. @throws Problem `no-majority`, `stale-term` */
  async beat(term: Term): Promise<void> {
    await this.write(term, async () => {
      this.requireMajority((await this.tellUntil((voter) => voter.beat(term))).size);
    });
  }

  /**
   * What a majority says of one shard, from voters that promised this term. For whoever has the shard to itself: two
   * that decide about one shard at a time go through `asLeader`.
   *
   * @throws Problem `stale-term` when the voters that promised the term are no majority any more
   */
  async judgeShard(term: Term, shard: ShardNumber): Promise<ShardJudgement> {
    const hasPromised = (answers: ReadonlyMap<ZoneId, { promised: Term }>): ZoneId[] =>
      [...answers].filter(([, { promised }]) => compareTerms(promised, term) === 0).map(([zone]) => zone);
    const least = majority(this.voters.length);
    const answers = await this.askUntil(
      (voter) => voter.readShards([shard]),
      (sofar) => hasPromised(sofar).length >= least,
      // The others are waited for a moment longer: whoever lags is brought up to date before anything is built on it.
      GRACE_MS,
    );
    const promised = new Set(hasPromised(answers));
    if (promised.size < least) {
      this.requireMajority(answers.size);
      this.forget(term);
      throw new Problem('stale-term', { retryAfterSeconds: 1 });
    }
    const copies = [...answers]
      .filter(([voter]) => promised.has(voter))
      .map(([voter, { ownership }]) => ({ voter, row: ownership[0] }));
    const inMoveForMs = Math.max(...[...answers.values()].map((reading) => reading.inMoveForMs));
    return { copies, adopted: adoptedOwnership(copies, this.voters.length), inMoveForMs };
  }

  /**
   * Installs an owner in two phases (SPEC.md O3): a majority accepts, then the owner's own copy serves, then the rest.
   * Every step may be sent again.
   *
   * @param term of the judgement that says this owner may be installed
   * @throws Problem `no-majority`, `stale-term`, `zone-unavailable` when the owner itself could not be told
   */
  async install(term: Term, shard: ShardNumber, epoch: number, owner: ZoneId): Promise<void> {
    await this.accept(term, shard, epoch, owner);
    await this.serve(term, shard, epoch, owner);
    await this.tellRest(term, shard, epoch, owner);
  }

  /** First phase: resolves as soon as a majority has accepted, the owner among it. @throws as `install` */
  async accept(term: Term, shard: ShardNumber, epoch: number, owner: ZoneId): Promise<void> {
    await this.write(term, async () => {
      const accepted = await this.tellUntil((voter) => voter.accept(term, shard, epoch, owner), owner);
      const copies: VoterCopy[] = [...accepted].map((voter) => ({
        voter,
        row: { shard, epoch, state: 'accepted', owner, term },
      }));
      if (!mayServe({ epoch, owner, term }, copies, this.voters.length))
        throw new Problem('no-majority', { retryAfterSeconds: 1 });
      if (!accepted.has(owner)) throw couldNotBeTold(owner);
    });
  }

  /** Second phase, at the owner: from here on it writes. @throws as `install` */
  async serve(term: Term, shard: ShardNumber, epoch: number, owner: ZoneId): Promise<void> {
    await this.write(term, () => this.voter(owner).serve(term, shard, epoch, owner));
  }

  /**
   * Brings every other voter up to an epoch that its owner serves.
   *
   * @returns the zones that hold it now
   * @throws Problem `stale-term`
   */
  async tellRest(term: Term, shard: ShardNumber, epoch: number, owner: ZoneId): Promise<ReadonlySet<ZoneId>> {
    const told = await this.mindTerm(term, () =>
      this.tell(async (voter) => {
        if (voter.zoneId === owner) return;
        await voter.accept(term, shard, epoch, owner);
        await voter.serve(term, shard, epoch, owner);
      }),
    );
    return new Set(told);
  }

  /**
   * Records the intent of a move on a majority (SPEC.md M2); at the owner only when it takes that to be one, because
   * from then on the owner refuses writes.
   *
   * @throws Problem `no-majority`, `stale-term`
   */
  async intend(term: Term, intent: Intent, owner: ZoneId): Promise<void> {
    await this.write(term, async () => {
      const others = await this.tellUntil(async (voter) => {
        if (voter.zoneId === owner) throw new Error('the owner is told last');
        await voter.intend(term, intent);
      });
      if (others.size >= majority(this.voters.length)) return;
      await this.voter(owner).intend(term, intent);
      this.requireMajority(others.size + 1);
    });
  }

  /** The same at the first voter that is not the owner, and nowhere else: for trying what a crash leaves behind. */
  async intendAtOne(term: Term, intent: Intent, owner: ZoneId): Promise<void> {
    await this.voters.find(({ zoneId }) => zoneId !== owner)?.intend(term, intent);
  }

  /** As `intendAtOne`, of the first phase of an install. */
  async acceptAtOne(term: Term, shard: ShardNumber, epoch: number, owner: ZoneId): Promise<void> {
    await this.voters.find(({ zoneId }) => zoneId !== owner)?.accept(term, shard, epoch, owner);
  }

  /** Brings voters that lag up to what is settled and serving. @throws Problem `stale-term` */
  async bringUp(term: Term, entry: RoutingEntry, copies: readonly VoterCopy[]): Promise<void> {
    const { shard, epoch, owner } = entry;
    for (const zoneId of laggingVoters(entry, copies)) {
      await this.repair(term, zoneId, async (voter) => {
        await voter.accept(term, shard, epoch, owner);
        await voter.serve(term, shard, epoch, owner);
      });
    }
  }

  /**
   * Keeps the in-sync sets of these zones as they are: known to a majority, and to each of the zones itself.
   *
   * @throws Problem `no-majority`, `stale-term`, `zone-unavailable` when one of them could not be told, or is changing
   *   its set just now
   */
  async freeze(term: Term, zones: readonly ZoneId[], moveId: MoveId): Promise<void> {
    const frozen = new Set(await this.mindTerm(term, () => this.tell((voter) => voter.freeze(term, zones, moveId))));
    this.requireMajority(frozen.size);
    const missing = zones.find((zone) => !frozen.has(zone));
    if (missing !== undefined) throw couldNotBeTold(missing);
  }

  /** @returns the zones that know it. @throws Problem `stale-term` */
  async thaw(term: Term, moveId: MoveId): Promise<ReadonlySet<ZoneId>> {
    return new Set(await this.mindTerm(term, () => this.tell((voter) => voter.thaw(term, moveId))));
  }

  /** Does something at one zone under a term, and notices when that term is over. @throws Problem `stale-term` */
  at<Result>(term: Term, zone: ZoneId, action: (voter: Voter) => Promise<Result>): Promise<Result> {
    return this.mindTerm(term, () => action(this.voter(zone)));
  }

  /** Stores a version of a move's record on a majority. @throws Problem `no-majority`, `stale-term` */
  async putMove(term: Term, move: MoveView, requestKey?: string): Promise<void> {
    await this.write(term, async () => {
      this.requireMajority((await this.tellUntil((voter) => voter.putMove(term, move, requestKey))).size);
    });
  }

  /** The newest version any of a majority holds. @throws Problem `no-majority` */
  async move(moveId: MoveId): Promise<MoveView | undefined> {
    return newest(await this.askMajority((voter) => voter.move(moveId)))[0];
  }

  /** @throws Problem `no-majority` */
  async moveOfRequest(requestKey: string): Promise<MoveView | undefined> {
    return newest(await this.askMajority((voter) => voter.moveOfRequest(requestKey)))[0];
  }

  /** @throws Problem `no-majority` */
  async lastDrain(zone: ZoneId): Promise<MoveView | undefined> {
    return newest(await this.askMajority((voter) => voter.lastDrain(zone)))[0];
  }

  /** The newest first. @throws Problem `no-majority` */
  async moves(limit: number, before?: MoveId): Promise<MoveView[]> {
    const answers = await this.askMajority((voter) => voter.moves(limit, before));
    return newest(answers.flat()).slice(0, limit);
  }

  /** By zone; zones that did not answer are left out. */
  facts(): Promise<ReadonlyMap<ZoneId, ZoneFacts>> {
    return this.ask((voter) => voter.facts(this.zoneIds));
  }

  /** Orders in process by shard, as the first zone that answers has them: every zone has all rows. */
  async inProcessOrders(shards: readonly ShardNumber[]): Promise<ReadonlyMap<ShardNumber, number>> {
    const [first] = (await this.ask((voter) => voter.inProcessOrders(shards))).values();
    return first ?? new Map<ShardNumber, number>();
  }

  /** @throws Problem `no-majority`, `stale-term` */
  async putArea(term: Term, area: Area): Promise<void> {
    await this.write(term, async () => {
      this.requireMajority((await this.tell((voter) => voter.putArea(term, area))).length);
    });
  }

  /**
   * Brings one voter's copy up to what a majority settled.
   *
   * @throws Problem `stale-term`
   */
  async repair(term: Term, zoneId: ZoneId, write: (voter: Voter) => Promise<void>): Promise<void> {
    await this.write(term, () => write(this.voter(zoneId)));
  }

  async end(): Promise<void> {
    await Promise.all(this.voters.map((voter) => voter.end()));
  }

  private voter(zoneId: ZoneId): Voter {
    const voter = this.voters.find((candidate) => candidate.zoneId === zoneId);
    if (voter === undefined) throw new Problem('zone-not-found', { detail: `There is no zone ${zoneId}.` });
    return voter;
  }

  /** Voters that did it; the others are away or refused, which is said and left to the majority rule. */
  private async tell(write: (voter: Voter) => Promise<void>): Promise<ZoneId[]> {
    return [...(await this.ask(write)).keys()];
  }

  /**
   * As `tell`, but waits no longer than until a majority did it, and `needed` among them: the others get the call all
   * the same. A voter that is frozen then costs a move nothing.
   */
  private async tellUntil(write: (voter: Voter) => Promise<void>, needed?: ZoneId): Promise<ReadonlySet<ZoneId>> {
    const least = majority(this.voters.length);
    const isEnough = (sofar: ReadonlyMap<ZoneId, void>): boolean =>
      sofar.size >= least && (needed === undefined || sofar.has(needed));
    return new Set((await this.askUntil(write, isEnough)).keys());
  }

  private ask<Answer>(question: (voter: Voter) => Promise<Answer>): Promise<Map<ZoneId, Answer>> {
    return this.askUntil(question, () => false);
  }

  /** What each of a majority answered. @throws Problem `no-majority` */
  private async askMajority<Answer>(question: (voter: Voter) => Promise<Answer>): Promise<Answer[]> {
    const least = majority(this.voters.length);
    const answers = await this.askUntil(question, (sofar) => sofar.size >= least);
    this.requireMajority(answers.size);
    return [...answers.values()];
  }

  /** @throws StaleTerm as soon as one voter says so */
  private askUntil<Answer>(
    question: (voter: Voter) => Promise<Answer>,
    isEnough: (sofar: ReadonlyMap<ZoneId, Answer>) => boolean,
    graceMs = 0,
  ): Promise<Map<ZoneId, Answer>> {
    return new Promise((resolve, reject) => {
      const answers = new Map<ZoneId, Answer>();
      let unanswered = this.voters.length;
      const finish = (): void => {
        resolve(new Map(answers));
      };
      const settleOne = (): void => {
        unanswered -= 1;
        if (unanswered === 0) finish();
        else if (isEnough(answers)) {
          if (graceMs === 0) finish();
          else setTimeout(finish, graceMs).unref();
        }
      };
      for (const voter of this.voters) {
        question(voter).then(
          (answer) => {
            answers.set(voter.zoneId, answer);
            settleOne();
          },
          (error: unknown) => {
            this.logger.debug({ err: error, zoneId: voter.zoneId }, 'a voter did not answer');
            if (error instanceof StaleTerm) reject(error);
            settleOne();
          },
        );
      }
    });
  }

  private async readAsLeader(): Promise<Judgement> {
    const kept = this.term === undefined ? undefined : await this.readUnder(this.term);
    const judged = kept ?? (await this.readUnder(await this.takeLead()));
    if (judged === undefined) throw new Problem('stale-term', { retryAfterSeconds: 1 });
    return judged;
  }

  /** A term above every one that a majority has promised, promised by a majority. */
  private async takeLead(): Promise<Term> {
    const readings = await this.read();
    const highest = Math.max(...[...readings.values()].map((reading) => reading.promised.number));
    const term: Term = { number: highest + 1, coordinator: this.coordinatorName };
    const promises = await this.ask((voter) => voter.promise(term));
    const granted = [...promises.values()].filter((isGranted) => isGranted).length;
    if (granted < majority(this.voters.length)) {
      throw new Problem(promises.size === granted ? 'no-majority' : 'stale-term', { retryAfterSeconds: 1 });
    }
    this.term = term;
    this.logger.info({ term }, 'this coordinator leads');
    return term;
  }

  /** What the voters that promised this term say; undefined when they are no majority any more. */
  private async readUnder(term: Term): Promise<Judgement | undefined> {
    const promised = [...(await this.read())].filter(([, reading]) => compareTerms(reading.promised, term) === 0);
    return promised.length < majority(this.voters.length) ? undefined : { term, readings: new Map(promised) };
  }

  /**
   * A term whose write failed is used no more. Some voter may hold that write; the next decision may be another one, and
   * two values under one term could not be told apart (SPEC.md O3).
   */
  private async write(term: Term, action: () => Promise<void>): Promise<void> {
    try {
      await this.mindTerm(term, action);
    } catch (error) {
      this.forget(term);
      throw error;
    }
  }

  /** For calls that decide nothing: their failure costs the lead only when the term is over. */
  private async mindTerm<Result>(term: Term, action: () => Promise<Result>): Promise<Result> {
    try {
      return await action();
    } catch (error) {
      if (!(error instanceof StaleTerm)) throw error;
      if (this.forget(term)) this.logger.warn({ term }, 'another coordinator leads now');
      throw new Problem('stale-term', { retryAfterSeconds: 1, cause: error });
    }
  }

  /** Unless a newer one has been taken meanwhile. */
  private forget(term: Term): boolean {
    if (this.term === undefined || compareTerms(this.term, term) !== 0) return false;
    this.term = undefined;
    for (const listener of this.lostListeners) listener();
    return true;
  }

  private requireMajority(answered: number): void {
    const needed = majority(this.voters.length);
    if (answered >= needed) return;
    throw new Problem('no-majority', {
      detail: `${answered} of ${this.voters.length} voters answered, ${needed} are needed.`,
      retryAfterSeconds: 1,
    });
  }
}

/** Each move once, in its newest version; the newest move first. */
function newest(moves: readonly (MoveView | undefined)[]): MoveView[] {
  const byId = new Map<MoveId, MoveView>();
  for (const move of moves) {
    if (move !== undefined && move.version > (byId.get(move.moveId)?.version ?? 0)) byId.set(move.moveId, move);
  }
  return [...byId.values()].sort((a, b) => (a.moveId < b.moveId ? 1 : -1));
}

/** Moves that at least one voter has as running, and none as ended, in their newest version. */
export function runningMovesOf(readings: Readings): MoveView[] {
  return newest([...readings.values()].flatMap(({ runningMoves }) => runningMoves));
}

function couldNotBeTold(zone: ZoneId): Problem {
  return new Problem('zone-unavailable', { detail: `Zone ${zone} could not be told.`, retryAfterSeconds: 1 });
}

/** The area of highest term per shard, among those at least `least` voters hold. */
export function areasHeldBy(readings: Readings, least: number): Area[] {
  const byShard = new Map<ShardNumber, { area: Area; term: Term; voters: number }>();
  for (const reading of readings.values()) {
    for (const { term, ...area } of reading.areas) {
      const held = byShard.get(area.shard);
      const newer = held === undefined ? 1 : compareTerms(term, held.term);
      if (held === undefined || newer > 0) byShard.set(area.shard, { area, term, voters: 1 });
      else if (newer === 0) held.voters += 1;
    }
  }
  return [...byShard.values()].filter(({ voters }) => voters >= least).map(({ area }) => area);
}
