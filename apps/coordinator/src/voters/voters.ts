import { setTimeout as sleep } from 'node:timers/promises';
import { type Logger, Problem } from '@borough/server-kit';
import { type MoveView, type Receipt, type WholeReceipt } from '@borough/contracts';
import {
  type AdoptedOwnership,
  adoptedOwnership,
  adoptedRecord,
  type Area,
  compareTerms,
  type InSyncChange,
  type InSyncOutcome,
  type InSyncRecord,
  InSyncRegister,
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
import {
  type HeldAtZone,
  type Intent,
  type AuditPart,
  type LinkFacts,
  type Pulse,
  type ReceiptFilter,
  StaleTerm,
  type Voter,
  type VoterReading,
  type ZoneFacts,
  type ZoneLook,
  type ZoneWork,
} from './voter.js';

/** How long voters that are slower than a majority are waited for, where having them all is better, in ms. */
const GRACE_MS = 100;

/** Pause before another try at an in-sync record, in ms, times the tries so far; up to as much again by chance. */
const REGISTER_PAUSE_MS = 5;

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
  private readonly register: InSyncRegister;
  /** One change of a zone's record at a time: two of one coordinator would only be in each other's way. */
  private readonly recordsChanging = new Map<ZoneId, Promise<unknown>>();

  /** @param coordinatorName in its terms; unlike that of any other process, one with the same id included */
  constructor(
    readonly coordinatorName: string,
    private readonly voters: readonly Voter[],
    private readonly logger: Logger,
  ) {
    this.register = new InSyncRegister(
      voters.map((voter) => ({
        zoneId: voter.zoneId,
        promise: (zone, ballot) => voter.promiseInSync(zone, ballot),
        accept: (zone, ballot, record) => voter.acceptInSync(zone, ballot, record),
      })),
      (tries) => sleep(REGISTER_PAUSE_MS * tries * (1 + Math.random())),
    );
  }

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

  /** As `read`, but waits only a moment for the others once a majority has answered. @throws Problem `no-majority` */
  async readMajority(): Promise<Readings> {
    const least = majority(this.voters.length);
    const readings = await this.askUntil(
      (voter) => voter.read(),
      (sofar) => sofar.size >= least,
      GRACE_MS / 2,
    );
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
    for (const zoneId of staleVoters(entry, copies)) {
      await this.repair(term, zoneId, async (voter) => {
        await voter.accept(term, shard, epoch, owner);
        await voter.serve(term, shard, epoch, owner);
      });
    }
  }

  /**
   * Changes the in-sync record of a zone on a majority (SPEC.md R1–R3). Bound to no term: a change applies to a record or
   * it does not, whoever asks; what a coordinator that was deposed leaves frozen is thawed by the next (`orphans.ts`).
   *
   * @throws Problem `no-majority`: it may have come about
   */
  changeRecord(zone: ZoneId, change: InSyncChange): Promise<InSyncOutcome> {
    const before = this.recordsChanging.get(zone) ?? Promise.resolve();
    const changed = before.then(async () => {
      try {
        return await this.register.change(zone, change);
      } catch (error) {
        throw new Problem('no-majority', { retryAfterSeconds: 1, cause: error });
      }
    });
    this.recordsChanging.set(
      zone,
      changed.catch(() => undefined),
    );
    return changed;
  }

  /** Does something at each of these zones at once. @returns what those answered that did it. @throws Problem `stale-term` */
  atEach<Result>(
    term: Term,
    zones: readonly ZoneId[],
    action: (voter: Voter) => Promise<Result>,
  ): Promise<ReadonlyMap<ZoneId, Result>> {
    return this.mindTerm(term, async () => {
      const answers = await Promise.all(
        zones.map(async (zone) => {
          try {
            return [[zone, await action(this.voter(zone))] as const];
          } catch (error) {
            if (error instanceof StaleTerm) throw error;
            this.logger.debug({ err: error, zoneId: zone }, 'a voter did not do it');
            return [];
          }
        }),
      );
      return new Map(answers.flat());
    });
  }

  /** Does something at one zone under a term, and notices when that term is over. @throws Problem `stale-term` */
  at<Result>(term: Term, zone: ZoneId, action: (voter: Voter) => Promise<Result>): Promise<Result> {
    return this.mindTerm(term, () => action(this.voter(zone)));
  }

  /** Stores a version of a move's record on a majority. @throws Problem `no-majority`, `stale-term` */
  async putMove(term: Term, move: MoveView, requestKey?: string): Promise<void> {
    await this.write(term, async () => {
      const isOpen = isOpenMove(move);
      this.requireMajority((await this.tellUntil((voter) => voter.putMove(term, move, isOpen, requestKey))).size);
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

  /** Of the zones that answer. */
  linkFacts(): Promise<ReadonlyMap<ZoneId, LinkFacts>> {
    return this.ask((voter) => voter.linkFacts(this.zoneIds));
  }

  /** By zone that answers, the newest sign it has of another one, as an instant; zones that never had one are left out. */
  async lastBeatsOf(zone: ZoneId): Promise<ReadonlyMap<ZoneId, string>> {
    const answers = await this.ask((voter) => voter.appliedFrom(zone));
    return new Map(
      [...answers].flatMap(([other, { lastBeatAt }]) => (lastBeatAt === undefined ? [] : [[other, lastBeatAt]])),
    );
  }

  /** @throws Error when the zone's database is not there, or does not answer within the time */
  look(zone: ZoneId, withinMs: number): Promise<ZoneLook> {
    return this.voter(zone).look(this.zoneIds, withinMs);
  }

  /** Orders in process by shard, as the first zone that answers has them: every zone has all rows. */
  async inProcessOrders(shards: readonly ShardNumber[]): Promise<ReadonlyMap<ShardNumber, number>> {
    const [first] = (await this.ask((voter) => voter.inProcessOrders(shards))).values();
    return first ?? new Map<ShardNumber, number>();
  }

  /** Held orders by the zone that believes to own them; zones that did not answer are left out. */
  heldOrders(limit: number): Promise<ReadonlyMap<ZoneId, HeldAtZone>> {
    return this.ask((voter) => voter.heldOrders(limit));
  }

  /** The newest audits that each zone has a part in; zones that did not answer are left out. */
  audits(limit: number): Promise<ReadonlyMap<ZoneId, readonly AuditPart[]>> {
    return this.ask((voter) => voter.audits(limit));
  }

  /** Null for zones without a part in it; those that did not answer are left out. */
  auditParts(auditId: string): Promise<ReadonlyMap<ZoneId, AuditPart | null>> {
    return this.ask((voter) => voter.auditPart(auditId));
  }

  /** By zone; zones that did not answer are left out. */
  work(): Promise<ReadonlyMap<ZoneId, ZoneWork>> {
    return this.ask((voter) => voter.work());
  }

  /** Receipts of these zones, by zone; those that did not answer are left out. */
  async receipts(
    zones: readonly ZoneId[],
    filter: ReceiptFilter,
    before: ReadonlyMap<ZoneId, number>,
    limit: number,
  ): Promise<ReadonlyMap<ZoneId, readonly Omit<Receipt, 'zone'>[]>> {
    const answers = await this.ask(async (voter) =>
      zones.includes(voter.zoneId) ? await voter.receipts(filter, limit, before.get(voter.zoneId)) : undefined,
    );
    return new Map([...answers].flatMap(([zone, list]) => (list === undefined ? [] : [[zone, list] as const])));
  }

  /** @returns null when the zone keeps none of that number. @throws Problem `zone-not-found`, `zone-unavailable` */
  async receiptOf(zone: ZoneId, id: number): Promise<Omit<WholeReceipt, 'zone'> | null> {
    const voter = this.voter(zone);
    try {
      return await voter.receiptOf(id);
    } catch (error) {
      throw new Problem('zone-unavailable', {
        detail: `The database of zone ${zone} does not answer.`,
        retryAfterSeconds: 1,
        cause: error,
      });
    }
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

/** The in-sync record of each zone, as a majority says just now; for showing and planning, not for changing it. */
export function recordsOf(readings: Readings, voterCount: number): ReadonlyMap<ZoneId, InSyncRecord> {
  const copies = [...readings.values()].flatMap(({ inSync }) => inSync);
  const records = new Map<ZoneId, InSyncRecord>();
  for (const zone of new Set(copies.map(({ record }) => record.zone))) {
    const record = adoptedRecord(
      copies.filter((copy) => copy.record.zone === zone),
      voterCount,
    );
    if (record !== undefined) records.set(zone, record);
  }
  return records;
}

/** Whether a move still has work for whoever leads: a failover has until the zone that was left has rejoined. */
export function isOpenMove({ state, kind, rejoinedAt, shards }: MoveView): boolean {
  if (state === 'running') return true;
  return kind === 'failover' && rejoinedAt === undefined && shards.some((shard) => shard.sealedOff === true);
}

/**
 * Voters to be brought up to a settled entry. Not the zone that was left by a failover and believes to own the shard
 * still: it learns of it in its rejoin, writers first.
 */
export function staleVoters(entry: RoutingEntry, copies: readonly VoterCopy[]): ZoneId[] {
  return laggingVoters(entry, copies).filter((zone) => {
    const row = copies.find(({ voter }) => voter === zone)?.row;
    return row === undefined || row.owner !== zone || (row.state !== 'serving' && row.state !== 'moving');
  });
}

/** Moves that at least one voter has as open, and none as ended, in their newest version. */
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
