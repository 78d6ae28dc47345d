import { type Logger } from '@borough/server-kit';
import { type ZoneId } from '@borough/topology';
import { type ZoneLook } from '../voters/voter.js';
import { askReady } from './ask-ready.js';
import { type Answer, healthOf, type ZoneHealth } from './zone-health.js';

/** Pause between two looks at a zone, in ms, by the coordinator that leads. */
const LOOK_EVERY_MS = 50;
/** The same while a database refuses: whether it goes on doing so, and what the other zones hear of it, decides. */
const LOOK_AGAIN_MS = 15;
/** The same at a zone's API: it may be away for longer before anything follows. */
const ASK_API_EVERY_MS = 100;
/** The same for coordinators that do not lead, and decide nothing. */
const LOOK_WHILE_FOLLOWING_MS = 250;
/** A look that takes longer counts as no answer so far, in ms; the next one is begun beside it. */
const NO_ANSWER_AFTER_MS = 250;

/** A zone that has never answered is taken to be starting for so long, in ms. */
const FIRST_ANSWER_WITHIN_MS = 10_000;

interface Watched {
  readonly database: Line;
  readonly api: Line | undefined;
  look: ZoneLook | undefined;
  lookedAtMs: number;
  health: ZoneHealth;
  /** Since when it has not been healthy; undefined while it is. */
  unwellSinceMs: number | undefined;
}

/** One way of asking, and how it went. */
class Line {
  private readonly begunMs = performance.now();
  private hasAnswered = false;
  private lastGoodMs = performance.now();
  /** Since when it has answered without a break, while it does. */
  private goodSinceMs = performance.now();
  /** The first refusal in a row. */
  private refusedSinceMs: number | undefined;
  private kind: Answer['kind'] = 'answers';

  good(): void {
    if (this.answer.kind !== 'answers') this.goodSinceMs = performance.now();
    this.kind = 'answers';
    this.hasAnswered = true;
    this.lastGoodMs = performance.now();
    this.refusedSinceMs = undefined;
  }

  bad(kind: 'refuses' | 'silent'): void {
    this.kind = kind;
    // A connection that is reset once a cut is mended refuses for a moment only, however long it was silent before.
    this.refusedSinceMs = kind === 'refuses' ? (this.refusedSinceMs ?? performance.now()) : undefined;
  }

  /**
   * What it is blamed for only while another way of asking goes well: a zone that could not be reached at all gets as long
   * as any other to answer again.
   */
  answerBeside(other: Line): Answer {
    const { answer } = this;
    if (answer.kind === 'answers') return answer;
    return { ...answer, forMs: Math.min(answer.forMs, performance.now() - other.goodSinceMs) };
  }

  get answer(): Answer {
    const nowMs = performance.now();
    // It may be starting, as this coordinator may have been a moment ago: not blamed before it was ever well.
    if (!this.hasAnswered && nowMs - this.begunMs < FIRST_ANSWER_WITHIN_MS) return { kind: 'answers' };
    if (this.kind === 'answers') {
      // A question is under way for longer than it should take.
      const forMs = nowMs - this.lastGoodMs;
      return forMs > 2 * NO_ANSWER_AFTER_MS ? { kind: 'silent', forMs } : { kind: 'answers' };
    }
    return {
      kind: this.kind,
      forMs: nowMs - (this.kind === 'silent' ? this.lastGoodMs : (this.refusedSinceMs ?? nowMs)),
    };
  }
}

export interface ZoneWatchParts {
  readonly zoneIds: readonly ZoneId[];
  /** Addresses of the zones' APIs, as far as known. */
  readonly zoneUrls: ReadonlyMap<ZoneId, string>;
  /** Asks the database of a zone; rejects at once when nobody is there. */
  readonly look: (zone: ZoneId, withinMs: number) => Promise<ZoneLook>;
  readonly isLeading: () => boolean;
  readonly logger: Logger;
}

/**
 * Looks at every zone again and again, and says how each is (`zone-health.ts`). It acts on nothing: who leads asks it.
 */
export class ZoneWatch {
  private readonly watched: ReadonlyMap<ZoneId, Watched>;
  private readonly timers: NodeJS.Timeout[] = [];
  private readonly listeners: ((zone: ZoneId) => void)[] = [];
  private isStopped = false;

  constructor(private readonly parts: ZoneWatchParts) {
    this.watched = new Map(
      parts.zoneIds.map((zone) => [
        zone,
        {
          database: new Line(),
          api: parts.zoneUrls.has(zone) ? new Line() : undefined,
          look: undefined,
          lookedAtMs: -Infinity,
          health: 'healthy',
          unwellSinceMs: undefined,
        },
      ]),
    );
  }

  start(): void {
    for (const zone of this.parts.zoneIds) {
      this.every(
        () => (this.isUnsure ? LOOK_AGAIN_MS : LOOK_EVERY_MS),
        () => this.askDatabase(zone),
      );
      this.every(
        () => ASK_API_EVERY_MS,
        () => this.askApi(zone),
      );
    }
    const timer = setInterval(() => {
      for (const zone of this.parts.zoneIds) this.judge(zone);
    }, LOOK_EVERY_MS);
    timer.unref();
    this.timers.push(timer);
  }

  stop(): void {
    this.isStopped = true;
    for (const timer of this.timers) clearInterval(timer);
  }

  /** Tells of every change of a zone's health, and again and again while it is not healthy. */
  onUnwell(listener: (zone: ZoneId) => void): void {
    this.listeners.push(listener);
  }

  healthOf(zone: ZoneId): ZoneHealth {
    return this.watched.get(zone)?.health ?? 'healthy';
  }

  /** How long it has not been healthy, in ms; 0 while it is. */
  unwellForMs(zone: ZoneId): number {
    const since = this.watched.get(zone)?.unwellSinceMs;
    return since === undefined ? 0 : performance.now() - since;
  }

  /** Its database answered a moment ago. */
  answers(zone: ZoneId): boolean {
    return this.watched.get(zone)?.database.answer.kind === 'answers';
  }

  /** Its API said a moment ago that it is ready; true where no address of it is known. */
  isReady(zone: ZoneId): boolean {
    const api = this.watched.get(zone)?.api;
    return api === undefined || api.answer.kind === 'answers';
  }

  private get isUnsure(): boolean {
    return [...this.watched.values()].some(
      ({ database, health }) => database.answer.kind === 'refuses' && health === 'healthy',
    );
  }

  private every(pauseMs: () => number, ask: () => Promise<void>): void {
    const again = async (): Promise<void> => {
      await ask();
      if (this.isStopped) return;
      this.timers.push(
        setTimeout(
          () => {
            void again();
          },
          this.parts.isLeading() ? pauseMs() : LOOK_WHILE_FOLLOWING_MS,
        ).unref(),
      );
      if (this.timers.length > 1_000) this.timers.splice(0, 500);
    };
    void again();
  }

  private async askDatabase(zone: ZoneId): Promise<void> {
    const watched = this.watched.get(zone);
    if (watched === undefined) return;
    try {
      watched.look = await this.parts.look(zone, NO_ANSWER_AFTER_MS);
      watched.lookedAtMs = performance.now();
      watched.database.good();
    } catch (error) {
      watched.database.bad(isSilence(error) ? 'silent' : 'refuses');
      this.judge(zone);
    }
  }

  private async askApi(zone: ZoneId): Promise<void> {
    const url = this.parts.zoneUrls.get(zone);
    const line = this.watched.get(zone)?.api;
    if (url === undefined || line === undefined) return;
    try {
      // One that says it is not ready lives: it knows best what it waits for.
      await askReady(url, 2 * NO_ANSWER_AFTER_MS);
      line.good();
    } catch (error) {
      line.bad(isSilence(error) ? 'silent' : 'refuses');
    }
  }

  private judge(zone: ZoneId): void {
    const watched = this.watched.get(zone);
    if (watched === undefined) return;
    const nowMs = performance.now();
    const before = watched.health;
    watched.health = healthOf({
      database: watched.database.answer,
      api: watched.api?.answerBeside(watched.database),
      unheardForMs: this.unheardForMs(zone, nowMs),
      isCountedOn: this.isCountedOn(zone),
      areCommitsWaiting: watched.look?.areCommitsWaiting === true,
    });
    const lines = watched.api === undefined ? [watched.database] : [watched.database, watched.api];
    const isUnwell = watched.health !== 'healthy' || lines.some(({ answer }) => answer.kind !== 'answers');
    if (!isUnwell) watched.unwellSinceMs = undefined;
    else watched.unwellSinceMs ??= nowMs;
    if (watched.health !== before) {
      this.parts.logger.info({ zone, health: watched.health, before }, `zone ${zone}: ${watched.health}`);
    }
    if (watched.health !== 'healthy') for (const listener of this.listeners) listener(zone);
  }

  /** Whether any other zone that answers waits for it; true while none answers. */
  private isCountedOn(zone: ZoneId): boolean {
    const others = [...this.watched].filter(
      ([other, { database }]) => other !== zone && database.answer.kind === 'answers',
    );
    return others.length === 0 || others.some(([, { look }]) => look === undefined || look.waitsFor.includes(zone));
  }

  /** The least of what the other zones that answer say. Nobody left to ask: it is not heard, but nobody can take over either. */
  private unheardForMs(zone: ZoneId, nowMs: number): number {
    const ages = [...this.watched]
      .filter(([other, { database }]) => other !== zone && database.answer.kind === 'answers')
      .map(([, { look, lookedAtMs }]) => (look?.heardMsAgo[zone] ?? Infinity) + (nowMs - lookedAtMs));
    if (ages.length === 0) return Infinity;
    return Math.min(...ages);
  }
}

function isSilence(error: unknown): boolean {
  const text = error instanceof Error ? `${error.name} ${error.message}` : String(error);
  return /no answer within|Timeout|timed out|aborted/i.test(text);
}
