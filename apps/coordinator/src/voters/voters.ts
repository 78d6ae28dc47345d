import { type Logger, Problem } from '@borough/server-kit';
import {
  type Area,
  compareTerms,
  majority,
  mayServe,
  type ShardNumber,
  type Term,
  type VoterCopy,
  type ZoneId,
} from '@borough/topology';
import { StaleTerm, type Voter, type VoterReading } from './voter.js';

/** What a majority (or more) of the voters answered. */
export type Readings = ReadonlyMap<ZoneId, VoterReading>;

/** What a leader read, and the term it read it under: a decision made from it is written under that term or not at all. */
export interface Judgement {
  readonly term: Term;
  readonly readings: Readings;
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

  constructor(
    private readonly coordinatorId: string,
    private readonly voters: readonly Voter[],
    private readonly logger: Logger,
  ) {}

  get zoneIds(): readonly ZoneId[] {
    return this.voters.map((voter) => voter.zoneId);
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

  /**
   * Installs an owner in two phases (SPEC.md O3): a majority accepts, then the owner's own copy serves, then the rest.
   * Every step may be sent again.
   *
   * @param term of the judgement that says this owner may be installed
   * @throws Problem `no-majority`, `stale-term`, `zone-unavailable` when the owner itself could not be told
   */
  async install(term: Term, shard: ShardNumber, epoch: number, owner: ZoneId): Promise<void> {
    await this.write(term, async () => {
      const accepted = await this.tell((voter) => voter.accept(term, shard, epoch, owner));
      const copies: VoterCopy[] = accepted.map((voter) => ({
        voter,
        row: { shard, epoch, state: 'accepted', owner, term },
      }));
      if (!mayServe({ epoch, owner, term }, copies, this.voters.length))
        throw new Problem('no-majority', { retryAfterSeconds: 1 });
      const [ownerVoter] = this.voters.filter((voter) => voter.zoneId === owner);
      if (ownerVoter === undefined || !accepted.includes(owner)) {
        throw new Problem('zone-unavailable', { detail: `Zone ${owner} could not be told.`, retryAfterSeconds: 1 });
      }
      await ownerVoter.serve(term, shard, epoch, owner);
      await this.tell((voter) => voter.serve(term, shard, epoch, owner));
    });
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
    const voter = this.voters.find((candidate) => candidate.zoneId === zoneId);
    if (voter !== undefined) await this.write(term, () => write(voter));
  }

  async end(): Promise<void> {
    await Promise.all(this.voters.map((voter) => voter.end()));
  }

  /** Voters that did it; the others are away or refused, which is said and left to the majority rule. */
  private async tell(write: (voter: Voter) => Promise<void>): Promise<ZoneId[]> {
    return [...(await this.ask(write)).keys()];
  }

  private async ask<Answer>(question: (voter: Voter) => Promise<Answer>): Promise<Map<ZoneId, Answer>> {
    const answers = new Map<ZoneId, Answer>();
    const refused: unknown[] = [];
    await Promise.all(
      this.voters.map(async (voter) => {
        try {
          answers.set(voter.zoneId, await question(voter));
        } catch (error) {
          this.logger.debug({ err: error, zoneId: voter.zoneId }, 'a voter did not answer');
          refused.push(error);
        }
      }),
    );
    const stale = refused.find((error) => error instanceof StaleTerm);
    if (stale !== undefined) throw stale;
    return answers;
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
    const term: Term = { number: highest + 1, coordinator: this.coordinatorId };
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
      await action();
    } catch (error) {
      this.forget(term);
      if (!(error instanceof StaleTerm)) throw error;
      this.logger.warn({ term }, 'another coordinator leads now');
      throw new Problem('stale-term', { retryAfterSeconds: 1, cause: error });
    }
  }

  /** Unless a newer one has been taken meanwhile. */
  private forget(term: Term): void {
    if (this.term === term) this.term = undefined;
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
