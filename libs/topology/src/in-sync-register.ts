/**
 * Reads and changes the in-sync record of a zone on a majority of voters, under ballots: promise, adopt, accept. Who asks
 * (a zone's agent, a coordinator) brings the way to the voters; the rules are in `in-sync-record.ts`.
 *
 *     promise (b)  ──►  a majority answers with its copies  ──►  adopted: the one of the highest ballot
 *                                                                    │ changed, or as it is
 *     accept (b)   ◄──────────────────────────────────────────────────┘   on a majority: it is the record
 *
 * A ballot is promised to at most one asker by each voter, so at most one asker has a majority for it: numbers need no
 * name. Whoever is refused tries again above what was promised.
 */
import {
  adoptedRecord,
  changeRecord,
  type InSyncChange,
  type InSyncCopy,
  type InSyncRecord,
} from './in-sync-record.js';
import { majority } from './ownership.js';
import { type ZoneId } from './zone-id.js';

/** What a voter says to a ballot. */
export type InSyncPromise = {
  isGranted: boolean;
  /** The highest ballot it has promised. */
  promised: number;
  copy: InSyncCopy;
};

/** One voter. Both calls reject when it does not answer. */
export interface InSyncVoter {
  readonly zoneId: ZoneId;
  promise(zone: ZoneId, ballot: number): Promise<InSyncPromise>;
  /** @returns whether it was taken */
  accept(zone: ZoneId, ballot: number, record: InSyncRecord): Promise<boolean>;
}

/** No majority of voters answered, or others were faster every time: nothing is known, and a change may come about. */
export class InSyncRegisterFault extends Error {}

/** What came of a change. */
export type InSyncOutcome = {
  record: InSyncRecord;
  /**
   * False: it did not apply (`changeRecord`), and `record` is what stands; or it came about unheard, and somebody has
   * changed the record since: so look at the record where that matters.
   */
  isChanged: boolean;
};

const MAX_TRIES = 8;

export class InSyncRegister {
  /** The highest ballot seen, by zone. */
  private readonly ballots = new Map<ZoneId, number>();

  /**
   * @param voters all of them
   * @param pause waits before another try, a little longer each time; by chance, so that two do not meet again. Not before the
   *   first of them: it is mostly made because others have used higher ballots long ago
   */
  constructor(
    private readonly voters: readonly InSyncVoter[],
    private readonly pause: (tries: number) => Promise<void>,
  ) {}

  /** @throws InSyncRegisterFault */
  async read(zone: ZoneId): Promise<InSyncRecord> {
    return (await this.settle(zone, (record) => record)).record;
  }

  /**
   * @param begunFrom the version the change was decided from; undefined: from whatever stands
   * @throws InSyncRegisterFault: the change may or may not have come about
   */
  change(zone: ZoneId, wanted: InSyncChange, begunFrom?: number): Promise<InSyncOutcome> {
    return this.settle(zone, (record) => changeRecord(record, begunFrom ?? record.version, wanted));
  }

  private async settle(zone: ZoneId, next: (record: InSyncRecord) => InSyncRecord): Promise<InSyncOutcome> {
    let failure: unknown;
    let proposed: InSyncRecord | undefined;
    for (let tries = 1; tries <= MAX_TRIES; tries += 1) {
      if (tries > 2) await this.pause(tries - 1);
      const ballot = (this.ballots.get(zone) ?? 0) + 1;
      this.ballots.set(zone, ballot);
      try {
        const copies = await this.promised(zone, ballot);
        const adopted = copies === undefined ? undefined : adoptedRecord(copies, this.voters.length);
        if (adopted === undefined) continue;
        // An earlier try may have come about though a higher ballot stood in the way of hearing so.
        const isDone = proposed !== undefined && areSame(proposed, adopted);
        const record = isDone ? adopted : next(adopted);
        if (record !== adopted) proposed = record;
        if (await this.isAccepted(zone, ballot, record)) return { record, isChanged: isDone || record !== adopted };
      } catch (error) {
        failure = error;
      }
    }
    throw new InSyncRegisterFault(`the in-sync record of zone ${zone} could not be settled on a majority of voters`, {
      cause: failure,
    });
  }

  /** The copies of a majority that promised; undefined when a higher ballot stood in the way. */
  private async promised(zone: ZoneId, ballot: number): Promise<InSyncCopy[] | undefined> {
    const copies: InSyncCopy[] = [];
    const isMajority = await this.untilMajority(
      (voter) => voter.promise(zone, ballot),
      ({ isGranted, promised, copy }) => {
        if (promised > (this.ballots.get(zone) ?? 0)) this.ballots.set(zone, promised);
        if (isGranted) copies.push(copy);
        return isGranted;
      },
    );
    return isMajority ? [...copies] : undefined;
  }

  private isAccepted(zone: ZoneId, ballot: number, record: InSyncRecord): Promise<boolean> {
    return this.untilMajority(
      (voter) => voter.accept(zone, ballot, record),
      (isTaken) => isTaken,
    );
  }

  /** Resolves as soon as a majority said yes, or so many did not that none will; the others are left to themselves. */
  private untilMajority<Answer>(
    ask: (voter: InSyncVoter) => Promise<Answer>,
    isYes: (answer: Answer) => boolean,
  ): Promise<boolean> {
    const least = majority(this.voters.length);
    return new Promise((resolve, reject) => {
      let yes = 0;
      let no = 0;
      let failure: Error | undefined;
      const decide = (): void => {
        if (yes >= least) resolve(true);
        else if (no > this.voters.length - least) {
          if (failure === undefined) resolve(false);
          else reject(failure);
        }
      };
      for (const voter of this.voters) {
        ask(voter).then(
          (answer) => {
            if (isYes(answer)) yes += 1;
            else no += 1;
            decide();
          },
          (error: unknown) => {
            failure = error instanceof Error ? error : new Error('a voter did not answer', { cause: error });
            no += 1;
            decide();
          },
        );
      }
    });
  }
}

function areSame(one: InSyncRecord, other: InSyncRecord): boolean {
  const textOf = ({ version, members, frozenBy }: InSyncRecord): string => JSON.stringify([version, members, frozenBy]);
  return textOf(one) === textOf(other);
}
