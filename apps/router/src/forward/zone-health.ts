/**
 * What this router itself has seen of each zone: whether it answers. Nobody is asked about that, and nothing follows from
 * it but where requests go first and which ones wait; who owns a shard is the table's to say.
 *
 * ```
 *            a request has waited too long,           the probe is not answered either,
 *            and nothing came since it was sent       or it takes no connection, or has no database
 *   well ───────────────────────────────────► suspect ─────────────────────────────► silent
 *     ▲                                          │                                      │ probed again and again
 *     └──────────────── any good answer ─────────┴──────────────────────────────────────┘
 * ```
 *
 * Reads go to a zone that is suspect or silent only when no other one answers. Writes are its owner's alone, so they go to a
 * suspect one: an owner that waits for another zone is slow and well. They wait while it is silent.
 *
 * The probe is a read that goes through the zone's database: a process that lives in front of a frozen database is as
 * silent as a dead one. It may be answered from old data, since a zone that cannot tell whether it is current may be the
 * one that still takes writes.
 */
import { ALLOW_STALE_HEADER } from '@borough/contracts';
import { newUuid, toId, type ZoneId } from '@borough/topology';
import { setTimeout as sleep } from 'node:timers/promises';
import { Pool } from 'undici';
import { silentZones } from './forward-metrics.js';

export type ZoneCondition = 'well' | 'suspect' | 'silent';

export interface ZoneHealthOptions {
  readonly zoneUrls: ReadonlyMap<ZoneId, string>;
  /** A request that waits longer makes its zone suspect, in ms; a probe that does makes it silent. */
  readonly silentAfterMs: number;
  /** Called after each probe in vain: what a silent zone has is given up once it is known to have been left. */
  readonly onProbedInVain: () => void;
}

/** Pause between two probes of a silent zone, in ms; it doubles up to the last. */
const FIRST_PAUSE_MS = 50;
const LAST_PAUSE_MS = 400;
const NO_BYTES = new Uint8Array(16);
/** No order has this id: the zone looks into its database, and finds nothing. */
const PROBE_PATH = `/v1/orders/${toId(
  'order',
  newUuid(0, 0, () => NO_BYTES),
)}`;
/** From here on a status says that the zone cannot answer now. */
const LONGEST_PROBE_MS = 2_000;
const FIRST_FAILURE = 500;

interface Seen {
  condition: ZoneCondition;
  answeredAtMs: number;
  isProbing: boolean;
}

export class ZoneHealth {
  private readonly seen: ReadonlyMap<ZoneId, Seen>;
  private readonly probes: ReadonlyMap<ZoneId, Pool>;
  private readonly listeners = new Set<(zoneId: ZoneId) => void>();
  private readonly ending = new AbortController();

  constructor(private readonly options: ZoneHealthOptions) {
    const zones = [...options.zoneUrls];
    this.seen = new Map(
      zones.map(([zoneId]) => [zoneId, { condition: 'well', answeredAtMs: -Infinity, isProbing: false }]),
    );
    // Connections of their own: those for requests may all be waiting.
    this.probes = new Map(
      zones.map(([zoneId, url]) => [
        zoneId,
        new Pool(url, { connections: 1, connect: { timeout: options.silentAfterMs } }),
      ]),
    );
  }

  conditionOf(zoneId: ZoneId): ZoneCondition {
    return this.seen.get(zoneId)?.condition ?? 'well';
  }

  /** In the order in which a read asks them: those that answer, as they are given, then the others. */
  forReads(zoneIds: readonly ZoneId[]): ZoneId[] {
    const of = (condition: ZoneCondition): ZoneId[] => zoneIds.filter((id) => this.conditionOf(id) === condition);
    return [...of('well'), ...of('suspect'), ...of('silent')];
  }

  /** Told when a zone that was silent answers again. @returns ends the listening */
  onAnswersAgain(listener: (zoneId: ZoneId) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /**
   * A request is sent to the zone. To be ended, once, with how it came out: `unavailable` when nothing was sent or the zone
   * has no database; undefined when it was given up for a reason that says nothing about the zone.
   */
  begin(zoneId: ZoneId): { end(outcome: 'answered' | 'failed' | 'unavailable' | undefined): void } {
    const sentAtMs = performance.now();
    let isOver = false;
    const look = (): void => {
      const answeredAtMs = this.seen.get(zoneId)?.answeredAtMs ?? Infinity;
      if (!isOver && answeredAtMs < performance.now() - this.options.silentAfterMs) this.suspect(zoneId);
    };
    // Again and again: the first time something else may just have been answered. Looked at once what has come in is read,
    // else a busy moment of this process would look like a silent zone.
    const watching = setInterval(() => setImmediate(look), this.options.silentAfterMs);
    watching.unref();
    return {
      end: (outcome) => {
        if (isOver) return;
        isOver = true;
        clearInterval(watching);
        if (outcome === 'answered') this.answered(zoneId);
        else if (outcome === 'unavailable') this.silent(zoneId);
        else if (outcome === 'failed' && performance.now() - sentAtMs >= this.options.silentAfterMs)
          this.suspect(zoneId);
      },
    };
  }

  async stop(): Promise<void> {
    this.ending.abort();
    this.listeners.clear();
    for (const zoneId of this.seen.keys()) silentZones.set({ zone: zoneId }, 0);
    await Promise.all([...this.probes.values()].map((pool) => pool.destroy()));
  }

  private answered(zoneId: ZoneId): void {
    const seen = this.seen.get(zoneId);
    if (seen === undefined) return;
    seen.answeredAtMs = performance.now();
    if (seen.condition === 'well') return;
    const wasSilent = seen.condition === 'silent';
    seen.condition = 'well';
    if (!wasSilent) return;
    silentZones.set({ zone: zoneId }, 0);
    for (const listener of this.listeners) listener(zoneId);
  }

  private suspect(zoneId: ZoneId): void {
    const seen = this.seen.get(zoneId);
    if (seen?.condition !== 'well') return;
    seen.condition = 'suspect';
    void this.probe(zoneId, seen);
  }

  private silent(zoneId: ZoneId): void {
    const seen = this.seen.get(zoneId);
    if (seen === undefined || seen.condition === 'silent') return;
    seen.condition = 'silent';
    silentZones.set({ zone: zoneId }, 1);
    void this.probe(zoneId, seen);
  }

  /** Until it answers, whoever else it answers first. */
  private async probe(zoneId: ZoneId, seen: Seen): Promise<void> {
    if (seen.isProbing) return;
    seen.isProbing = true;
    for (let pauseMs = FIRST_PAUSE_MS; seen.condition !== 'well' && !this.ending.signal.aborted;) {
      if (await this.isAnswered(zoneId)) {
        this.answered(zoneId);
        break;
      }
      this.silent(zoneId);
      this.options.onProbedInVain();
      await sleep(pauseMs, undefined, { signal: this.ending.signal, ref: false }).catch(() => undefined);
      pauseMs = Math.min(2 * pauseMs, LAST_PAUSE_MS);
    }
    seen.isProbing = false;
  }

  private async isAnswered(zoneId: ZoneId): Promise<boolean> {
    const signal = AbortSignal.any([this.ending.signal, AbortSignal.timeout(this.options.silentAfterMs)]);
    try {
      const headers = { [ALLOW_STALE_HEADER]: 'true' };
      const answer = await this.probes.get(zoneId)?.request({
        method: 'GET',
        path: PROBE_PATH,
        headers,
        signal,
        // Should the signal ever be lost: a probe that never ends would leave the zone out for good.
        headersTimeout: LONGEST_PROBE_MS,
        bodyTimeout: LONGEST_PROBE_MS,
      });
      await answer?.body.dump();
      return answer !== undefined && answer.statusCode < FIRST_FAILURE;
    } catch {
      return false;
    }
  }
}
