import { BackgroundLoop, type Logger } from '@borough/server-kit';
import { type ZoneId } from '@borough/topology';
import { type LinkFacts } from '../voters/voter.js';
import { type LinkMemory, type LinkReport, rememberLink, reportLink } from './link-health.js';

/** Pause between two samples, in ms: a fault shows after three of them at most. */
const SAMPLE_EVERY_MS = 1_500;
/** A zone that has not answered for so long is not told of any more, in ms. */
const OLD_MS = 5_000;
/** A link that has not streamed yet is taken to be in the making for so long, in ms: a cluster starts in its own time. */
const MADE_WITHIN_MS = 15_000;
/** Commits that wait longer are told of, in ms: a silent member is dropped after 0.5 s. */
const LONG_WAIT_MS = 2_000;

export interface LinkHealthWatchParts {
  /** What the zones that answer say; a zone that does not is left out. */
  readonly facts: () => Promise<ReadonlyMap<ZoneId, LinkFacts>>;
  readonly logger: Logger;
}

/** Asks both ends of every link again and again, and remembers what one look cannot show: what grows, and what stands still. */
export class LinkHealthWatch {
  private readonly memories = new Map<string, LinkMemory>();
  private readonly commits = new Map<ZoneId, { readonly atMs: number; readonly waitMs: number }>();
  private readonly told = new Map<string, string>();
  /** Links that have not streamed yet, and since when they were looked at, in ms. */
  private readonly inTheMaking = new Map<string, number>();
  private readonly loop: BackgroundLoop;

  constructor(private readonly parts: LinkHealthWatchParts) {
    this.loop = new BackgroundLoop({
      name: 'links',
      intervalMs: SAMPLE_EVERY_MS,
      maxPauseMs: 2 * SAMPLE_EVERY_MS,
      round: () => this.sample(),
      logger: parts.logger,
    });
  }

  start(): void {
    this.loop.start();
  }

  async stop(): Promise<void> {
    await this.loop.stop();
  }

  /** How the changes of every other zone come in at this one, by name; empty while its database does not answer. */
  linksOf(zone: ZoneId): LinkReport[] {
    const nowMs = performance.now();
    return [...this.memories]
      .filter(([key, { last }]) => key.startsWith(`${zone} `) && nowMs - last.atMs < OLD_MS)
      .sort(([one], [other]) => (one < other ? -1 : 1))
      .map(([, memory]) => reportLink(zone, memory));
  }

  /** Beside its links: in words for people; empty when all is well. */
  commitProblems(zone: ZoneId): string[] {
    const seen = this.commits.get(zone);
    if (seen === undefined || performance.now() - seen.atMs >= OLD_MS || seen.waitMs < LONG_WAIT_MS) return [];
    return [
      `its commits have waited for ${(seen.waitMs / 1_000).toFixed(1)} s for a zone that does not acknowledge them. Runbook: member-not-acknowledging`,
    ];
  }

  /** One look at everything. */
  async sample(): Promise<void> {
    const facts = await this.parts.facts();
    const atMs = performance.now();
    for (const [zone, { incoming, commitsWaitMs }] of facts) {
      this.commits.set(zone, { atMs, waitMs: commitsWaitMs });
      for (const link of incoming) {
        const key = `${zone} ${link.from}`;
        const publisher = facts.get(link.from);
        const memory = rememberLink(this.memories.get(key), {
          atMs,
          incoming: link,
          outgoing: publisher?.outgoing.find(({ to }) => to === zone),
          keptLogBytes: publisher?.keptLogBytes ?? null,
        });
        if (!this.memories.has(key)) this.inTheMaking.set(key, atMs);
        this.memories.set(key, memory);
        this.say(zone, memory);
      }
    }
  }

  /** Once per change of state. */
  private say(zone: ZoneId, memory: LinkMemory): void {
    const { status, problems } = reportLink(zone, memory);
    const key = `${zone} ${status.from}`;
    if (status.state === 'streaming') this.inTheMaking.delete(key);
    else if (performance.now() - (this.inTheMaking.get(key) ?? -Infinity) < MADE_WITHIN_MS) return;
    const before = this.told.get(key) ?? 'streaming';
    this.told.set(key, status.state);
    if (status.state === before) return;
    const facts = { at: zone, from: status.from, state: status.state, before, problems };
    const text = `link from zone ${status.from} to zone ${zone}: ${status.state}`;
    if (problems.length === 0) this.parts.logger.info(facts, text);
    else this.parts.logger.warn(facts, text);
  }
}
