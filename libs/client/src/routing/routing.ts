/**
 * Keeps this client's routing table fresh, and says which router to ask.
 *
 * ```
 *   storage ─► load ─► fetch ─► listen ──── the stream ends, or is silent ────┐
 *                       ▲  └─ no readable bodies here ─► pause (30 s) ─┐      │
 *                       └───────────── pause, with jitter ◄────────────┴──────┘
 * ```
 *
 * So while the stream is away every pause ends in a conditional fetch: that is the polling. Besides, every answer of a
 * router says how new its table is, and one that is newer than ours is a reason to fetch, unless the stream brings it
 * within a moment.
 *
 * No request ever waits for this room, but for one: a call that was refused with `refresh-routing-then-retry`.
 */
import { tagOfPath } from '@borough/topology';
import { Closing } from '../transport/closing.js';
import { type Clock, pause, unlessEnded } from '../transport/clock.js';
import { Deadline } from '../transport/deadline.js';
import { type Fetch } from '../transport/fetch.js';
import { type KeptTexts } from '../transport/kept-texts.js';
import { jitter } from '../transport/retry.js';
import { type CallRequest } from '../transport/one-try.js';
import { type Way } from '../transport/send-call.js';
import { fetchAreaMap, fetchRouting } from './fetch-routing.js';
import { JoinedRefresh } from './joined-refresh.js';
import { KnownRouters } from './known-routers.js';
import { listen } from './routing-stream.js';
import { StoredRouting } from './stored-routing.js';
import { TableCopy } from './table-copy.js';

/** Shortest time between two fetches, in ms. */
const REFRESH_EVERY_MS = 250;
/** How long the stream gets to bring what an answer told of, in ms; half to one and a half of it. */
const GRACE_MS = 200;
/** Between two connections of the stream, in ms: any pause up to this, doubled at each failure up to the longest. */
const RECONNECT_MS = 1_000;
const RECONNECT_LONGEST_MS = 30_000;
/** Heartbeats that may be missing before the stream counts as dead. */
const MISSING_HEARTBEATS = 2;

export interface RoutingParts {
  readonly routerUrls: readonly string[];
  readonly fetch: Fetch;
  readonly clock: Clock;
  /** From 0 to 1. */
  readonly random: () => number;
  readonly texts: KeptTexts;
  readonly tryMs: number;
  readonly heartbeatMs: number;
  readonly pollMs: number;
}

export class Routing implements Way {
  readonly copy = new TableCopy();
  readonly #parts: RoutingParts;
  readonly #routers: KnownRouters;
  readonly #stored: StoredRouting;
  readonly #closing = new Closing();
  readonly #joined: JoinedRefresh;
  #etag: string | undefined;
  /** Undefined until a router has answered with a body. */
  #canListen: boolean | undefined;
  /** The newest version that an answer told of and that no fetch has looked for yet. */
  #toldVersion = 0;
  #callOffLook: (() => void) | undefined;
  #running: Promise<void> | undefined;
  #known: () => void = () => undefined;
  readonly #whenKnown = new Promise<void>((resolve) => {
    this.#known = resolve;
  });

  constructor(parts: RoutingParts) {
    const { clock, routerUrls, texts } = parts;
    this.#parts = parts;
    this.#routers = new KnownRouters(routerUrls, this.copy, clock);
    this.#stored = new StoredRouting(texts, this.copy, clock);
    this.#joined = new JoinedRefresh(() => this.#fetchOnce(), REFRESH_EVERY_MS, clock, this.#closing);
    this.copy.onChange(() => {
      this.#known();
    });
  }

  /** Begins to load, to fetch and to listen. */
  start(): void {
    this.#running ??= this.#run();
  }

  /** Resolves once there is a table, however old. */
  whenKnown(): Promise<void> {
    return this.#whenKnown;
  }

  routersFor({ path, tag }: CallRequest): readonly string[] {
    const ofPath = tag === undefined ? tagOfPath(path.split('?', 1)[0] ?? '') : undefined;
    return this.#routers.inOrder(tag ?? (ofPath?.kind === 'id' ? ofPath.id : undefined));
  }

  heardFrom(router: string, tableVersion: number | undefined): void {
    this.#routers.answered(router);
    if (tableVersion === undefined || tableVersion <= this.#toldVersion || !this.copy.isBehind(tableVersion)) return;
    this.#toldVersion = tableVersion;
    this.#callOffLook ??= this.#parts.clock.after(GRACE_MS * (0.5 + this.#parts.random()), () => {
      this.#callOffLook = undefined;
      if (this.copy.isBehind(this.#toldVersion)) void this.refresh();
    });
  }

  lost(router: string): void {
    this.#routers.lost(router);
  }

  /**
   * The tag of any shard that has an owner, for what every zone can answer. Waits a try's time for a table; without one
   * it is the first shard, and whoever is asked says whether there is such an area.
   *
   * @param signal ends the wait
   */
  async anyTag(signal?: AbortSignal): Promise<string> {
    if (!this.copy.isKnown) {
      const { clock, tryMs } = this.#parts;
      const bound = new Deadline(clock, tryMs, [signal, this.#closing]);
      await unlessEnded(this.#whenKnown, bound.signal);
      bound.end();
    }
    const shards = [...this.copy.entries.keys()];
    return `shard:${shards[Math.floor(this.#parts.random() * shards.length)] ?? 0}`;
  }

  async refresh(): Promise<void> {
    await this.#joined.now().catch(() => undefined);
  }

  /** Ends everything this room has begun. */
  async stop(): Promise<void> {
    this.#closing.close();
    this.#callOffLook?.();
    await this.#running;
    await this.#stored.stop();
  }

  async #run(): Promise<void> {
    const { clock, random, pollMs } = this.#parts;
    const closing = this.#closing;
    await this.#stored.load();
    this.copy.onChange(() => {
      this.#stored.saveSoon();
    });
    for (let failures = 0; !closing.aborted; failures += 1) {
      try {
        await this.#joined.now();
        if (this.#canListen !== true) {
          failures = -1;
          await pause(clock, pollMs * (0.5 + random()), closing);
          continue;
        }
        if (await this.#listenOnce()) failures = 0;
      } catch {
        // No router gave a table; the pause below is all there is to do.
      }
      await pause(clock, jitter(failures, random, RECONNECT_MS, RECONNECT_LONGEST_MS), closing);
    }
  }

  /**
   * Asks one router after the other, until one has answered that is not behind what was told of.
   *
   * @throws when none answered
   */
  async #fetchOnce(): Promise<void> {
    const asking = this.#asking();
    let failure: unknown;
    let hasAnswered = false;
    for (const router of this.#routers.inOrder()) {
      if (this.#isStopped()) return;
      try {
        const fetched = await fetchRouting(asking, router, this.#etag);
        this.#routers.answered(router);
        hasAnswered = true;
        if (fetched.kind === 'changed') {
          const { snapshot, etag, canListen } = fetched;
          this.#canListen = canListen;
          await this.#fetchAreaMap(router, snapshot.areaMapVersion);
          this.copy.take(snapshot);
          // Without the whole of what the tag stands for, the next fetch must not be told that nothing has changed.
          const hasAreas = (this.copy.areaMapView?.areaMapVersion ?? -1) >= snapshot.areaMapVersion;
          this.#etag = hasAreas ? etag : undefined;
        }
        if (!this.copy.isBehind(this.#toldVersion)) return;
      } catch (error) {
        failure = error;
        if (!this.#isStopped()) this.#routers.lost(router);
      }
    }
    if (!hasAnswered) throw failure;
  }

  /** Without the newest area map a place is routed by whoever gets the request, so its loss is no reason to stop. */
  async #fetchAreaMap(router: string, areaMapVersion: number): Promise<void> {
    if (areaMapVersion <= (this.copy.areaMapView?.areaMapVersion ?? -1)) return;
    try {
      this.copy.takeAreaMap(await fetchAreaMap(this.#asking(), router));
    } catch {
      // The next fetch asks again.
    }
  }

  /** @returns whether it was a connection at all */
  async #listenOnce(): Promise<boolean> {
    const { heartbeatMs } = this.#parts;
    const router = this.#routers.inOrder()[0] ?? '';
    const connection = { wasOpen: false };
    try {
      await listen(
        {
          ...this.#asking(),
          silentMaxMs: MISSING_HEARTBEATS * heartbeatMs,
          lastEventId: this.copy.isKnown ? String(this.copy.tableVersion) : undefined,
          onOpen: () => {
            connection.wasOpen = true;
          },
          onUpdate: (update) => {
            if (update === undefined) {
              void this.refresh();
              return;
            }
            this.copy.take(update);
            const isAreaMapOld = update.areaMapVersion > (this.copy.areaMapView?.areaMapVersion ?? -1);
            if (this.copy.isBehind(update.tableVersion) || isAreaMapOld) void this.refresh();
          },
        },
        router,
      );
    } catch {
      if (!connection.wasOpen && !this.#isStopped()) this.#routers.lost(router);
    }
    return connection.wasOpen;
  }

  #isStopped(): boolean {
    return this.#closing.aborted;
  }

  #asking() {
    const { fetch, clock, tryMs } = this.#parts;
    return { fetch, clock, tryMs, signal: this.#closing };
  }
}
