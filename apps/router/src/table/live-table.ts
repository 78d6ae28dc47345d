import {
  areaMapView,
  ROUTING_CHANGED_SUBJECT,
  routingChanged,
  type RoutingChanged,
  routingSnapshot,
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
import { request } from 'undici';
import { type z } from 'zod';

/** Shortest time between two fetches, in ms: a stream of unknown places costs few of them. */
const FETCH_EVERY_MS = 100;
/** Until there is a table at all, polling slowly would be a long start. */
const FIRST_FETCH_EVERY_MS = 100;
const FETCH_DEADLINE_MS = 2_000;

/**
 * This router's copy of the routing table and the area map.
 *
 * ```
 * start, gap, poll ── snapshot over HTTP ──► merge
 * notice over NATS ────── changed entries ──► merge ── still behind what was announced? ──► snapshot
 * ```
 *
 * It only ever moves forward (a later epoch or state wins, shard by shard), so a late or repeated message is harmless.
 * With coordinators and NATS away the last copy goes on serving (P7).
 */
export class LiveTable {
  private routing: RoutingTable = emptyTable();
  private areas: AreaMap = buildAreaMap([]);
  private areaMapVersion = -1;
  private readonly refresh = new JoinedRefresh(() => this.fetch(), FETCH_EVERY_MS);
  private readonly polling: BackgroundLoop;

  constructor(
    private readonly coordinatorUrls: readonly string[],
    private readonly notices: Notices,
    private readonly readiness: Readiness,
    private readonly logger: Logger,
    pollEveryMs: number,
  ) {
    readiness.wait('routing', 'no routing table has been received yet');
    this.polling = new BackgroundLoop({
      name: 'routing table',
      intervalMs: () => (this.isKnown ? pollEveryMs : FIRST_FETCH_EVERY_MS),
      // No backing off: until there is a table nothing can be routed, and afterwards the poll is slow anyway.
      maxPauseMs: FIRST_FETCH_EVERY_MS,
      jitter: 0.2,
      isStarting: () => !this.isKnown,
      round: () => this.refresh.now(),
      logger,
    });
  }

  /** Fetches until there is a first table, then goes on polling. */
  start(): void {
    this.notices.listen(ROUTING_CHANGED_SUBJECT, routingChanged, (notice) => {
      this.takeNotice(notice);
    });
    this.polling.start();
  }

  stop(): Promise<void> {
    return this.polling.stop();
  }

  get isKnown(): boolean {
    return this.areaMapVersion >= 0;
  }

  get tableVersion(): number {
    return this.routing.tableVersion;
  }

  get areaMap(): AreaMap {
    return this.areas;
  }

  entryOf(shard: number): RoutingEntry | undefined {
    return this.routing.entries.get(shard);
  }

  /** Asks again after a place or shard was not found: it may have been added a moment ago. */
  async refreshAfterMiss(): Promise<void> {
    await this.refresh.now().catch(() => undefined);
  }

  private takeNotice(notice: RoutingChanged): void {
    this.routing = merge(this.routing, notice.entries.map(asEntry));
    if (hasGap(this.routing, notice.tableVersion) || notice.areaMapVersion > this.areaMapVersion) {
      this.refresh.now().catch((error: unknown) => {
        this.logger.warn({ err: error }, 'the routing snapshot could not be fetched after a notice');
      });
    }
  }

  private async fetch(): Promise<void> {
    const snapshot = await this.ask('/v1/routing', routingSnapshot);
    if (snapshot.areaMapVersion > this.areaMapVersion) {
      const map = await this.ask('/v1/area-map', areaMapView);
      if (map.areaMapVersion > this.areaMapVersion) {
        this.areas = buildAreaMap(map.areas);
        this.areaMapVersion = map.areaMapVersion;
      }
    }
    this.routing = merge(this.routing, snapshot.entries.map(asEntry));
    this.readiness.done('routing');
  }

  /** The first coordinator that answers well. */
  private async ask<Schema extends z.ZodType>(path: string, schema: Schema): Promise<z.output<Schema>> {
    let lastError: unknown;
    for (const url of this.coordinatorUrls) {
      try {
        const answer = await request(url + path, {
          headersTimeout: FETCH_DEADLINE_MS,
          bodyTimeout: FETCH_DEADLINE_MS,
          signal: AbortSignal.timeout(FETCH_DEADLINE_MS),
        });
        if (answer.statusCode === 200) return schema.parse(await answer.body.json());
        await answer.body.dump();
        lastError = new Error(`${url}${path} answered ${answer.statusCode}`);
      } catch (error) {
        lastError = error;
      }
    }
    throw lastError;
  }
}

function asEntry({ heir, ...entry }: RoutingChanged['entries'][number]): RoutingEntry {
  return heir === undefined ? entry : { ...entry, heir };
}
