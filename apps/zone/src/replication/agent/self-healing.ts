import { type Logger, type PostgresSession } from '@borough/server-kit';
import { type ZoneId } from '@borough/topology';
import { healUntilEqual } from '../healing/heal-from.js';

export interface HealingPeer {
  readonly zoneId: ZoneId;
  readonly session: PostgresSession;
}

/** How often it is said how far a long healing has come, in ms. */
const TELL_EVERY_MS = 5_000;
const NOTE_EVERY_MS = 500;
/** Found equal, it is looked at again after so many times as long as that took, unless its shards change. */
const REST_FACTOR = 9;

interface Copy {
  readonly zone: ZoneId;
  readonly ballot: number;
  readonly members: readonly ZoneId[];
}

/** While a move has this zone's record frozen: whether any shard of another zone was not found equal since that zone owns it. */
const UNHEALED = `
  SELECT 1 FROM control.ownership o
   WHERE o.owner <> (SELECT z.id FROM control.zone z) AND o.state <> 'accepted' AND NOT control.is_healed(o.shard, o.epoch)
     AND EXISTS (SELECT FROM control.in_sync r WHERE r.zone = (SELECT z.id FROM control.zone z) AND r.frozen_by <> '{}')
   LIMIT 1`;

/** As the owner's planner estimates them. */
const ROWS_ABOUT = `
  SELECT coalesce(sum(greatest(c.reltuples, 0)), 0)::float8 AS rows
    FROM control.sharded_table s JOIN pg_class c ON c.oid = s.table_id`;
const NOTE_PROGRESS = `
  INSERT INTO control.healing_progress AS h (from_zone, rows_done, rows_total, taken, receipts) VALUES ($1, $2, $3, $4, $5)
  ON CONFLICT (from_zone) DO UPDATE
    SET rows_done = excluded.rows_done, rows_total = excluded.rows_total, taken = excluded.taken,
        receipts = excluded.receipts, changed_at = clock_timestamp()`;

const COPIES = 'SELECT r.zone, r.ballot::float8 AS ballot, r.members FROM control.in_sync r';

/**
 * Brings this zone up to the rows of every zone that does not count on it (SPEC.md R2): after a failover, after its disk
 * was lost, after a stream was made anew. What only this zone has becomes receipts. Rows may come by the stream and by healing, in
 * either order: the apply guard of the tables takes the newer one.
 */
export class SelfHealing {
  private readonly healing = new Set<ZoneId>();
  /** What was found equal last, and until when that is good enough. */
  private readonly rests = new Map<ZoneId, { readonly shards: string; readonly untilMs: number }>();

  private notedAtMs = -Infinity;
  private readonly rowsTotal = new Map<ZoneId, number>();
  /** False where no progress stands in the database; undefined where an earlier process may have left some. */
  private readonly isNoted = new Map<ZoneId, boolean>();

  /** @param own session as borough_owner, used by nobody else */
  constructor(
    private readonly zoneId: ZoneId,
    private readonly own: PostgresSession,
    private readonly peers: readonly HealingPeer[],
    private readonly logger: Logger,
  ) {}

  /** Zones it heals from just now. */
  get from(): readonly ZoneId[] {
    return [...this.healing];
  }

  async round(signal: AbortSignal): Promise<void> {
    const without = await this.zonesToHealFrom();
    for (const peer of this.peers) {
      if (signal.aborted) return;
      if (!without.includes(peer.zoneId)) {
        this.healing.delete(peer.zoneId);
        await this.forgetProgress(peer.zoneId);
      } else await this.healFrom(peer, signal);
    }
  }

  async end(): Promise<void> {
    await Promise.all([this.own, ...this.peers.map(({ session }) => session)].map((session) => session.end()));
  }

  /**
   * Zones whose in-sync record does not name this one, by the newest copies that can be read. After a failover all of them:
   * the way back asks for every shard, and this zone's own record is frozen until it has come to its end.
   */
  private async zonesToHealFrom(): Promise<ZoneId[]> {
    const answers = await Promise.all(
      [this.own, ...this.peers.map(({ session }) => session)].map((session) =>
        session.query<Copy>(COPIES, [], 1_000).catch((): Copy[] => []),
      ),
    );
    const newest = new Map<ZoneId, Copy>();
    for (const copy of answers.flat()) {
      if (copy.ballot > (newest.get(copy.zone)?.ballot ?? -1)) newest.set(copy.zone, copy);
    }
    const isLeft = (await this.own.query(UNHEALED)).length > 0;
    return this.peers
      .map(({ zoneId }) => zoneId)
      .filter((zone) => isLeft || newest.get(zone)?.members.includes(this.zoneId) !== true);
  }

  /** For whoever looks at it; beside the healing, and not more often than makes a difference to the eye. */
  private noteProgress(
    from: ZoneId,
    there: PostgresSession,
    { rowsDone, taken, receipts }: { rowsDone: number; taken: number; receipts: number },
  ): void {
    const nowMs = performance.now();
    if (nowMs - this.notedAtMs < NOTE_EVERY_MS) return;
    this.notedAtMs = nowMs;
    this.isNoted.set(from, true);
    const noted = async (): Promise<void> => {
      if (this.rowsTotal.get(from) === undefined) {
        const [counted] = await there.query<{ rows: number }>(ROWS_ABOUT);
        this.rowsTotal.set(from, counted?.rows ?? 0);
      }
      // Ranges that differ are gone through more than once, and the total is the planner's estimate.
      const total = Math.max(this.rowsTotal.get(from) ?? 0, taken);
      await this.own.query(NOTE_PROGRESS, [from, Math.min(rowsDone, total), total, taken, receipts]);
    };
    noted().catch((error: unknown) => {
      this.logger.debug({ err: error, from }, 'how far the healing has come could not be noted');
    });
  }

  private async forgetProgress(from: ZoneId): Promise<void> {
    if (this.isNoted.get(from) === false) return;
    await this.own.query('DELETE FROM control.healing_progress h WHERE h.from_zone = $1', [from]);
    this.isNoted.set(from, false);
    this.rowsTotal.delete(from);
  }

  private async healFrom({ zoneId, session }: HealingPeer, signal: AbortSignal): Promise<void> {
    const owned = await this.own.query<{ shard: number; epoch: number }>(
      `SELECT o.shard, o.epoch::float8 AS epoch FROM control.ownership o WHERE o.owner = $1 AND o.state <> 'accepted' ORDER BY 1`,
      [zoneId],
    );
    const rest = this.rests.get(zoneId);
    const shards = JSON.stringify(owned);
    const begunAtMs = performance.now();
    if (owned.length === 0 || (rest?.shards === shards && begunAtMs < rest.untilMs)) return;
    let toldAtMs = begunAtMs;
    const { taken, receipts, isEqual, differing } = await healUntilEqual(
      { zoneId, session },
      { zoneId: this.zoneId, session: this.own },
      owned,
      {
        signal,
        onProgress: (progress) => {
          if (!this.healing.has(zoneId) && progress.taken + progress.receipts > 0) {
            this.healing.add(zoneId);
            this.logger.info({ from: zoneId, shards: owned.length }, `healing from zone ${zoneId}`);
          }
          if (this.healing.has(zoneId)) this.noteProgress(zoneId, session, progress);
          if (performance.now() - toldAtMs < TELL_EVERY_MS) return;
          toldAtMs = performance.now();
          this.logger.info({ from: zoneId, ...progress }, `healing from zone ${zoneId}`);
        },
      },
    );
    if (!isEqual) {
      this.logger.info(
        { from: zoneId, rows: taken, receipts, differing: differing.length },
        `not yet equal to zone ${zoneId}`,
      );
      return;
    }
    if (taken + receipts > 0) this.logger.info({ from: zoneId, rows: taken, receipts }, `healed from zone ${zoneId}`);
    this.healing.delete(zoneId);
    await this.forgetProgress(zoneId);
    const nowMs = performance.now();
    this.rests.set(zoneId, { shards, untilMs: nowMs + REST_FACTOR * (nowMs - begunAtMs) });
  }
}
