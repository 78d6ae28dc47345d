import {
  type AreaMapView,
  ROUTING_CHANGED_SUBJECT,
  routingChanged,
  type RoutingChanged,
  type RoutingSnapshot,
} from '@borough/contracts';
import { BackgroundLoop, JoinedRefresh, type Logger, type Notices, type Readiness } from '@borough/server-kit';
import {
  type AreaMap,
  buildAreaMap,
  emptyTable,
  hasGap,
  merge,
  type RoutingEntry,
  type RoutingTable,
} from '@borough/topology';
import { setTimeout as sleep } from 'node:timers/promises';
import { CoordinatorClient } from './coordinator-client.js';

/** Shortest time between two fetches, in ms: neither unknown places nor held requests cost more of them. */
const FETCH_EVERY_MS = 50;
/** Until there is a table at all, polling slowly would be a long start. */
const FIRST_FETCH_EVERY_MS = 100;
/** How long the answers of the other coordinators are waited for after the first good one, in ms. */
const OTHERS_WITHIN_MS = 50;
/** A coordinator that hangs is not asked again while it owes this many answers; each is given up after a while. */
const MAX_UNANSWERED = 4;
/** An area map that could not be fetched or built is asked for again after this, in ms. */
const AREA_MAP_AGAIN_AFTER_MS = 1_000;

export interface LiveTableOptions {
  readonly coordinatorUrls: readonly string[];
  readonly notices: Notices;
  readonly readiness: Readiness;
  readonly logger: Logger;
  /** How often the snapshot is asked for while notices come, in ms. */
  readonly pollEveryMs: number;
  /** The same while they do not, or while one of them told of something that is still missing here. */
  readonly pollWithoutNoticesMs: number;
  /** What every poll tells the coordinator besides. */
  readonly pollHeaders?: () => Readonly<Record<string, string>>;
}

/** Told after each change: the entries that are later now. None when only the area map changed. */
export type TableListener = (changed: readonly RoutingEntry[]) => void;

/**
 * This router's copy of the routing table and the area map.
 *
 * ```
 * start, gap, poll, hold ── snapshot from every coordinator ──► merge ──► listeners
 * notice over NATS ────────────────────── changed entries ──► merge ──► listeners
 *                                                              └── still behind what was announced? ──► snapshot
 * ```
 *
 * It only ever moves forward (a later epoch or state wins, shard by shard), so a late or repeated message is harmless,
 * and so is a coordinator that is behind: every fetch asks all of them at once and takes what comes. One that hangs
 * delays nobody, and a coordinator that leads hears from every router without NATS. With coordinators and NATS away the
 * last copy goes on serving (P7).
 */
export class LiveTable {
  private routing: RoutingTable = emptyTable();
  private areas: AreaMap = buildAreaMap([]);
  private areaMapSource: AreaMapView = { areaMapVersion: -1, areas: [] };
  private areaMapAgainAtMs = -Infinity;
  private announcedVersion = 0;
  private fetchedAtMs = -Infinity;
  private wasFetched = false;
  private readonly coordinators: readonly CoordinatorClient[];
  private readonly listeners = new Set<TableListener>();
  private readonly refreshing = new JoinedRefresh(() => this.fetch(), FETCH_EVERY_MS);
  private readonly polling: BackgroundLoop;

  constructor(private readonly options: LiveTableOptions) {
    const { coordinatorUrls, readiness, logger, pollEveryMs, pollWithoutNoticesMs } = options;
    readiness.wait('routing', 'no routing table has been received yet');
    this.coordinators = coordinatorUrls.map((url) => new CoordinatorClient(url));
    this.polling = new BackgroundLoop({
      name: 'routing table',
      // Looks often and asks seldom: the loss of NATS is noticed within one short interval.
      intervalMs: () => (this.isKnown ? Math.min(pollEveryMs, pollWithoutNoticesMs) : FIRST_FETCH_EVERY_MS),
      // No backing off: until there is a table nothing can be routed, and afterwards the poll is slow anyway.
      maxPauseMs: FIRST_FETCH_EVERY_MS,
      jitter: 0.2,
      isStarting: () => !this.isKnown,
      round: () => (this.isPollDue() ? this.refreshing.now() : Promise.resolve()),
      logger,
    });
  }

  /** Fetches until there is a first table, then goes on polling. */
  start(): void {
    this.options.notices.listen(ROUTING_CHANGED_SUBJECT, routingChanged, (notice) => {
      this.takeNotice(notice);
    });
    this.polling.start();
  }

  stop(): Promise<void> {
    return this.polling.stop();
  }

  /** Tables and areas have been received. */
  get isKnown(): boolean {
    return this.wasFetched && this.areaMapSource.areaMapVersion >= 0;
  }

  get tableVersion(): number {
    return this.routing.tableVersion;
  }

  /** The whole table; another object after each change, and the same one until then. */
  get routingTable(): RoutingTable {
    return this.routing;
  }

  get areaMap(): AreaMap {
    return this.areas;
  }

  /** The area map as it came; another object after each change, and the same one until then. */
  get areaMapView(): AreaMapView {
    return this.areaMapSource;
  }

  entryOf(shard: number): RoutingEntry | undefined {
    return this.routing.entries.get(shard);
  }

  /** @returns ends the listening */
  onChange(listener: TableListener): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /**
   * Asks the coordinators now, joined with everybody else who does and at most every 50 ms; never throws. For whoever
   * misses something: a place or shard that was not found, a move whose end is waited for.
   */
  async refresh(): Promise<void> {
    await this.refreshing.now().catch(() => undefined);
  }

  private isPollDue(): boolean {
    const { notices, pollEveryMs } = this.options;
    const mayLackSomething = !this.isKnown || !notices.isConnected || hasGap(this.routing, this.announcedVersion);
    return mayLackSomething || performance.now() - this.fetchedAtMs >= pollEveryMs;
  }

  private takeNotice(notice: RoutingChanged): void {
    this.take(notice.entries);
    this.announcedVersion = Math.max(this.announcedVersion, notice.tableVersion);
    if (hasGap(this.routing, notice.tableVersion) || notice.areaMapVersion > this.areaMapSource.areaMapVersion) {
      this.refreshing.now().catch((error: unknown) => {
        this.options.logger.warn({ err: error }, 'the routing snapshot could not be fetched after a notice');
      });
    }
  }

  private async fetch(): Promise<void> {
    const asked = this.coordinators
      .filter(({ unanswered }) => unanswered < MAX_UNANSWERED)
      .map((coordinator) => this.fetchFrom(coordinator));
    const others = new AbortController();
    try {
      await Promise.any(asked).catch((error: unknown) => {
        const reasons = error instanceof AggregateError ? error.errors.map(String).join('; ') : String(error);
        throw new Error(`no coordinator could be asked: ${reasons === '' ? 'all are being asked' : reasons}`);
      });
      await Promise.race([
        Promise.allSettled(asked),
        sleep(OTHERS_WITHIN_MS, undefined, { signal: others.signal }).catch(() => undefined),
      ]);
    } finally {
      others.abort();
    }
    this.fetchedAtMs = performance.now();
    this.wasFetched = true;
    if (this.isKnown) this.options.readiness.done('routing');
  }

  private async fetchFrom(coordinator: CoordinatorClient): Promise<void> {
    coordinator.unanswered += 1;
    try {
      await coordinator.fetchRouting(this.options.pollHeaders?.() ?? {}, ({ entries }) => {
        this.take(entries);
      });
      // After the entries: an area map that cannot be built must not keep routers from what moved.
      await this.fetchAreaMap(coordinator);
    } finally {
      coordinator.unanswered -= 1;
    }
  }

  private async fetchAreaMap(coordinator: CoordinatorClient): Promise<void> {
    const isNews = (): boolean => coordinator.announcedAreaMapVersion > this.areaMapSource.areaMapVersion;
    if (!isNews() || performance.now() < this.areaMapAgainAtMs) return;
    try {
      const view = await coordinator.fetchAreaMap();
      if (view.areaMapVersion <= this.areaMapSource.areaMapVersion) return;
      this.areas = buildAreaMap(view.areas);
      this.areaMapSource = view;
    } catch (error) {
      this.areaMapAgainAtMs = performance.now() + AREA_MAP_AGAIN_AFTER_MS;
      throw error;
    }
    this.tell([]);
  }

  private take(received: RoutingSnapshot['entries']): void {
    const entries = received.map(asEntry);
    const before = this.routing;
    this.routing = merge(before, entries);
    if (this.routing === before) return;
    this.tell(entries.filter((entry) => this.routing.entries.get(entry.shard) === entry));
  }

  private tell(changed: readonly RoutingEntry[]): void {
    for (const listener of this.listeners) listener(changed);
  }
}

function asEntry({ heir, ...entry }: RoutingSnapshot['entries'][number]): RoutingEntry {
  return heir === undefined ? entry : { ...entry, heir };
}
