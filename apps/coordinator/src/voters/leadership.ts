import { BackgroundLoop, type Logger, Problem, type Readiness } from '@borough/server-kit';
import { compareTerms, type Term, type ZoneId } from '@borough/topology';
import { type Pulse } from './voter.js';
import { type Voters } from './voters.js';

/** How often a leader shows that it lives, and the others look, in ms. */
const BEAT_EVERY_MS = 200;
/** A leader that has shown nothing for so long is taken to be dead, in ms. */
const TAKE_OVER_AFTER_MS = 900;

/** Who leads, as far as one coordinator knows. */
export interface Leader {
  readonly coordinator: string;
  readonly term: number;
  readonly isThisOne: boolean;
}

/**
 * Which of the coordinators works on moves: one leads, the others watch it.
 *
 *     standby ── the leader's beats stood still for a second ──► takes a higher term ──► leads
 *     leads ──── a voter refused the term, or a write failed ──────────────────────────► standby
 *
 * Being wrong about who lives costs a take-over and nothing else: what may be written is settled by the terms (O2), so
 * a leader that was only slow is refused from then on. No clocks are compared: a coordinator watches by its own clock
 * whether the beats that the voters count change.
 */
export class Leadership {
  private seen = new Map<ZoneId, Pulse>();
  private lastChangeMs = performance.now();
  private highest: Term | undefined;
  /** The voters have been asked who leads. Until then this coordinator has only just started, and another may know. */
  private hasAsked = false;
  private readonly beating: BackgroundLoop;
  private readonly leadListeners: ((term: Term) => void)[] = [];

  constructor(
    private readonly voters: Voters,
    private readonly readiness: Readiness,
    private readonly logger: Logger,
  ) {
    readiness.wait('leader', 'no coordinator is known to lead');
    this.beating = new BackgroundLoop({
      name: 'leadership',
      intervalMs: BEAT_EVERY_MS,
      maxPauseMs: BEAT_EVERY_MS,
      jitter: 0.2,
      isStarting: () => this.highest === undefined,
      round: () => this.round(),
      logger,
    });
    voters.onLeadLost(() => {
      this.beating.wake();
    });
  }

  start(): void {
    this.beating.start();
  }

  stop(): Promise<void> {
    return this.beating.stop();
  }

  /** Tells when this coordinator begins to lead, under each new term. */
  onLead(listener: (term: Term) => void): void {
    this.leadListeners.push(listener);
  }

  get isLeading(): boolean {
    return this.voters.leadingTerm !== undefined;
  }

  /** Undefined until somebody is known to lead. */
  get leader(): Leader | undefined {
    const term = this.voters.leadingTerm ?? this.highest;
    if (term === undefined || term.number === 0) return undefined;
    return { coordinator: term.coordinator, term: term.number, isThisOne: this.isLeading };
  }

  /** @throws Problem `not-leader`, naming who does; `no-majority` when the voters were asked and never reached */
  requireLead(): Term {
    const term = this.voters.leadingTerm;
    if (term !== undefined) return term;
    if (this.highest === undefined && this.hasAsked) throw new Problem('no-majority', { retryAfterSeconds: 1 });
    const leader = this.leader?.coordinator;
    throw new Problem('not-leader', {
      detail:
        leader === undefined
          ? 'No coordinator leads yet.'
          : `Coordinator ${leader} leads, or did until just now. Ask another coordinator, or this one in a second.`,
      members: leader === undefined ? {} : { leader },
      retryAfterSeconds: 1,
    });
  }

  private async round(): Promise<void> {
    const term = this.voters.leadingTerm;
    if (term === undefined) await this.watch();
    else await this.voters.beat(term);
    if (this.leader !== undefined) this.readiness.done('leader');
  }

  private async watch(): Promise<void> {
    const pulses = await this.voters.pulses().finally(() => {
      this.hasAsked = true;
    });
    this.note(pulses);
    if (this.highest === undefined) return;
    const isFree = this.highest.number === 0 || this.highest.coordinator === this.voters.coordinatorName;
    if (!isFree && performance.now() - this.lastChangeMs < TAKE_OVER_AFTER_MS) return;
    const { term } = await this.voters.asLeader((judgement) => Promise.resolve(judgement));
    this.highest = term;
    for (const listener of this.leadListeners) listener(term);
  }

  private note(pulses: ReadonlyMap<ZoneId, Pulse>): void {
    for (const [zone, pulse] of pulses) {
      const before = this.seen.get(zone);
      const hasChanged =
        before === undefined || before.beats !== pulse.beats || compareTerms(before.promised, pulse.promised) !== 0;
      if (hasChanged) this.lastChangeMs = performance.now();
      this.seen.set(zone, pulse);
      if (this.highest === undefined || compareTerms(pulse.promised, this.highest) > 0) {
        this.highest = pulse.promised;
        if (pulse.promised.number > 0 && pulse.promised.coordinator !== this.voters.coordinatorName) {
          this.logger.info(
            { leader: pulse.promised.coordinator, term: pulse.promised.number },
            'another coordinator leads',
          );
        }
      }
    }
  }
}
