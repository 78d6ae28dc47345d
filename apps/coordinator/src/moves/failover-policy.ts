import { type Logger, Problem } from '@borough/server-kit';
import { type ZoneId } from '@borough/topology';
import { type Leadership } from '../voters/leadership.js';
import { healthText, remedyFor } from '../watch/zone-health.js';
import { type ZoneWatch } from '../watch/zone-watch.js';
import { type Moves } from './moves.js';

export const FAILOVER_POLICIES = ['automatic', 'manual'] as const;
type FailoverPolicy = (typeof FAILOVER_POLICIES)[number];

/** A refused or failed try is not made again sooner than this, in ms. */
const AGAIN_AFTER_MS = 200;

export interface FailoverPolicyParts {
  readonly policy: FailoverPolicy;
  /** After a failover a zone is not left again by itself for so long, in ms: one that flaps moves once. */
  readonly backOffMs: number;
  readonly watch: ZoneWatch;
  readonly moves: Moves;
  readonly leadership: Leadership;
  readonly logger: Logger;
}

/** Begins failovers by itself, where ops want that: one at a time for a zone, and not again for a while. */
export class FailoverAutomat {
  private readonly notBeforeMs = new Map<ZoneId, number>();
  private readonly said = new Map<ZoneId, string>();

  constructor(private readonly parts: FailoverPolicyParts) {}

  start(): void {
    if (this.parts.policy === 'manual') return;
    this.parts.watch.onUnwell((zone) => {
      void this.consider(zone);
    });
  }

  private async consider(zone: ZoneId): Promise<void> {
    const { watch, moves, leadership, logger, backOffMs } = this.parts;
    const health = watch.healthOf(zone);
    if (!leadership.isLeading || remedyFor(health) === 'none') return;
    const nowMs = performance.now();
    if (nowMs < (this.notBeforeMs.get(zone) ?? -Infinity)) return;
    this.notBeforeMs.set(zone, nowMs + AGAIN_AFTER_MS);
    try {
      if (await moves.isLeft(zone)) return;
      const seen = healthText(health);
      const detectedInMs = Math.round(watch.unwellForMs(zone));
      const target = { kind: 'failover', zone } as const;
      const request = { target, why: `zone ${zone}: ${seen}`, requestedBy: 'failover policy', dryRun: false };
      await moves.begin({ ...request, seen: health, detectedInMs }, undefined);
      this.notBeforeMs.set(zone, performance.now() + backOffMs);
      this.said.delete(zone);
    } catch (error) {
      // Nothing there to move is the usual case: a zone that was left stays down for a while.
      if (error instanceof Problem && error.code === 'nothing-to-move') return;
      const reason = error instanceof Error ? error.message : String(error);
      if (this.said.get(zone) === reason) return;
      this.said.set(zone, reason);
      logger.warn({ err: error, zone }, 'the policy could not begin a failover just now');
    }
  }
}
