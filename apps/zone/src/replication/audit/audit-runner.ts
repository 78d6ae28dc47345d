import { setTimeout as sleep } from 'node:timers/promises';
import { type Logger, type PostgresSession } from '@borough/server-kit';
import { type ZoneId } from '@borough/topology';
import { differingRows, endedAtSeconds, rowsCompared, undecidedRows } from './audit-metrics.js';
import { auditPair, type AuditPair, type AuditRequest } from './audit-pair.js';

export interface AuditRunnerParts {
  readonly zoneId: ZoneId;
  /** As borough_owner, used by nobody else. */
  readonly own: PostgresSession;
  /** As borough_replication, used by nobody else. */
  readonly peers: readonly { readonly zoneId: ZoneId; readonly session: PostgresSession }[];
  /** How often this zone audits itself, in ms; 0: never. */
  readonly everyMs: number;
  readonly logger: Logger;
}

interface Audit {
  readonly id: string;
  readonly request: AuditRequest;
  readonly requestedBy: string;
}

/** Progress is written, and a cancellation seen, this often, in ms. */
const TELL_EVERY_MS = 500;
/** The first audit of a process waits for so long, in ms, and by chance up to as much again: zones start together. */
const FIRST_AFTER_MS = 300_000;
/** An audit that nobody waits for rests after each part for so many times as long as that took. */
const REST_FACTOR = 3;
const BY_SCHEDULE = 'schedule';

/**
 * Carries out this zone's part of audits, one at a time: those that were asked for (control.audit), and one of everything
 * now and then. One that a dead process left running is begun again.
 *
 * ```
 * waiting ─► running ─► per owner: compare (and heal) ─► ended
 *               └── cancelled: ended with what was found so far
 * ```
 */
export class AuditRunner {
  private nextScheduledMs: number;

  constructor(private readonly parts: AuditRunnerParts) {
    this.nextScheduledMs = performance.now() + Math.min(FIRST_AFTER_MS, parts.everyMs) * (1 + Math.random());
  }

  /** The next audit, if there is one. */
  async round(signal: AbortSignal): Promise<void> {
    await this.schedule();
    const audit = await this.take();
    if (audit !== undefined) await this.carryOut(audit, signal);
  }

  async end(): Promise<void> {
    const { own, peers } = this.parts;
    await Promise.all([own, ...peers.map(({ session }) => session)].map((session) => session.end()));
  }

  private async schedule(): Promise<void> {
    const { own, everyMs } = this.parts;
    const nowMs = performance.now();
    if (everyMs === 0 || nowMs < this.nextScheduledMs) return;
    this.nextScheduledMs = nowMs + everyMs * (0.9 + 0.2 * Math.random());
    await own.query(
      `INSERT INTO control.audit (id, request, requested_by) VALUES (gen_random_uuid(), '{"heal": false}', $1)`,
      [BY_SCHEDULE],
    );
    await own.query(
      `DELETE FROM control.audit a
        WHERE a.state = 'ended' AND a.id NOT IN (SELECT k.id FROM control.audit k ORDER BY k.requested_at DESC LIMIT 50)`,
    );
  }

  private async take(): Promise<Audit | undefined> {
    const [audit] = await this.parts.own.query<Audit>(
      `UPDATE control.audit SET state = 'running', progress = NULL
        WHERE id = (SELECT a.id FROM control.audit a WHERE a.state <> 'ended'
                     ORDER BY a.requested_by = $1, a.requested_at LIMIT 1)
        RETURNING id, request, requested_by AS "requestedBy"`,
      [BY_SCHEDULE],
    );
    return audit;
  }

  private async carryOut({ id, request, requestedBy }: Audit, signal: AbortSignal): Promise<void> {
    const { zoneId, own, peers, logger } = this.parts;
    const cancelled = new AbortController();
    const either = AbortSignal.any([signal, cancelled.signal]);
    const isWanted = (zone: ZoneId): boolean => request.zones?.includes(zone) !== false;
    const progress = { owner: '', table: '', rowsCompared: 0 };
    const telling = setInterval(() => {
      void this.tell(id, progress).then(
        (isCancelled) => {
          if (isCancelled) cancelled.abort(new Error('cancelled'));
        },
        () => undefined,
      );
    }, TELL_EVERY_MS);
    const pairs: AuditPair[] = [];
    try {
      for (const peer of isWanted(zoneId) ? peers.filter((each) => isWanted(each.zoneId)) : []) {
        const before = progress.rowsCompared;
        progress.owner = peer.zoneId;
        const pair = await auditPair(peer, { zoneId, session: own }, request, {
          signal: either,
          onProgress: (seen) => {
            progress.table = seen.table;
            progress.rowsCompared = before + seen.rowsCompared;
          },
          pace: requestedBy === BY_SCHEDULE ? restingPace(either) : undefined,
        });
        pairs.push(pair);
        this.say(id, pair);
      }
    } catch (error) {
      if (!cancelled.signal.aborted) throw error;
    } finally {
      clearInterval(telling);
    }
    await own.query(
      `UPDATE control.audit SET state = 'ended', result = $2, progress = NULL, ended_at = clock_timestamp(),
              is_cancelled = is_cancelled OR $3 WHERE id = $1`,
      [id, JSON.stringify({ pairs }), cancelled.signal.aborted],
    );
    logger.info(
      {
        auditId: id,
        by: requestedBy,
        rows: sum(pairs, (pair) => pair.rowsCompared),
        isCancelled: cancelled.signal.aborted,
      },
      'audit ended',
    );
    if (cancelled.signal.aborted || request.tables !== undefined || request.zones !== undefined) return;
    if (request.since !== undefined) return;
    rowsCompared.set(sum(pairs, (pair) => pair.rowsCompared));
    differingRows.set(sum(pairs, (pair) => pair.differing.length));
    undecidedRows.set(sum(pairs, (pair) => pair.undecided));
    endedAtSeconds.setToCurrentTime();
  }

  /** @returns whether somebody has cancelled it */
  private async tell(id: string, progress: object): Promise<boolean> {
    const [row] = await this.parts.own.query<{ is_cancelled: boolean }>(
      `UPDATE control.audit SET progress = $2 WHERE id = $1 AND state = 'running' RETURNING is_cancelled`,
      [id, JSON.stringify(progress)],
    );
    return row?.is_cancelled === true;
  }

  private say(
    auditId: string,
    { owner, rowsCompared: rows, differing, undecided, taken, receipts, problem }: AuditPair,
  ): void {
    const { logger } = this.parts;
    const facts = { auditId, owner, rows, differing: differing.length, undecided, taken, receipts, problem };
    if (differing.length > 0) logger.error(facts, `this zone holds other rows than their owner, zone ${owner}`);
    else if (taken + receipts > 0) logger.warn(facts, `healed from zone ${owner}`);
    else if (problem !== undefined) logger.warn(facts, `zone ${owner} could not be compared`);
  }
}

/** Rests after each part of a table, in proportion to how long it took. */
function restingPace(signal: AbortSignal): () => Promise<void> {
  let wokeAtMs = performance.now();
  return async () => {
    await sleep(REST_FACTOR * (performance.now() - wokeAtMs), undefined, { signal });
    wokeAtMs = performance.now();
  };
}

function sum(pairs: readonly AuditPair[], of: (pair: AuditPair) => number): number {
  return pairs.reduce((total, pair) => total + of(pair), 0);
}
