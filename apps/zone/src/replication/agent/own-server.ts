import { setTimeout as sleep } from 'node:timers/promises';
import { type PostgresSession } from '@borough/server-kit';
import { type ZoneId } from '@borough/topology';
import { inSyncSetting, linkName, membersOfSetting } from '../links.js';
import { type MemberReport } from './member-watch.js';

/** One look at the zone's own PostgreSQL. */
export interface ServerLook {
  /** Zones that the setting names, in its order. */
  readonly setting: readonly ZoneId[];
  /** Commits that wait for members. */
  readonly waiting: number;
  /** `sender` is the process that streams to the zone: another one may stream from another position. */
  readonly reports: ReadonlyMap<ZoneId, MemberReport & { readonly priority: number; readonly sender: number }>;
}

const NUDGE_EVERY_MS = 10;
const NUDGE_LIMIT_MS = 5_000;
const RELOAD_LIMIT_MS = 2_000;
const POLL_MS = 2;

/** By the functions under pg_stat_activity and pg_stat_replication: the views cost four times as much, 25 times a second. */
const LOOK = `
  WITH backends AS MATERIALIZED (SELECT a.pid, a.application_name, a.wait_event FROM pg_stat_get_activity(NULL) a)
  SELECT current_setting('synchronous_standby_names') AS setting,
         (SELECT count(*)::int FROM backends b WHERE b.wait_event = 'SyncRep') AS waiting,
         coalesce((SELECT json_agg(json_build_object(
            'name', b.application_name, 'isStreaming', r.state = 'streaming', 'priority', r.sync_priority, 'sender', r.pid,
            'flushedAt', coalesce(r.flush_lsn, '0/0') - '0/0'::pg_lsn,
            'behindBytes', greatest(pg_current_wal_flush_lsn() - coalesce(r.flush_lsn, '0/0'), 0)))
           FROM pg_stat_get_wal_senders() r JOIN backends b ON b.pid = r.pid), '[]') AS members`;

/**
 * What the agent does with the PostgreSQL of its own zone: who waits for whom, and changing it.
 *
 * Never cancels or times out a commit: a cancelled wait reports success.
 */
export class OwnServer {
  private readonly zoneOfLink: ReadonlyMap<string, ZoneId>;

  /**
   * @param session as borough_owner, used by nobody else
   * @param waiting another one, for a commit that is to be seen waiting
   */
  constructor(
    private readonly zoneId: ZoneId,
    peers: readonly ZoneId[],
    private readonly session: PostgresSession,
    private readonly waiting: PostgresSession,
  ) {
    this.zoneOfLink = new Map(peers.map((peer) => [linkName(peer, zoneId), peer]));
  }

  async look(): Promise<ServerLook> {
    const [row] = await this.session.query<{
      setting: string;
      waiting: number;
      members: (MemberReport & { name: string; priority: number; sender: number })[];
    }>(LOOK);
    if (row === undefined) throw new Error('PostgreSQL answered nothing');
    const reports = new Map<ZoneId, MemberReport & { priority: number; sender: number }>();
    for (const { name, ...report } of row.members) {
      const zone = this.zoneOfLink.get(name);
      // While one reconnects there may be two; the one that streams counts.
      if (zone !== undefined && reports.get(zone)?.isStreaming !== true) reports.set(zone, report);
    }
    const setting = membersOfSetting(row.setting).flatMap((name) => this.zoneOfLink.get(name) ?? []);
    return { setting, waiting: row.waiting, reports };
  }

  /** Writes the setting and has it taken up by the server; walsenders load it each in its own time. */
  async writeSetting(zones: readonly ZoneId[]): Promise<void> {
    const setting = inSyncSetting(zones.map((zone) => linkName(zone, this.zoneId)));
    await this.session.query(`ALTER SYSTEM SET synchronous_standby_names = '${setting}'`);
    await this.session.query('SELECT pg_reload_conf()');
    const limit = performance.now() + RELOAD_LIMIT_MS;
    const isInForce = "SELECT 1 WHERE current_setting('synchronous_standby_names') = $1";
    while ((await this.session.query(isInForce, [setting])).length === 0) {
      if (performance.now() > limit) throw new Error('PostgreSQL did not take up synchronous_standby_names');
      await sleep(POLL_MS);
    }
  }

  /**
   * Lets go of commits that wait for a zone which the setting no longer names: walsenders release waiters only when they
   * handle the next reply, so small commits are made until nobody waits, or those that are left wait for another reason.
   */
  async nudge(signal: AbortSignal): Promise<void> {
    const limit = performance.now() + NUDGE_LIMIT_MS;
    while (!signal.aborted && performance.now() < limit) {
      await this.session.query(
        "SELECT set_config('synchronous_commit', 'local', true), pg_logical_emit_message(true, 'borough', 'nudge')",
      );
      await sleep(NUDGE_EVERY_MS);
      if ((await this.look()).waiting === 0) return;
    }
  }

  /**
   * Whether every walsender of the setting has loaded it. A priority shows that only where it changed, so a newcomer is
   * written first in the list: that moves all others.
   */
  async haveSendersLoaded(zones: readonly ZoneId[]): Promise<boolean> {
    const limit = performance.now() + RELOAD_LIMIT_MS;
    while (performance.now() < limit) {
      const { reports } = await this.look();
      if (zones.every((zone, at) => reports.get(zone)?.priority === at + 1)) return true;
      await sleep(POLL_MS);
    }
    return false;
  }

  /** Makes small commits that wait for members until one has been seen waiting (T26). */
  async seeACommitWait(): Promise<boolean> {
    const limit = performance.now() + RELOAD_LIMIT_MS;
    const [backend] = await this.waiting.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
    while (performance.now() < limit) {
      const turn = { isOver: false };
      const committed = this.waiting
        .query("SELECT set_config('synchronous_commit', 'on', true), pg_logical_emit_message(true, 'borough', 'seen')")
        .finally(() => {
          turn.isOver = true;
        });
      committed.catch(() => undefined);
      while (!turn.isOver) {
        const waits = "SELECT 1 FROM pg_stat_activity a WHERE a.pid = $1 AND a.wait_event = 'SyncRep'";
        if ((await this.session.query(waits, [backend?.pid])).length > 0) {
          await committed;
          return true;
        }
      }
      await committed;
    }
    return false;
  }

  /** Writes something small that is published, and waits until the zone has it on disk. */
  async hasFlushedMarker(zone: ZoneId): Promise<boolean> {
    await this.beat();
    const [marker] = await this.session.query<{ lsn: string }>('SELECT pg_current_wal_insert_lsn()::text AS lsn');
    const limit = performance.now() + RELOAD_LIMIT_MS;
    const flushed = `SELECT 1 FROM pg_replication_slots s
                      WHERE s.slot_name = $1 AND s.active AND s.confirmed_flush_lsn >= $2::pg_lsn`;
    while (performance.now() < limit) {
      const rows = await this.session.query(flushed, [linkName(zone, this.zoneId), marker?.lsn]);
      if (rows.length > 0) return true;
      await sleep(POLL_MS);
    }
    return false;
  }

  /** Shows the other zones that this one lives, and how far they have come. */
  async beat(): Promise<void> {
    await this.session.query('SELECT control.beat_zone()');
  }

  async end(): Promise<void> {
    await Promise.all([this.session.end(), this.waiting.end()]);
  }
}
