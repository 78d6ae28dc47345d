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

/**
 * All voters, asked at once; an answer counts when a majority gives it.
 *
 * Leading: a coordinator leads from the moment a majority promised it a strictly greater term until any voter refuses
 * that term. It takes the lead when it has something to write, not before.
 */
export class Voters {
  private term: Term | undefined;

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
   * What a majority knows *and has promised to keep from older coordinators*: the only ground for a decision. Copies of
   * voters that have not promised this term may still be changed by the coordinator before us (SPEC.md O2).
   *
   * @throws Problem `no-majority`, `stale-term`
   */
  async readAsLeader(): Promise<Readings> {
    const term = await this.lead();
    const promised = [...(await this.read())].filter(([, reading]) => compareTerms(reading.promised, term) === 0);
    this.requireMajority(promised.length);
    return new Map(promised);
  }

  /**
   * The term of this coordinator, taken from a majority when it has none.
   *
   * @throws Problem `no-majority`, `stale-term` when another coordinator was faster
   */
  async lead(): Promise<Term> {
    if (this.term !== undefined) return this.term;
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

  /**
   * Installs an owner in two phases (SPEC.md O3): a majority accepts, then the owner's own copy serves, then the rest.
   * Every step may be sent again.
   *
   * @throws Problem `no-majority`, `stale-term`, `zone-unavailable` when the owner itself could not be told
   */
  async install(shard: ShardNumber, epoch: number, owner: ZoneId): Promise<void> {
    const term = await this.lead();
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
    await this.guardTerm(() => ownerVoter.serve(term, shard, epoch, owner));
    await this.tell((voter) => voter.serve(term, shard, epoch, owner));
  }

  /** @throws Problem `no-majority`, `stale-term` */
  async putArea(area: Area): Promise<void> {
    const term = await this.lead();
    this.requireMajority((await this.tell((voter) => voter.putArea(term, area))).length);
  }

  /**
   * Brings one voter's copy up to what a majority settled.
   *
   * @throws Problem `stale-term`
   */
  async repair(zoneId: ZoneId, write: (voter: Voter, term: Term) => Promise<void>): Promise<void> {
    const term = await this.lead();
    const voter = this.voters.find((candidate) => candidate.zoneId === zoneId);
    if (voter !== undefined) await this.guardTerm(() => write(voter, term));
  }

  async end(): Promise<void> {
    await Promise.all(this.voters.map((voter) => voter.end()));
  }

  /** Voters that did it; the others are away or refused, which is said and left to the majority rule. */
  private async tell(write: (voter: Voter) => Promise<void>): Promise<ZoneId[]> {
    return [...(await this.guardTerm(() => this.ask(async (voter) => write(voter)))).keys()];
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

  private async guardTerm<Result>(action: () => Promise<Result>): Promise<Result> {
    try {
      return await action();
    } catch (error) {
      if (!(error instanceof StaleTerm)) throw error;
      this.logger.warn({ term: this.term }, 'another coordinator leads now');
      this.term = undefined;
      throw new Problem('stale-term', { retryAfterSeconds: 1, cause: error });
    }
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
