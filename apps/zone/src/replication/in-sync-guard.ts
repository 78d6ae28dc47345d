import { setTimeout as sleep } from 'node:timers/promises';
import { type Logger, type PostgresSession } from '@borough/server-kit';
import { judgeMember, type MemberReport, type MemberWatch, NEVER_SEEN, watchMember } from './in-sync-rule.js';
import { inSyncSetting, membersOfSetting } from './links.js';

interface Look {
  readonly setting: string;
  readonly waiting: number;
  readonly members: { name: string; streaming: boolean; behind: number; flushed: number; priority: number }[];
}

const NUDGE_EVERY_MS = 10;
const NUDGE_LIMIT_MS = 5_000;
const RELOAD_LIMIT_MS = 2_000;
/** A member that a freeze has kept in this long after its silence was noticed is worth a word: writes wait for it. */
const LONG_FREEZE_MS = 2_000;

/** Session-level, so that it spans the reload. `control.freeze_in_sync` takes the same lock before it freezes. */
const LOCK_CHANGES = 'SELECT pg_try_advisory_lock(8, 2) AS is_locked';
const UNLOCK_CHANGES = 'SELECT pg_advisory_unlock(8, 2)';

const FREEZE = `
  SELECT f.move_id FROM control.in_sync_freeze f WHERE f.zone = (SELECT z.id FROM control.zone z) ORDER BY 1 LIMIT 1`;

/** Of this session only: one that broke and was opened anew has lost the lock, and with it the right to go on. */
const RELOAD_IF_LOCKED = `
  SELECT pg_reload_conf()
   WHERE EXISTS (SELECT FROM pg_locks l
                  WHERE l.locktype = 'advisory' AND l.classid = 8 AND l.objid = 2 AND l.pid = pg_backend_pid()
                    AND l.granted)`;

/** Members before and after. */
interface Change {
  readonly from: readonly string[];
  readonly to: readonly string[];
}

/** A change that a freeze keeps from being made. */
interface HeldBack {
  readonly sinceMs: number;
  readonly isSaidLate: boolean;
}

/**
 * Keeps PostgreSQL waiting for every other zone that can answer, and for no other (SPEC.md, in-sync set, first version).
 *
 * While a move has frozen the set (M5) it changes nothing. A change and a freeze exclude each other by a lock:
 *
 * ```
 * guard    lock (8, 2) ► no freeze? ► ALTER SYSTEM ► reload ► taken up ► unlock ► nudge
 * freeze   lock (8, 2), for a bounded time ► its row ► commit, which unlocks
 * ```
 *
 * So whoever has frozen the set reads a setting that stays, and no change that began earlier comes after it (T22).
 *
 * Never cancels or times out a commit: a cancelled wait reports success. A reload to a smaller set releases nobody by
 * itself, because walsenders release waiters only when they handle the next reply; so after each drop it nudges with
 * small commits of its own until nobody waits.
 */
export class InSyncGuard {
  private readonly watches = new Map<string, MemberWatch>();
  private heldBack: HeldBack | undefined;
  /** A setting that was written and not yet seen in force; the lock is held until then. */
  private begun: Change | undefined;

  /**
   * @param owner session as borough_owner
   * @param links link name of every other zone → its zone id
   */
  constructor(
    private readonly owner: PostgresSession,
    private readonly links: ReadonlyMap<string, string>,
    private readonly silenceMs: number,
    private readonly logger: Logger,
  ) {}

  /**
   * One look, and at most one change.
   *
   * @param covered link names whose zone replicates all our tables
   * @returns link names that commits wait for now
   */
  async round(covered: ReadonlySet<string>): Promise<readonly string[]> {
    await this.finishChange();
    const look = await this.look();
    const members = membersOfSetting(look.setting);
    const wanted = this.judge(look, members, covered);
    if (inSyncSetting(wanted) === look.setting) {
      this.heldBack = undefined;
      return members;
    }
    await this.beginUnlessFrozen({ from: members, to: wanted });
    const hasBegun = this.begun !== undefined;
    await this.finishChange();
    return hasBegun ? wanted : members;
  }

  private async beginUnlessFrozen(change: Change): Promise<void> {
    const [lock] = await this.owner.query<{ is_locked: boolean }>(LOCK_CHANGES);
    // A freeze is being written at this moment; the next round sees it.
    if (lock?.is_locked !== true) return;
    try {
      const [freeze] = await this.owner.query<{ move_id: string }>(FREEZE);
      if (freeze === undefined) await this.begin(change);
      else this.holdBack(change, freeze.move_id);
    } finally {
      if (this.begun === undefined) await this.unlock();
    }
  }

  private judge(look: Look, members: readonly string[], covered: ReadonlySet<string>): string[] {
    const nowMs = performance.now();
    return [...this.links.keys()].filter((name) => {
      const row = look.members.find((member) => member.name === name);
      const report: MemberReport | undefined =
        row === undefined ? undefined : { isStreaming: row.streaming, behindBytes: row.behind, flushedAt: row.flushed };
      const watch = watchMember(this.watches.get(name) ?? NEVER_SEEN, report, look.waiting > 0, nowMs);
      this.watches.set(name, watch);
      const verdict = judgeMember(members.includes(name), watch, report, covered.has(name), nowMs, this.silenceMs);
      return verdict === 'keep' || verdict === 'take-back';
    });
  }

  private async look(): Promise<Look> {
    const [row] = await this.owner.query<{ setting: string; waiting: number; members: Look['members'] }>(
      `SELECT current_setting('synchronous_standby_names') AS setting,
              (SELECT count(*)::int FROM pg_stat_activity a WHERE a.wait_event = 'SyncRep') AS waiting,
              coalesce((SELECT json_agg(json_build_object(
                 'name', r.application_name, 'streaming', r.state = 'streaming', 'priority', r.sync_priority,
                 'flushed', coalesce(r.flush_lsn, '0/0') - '0/0'::pg_lsn,
                 'behind', pg_current_wal_flush_lsn() - coalesce(r.flush_lsn, '0/0')))
                FROM pg_stat_replication r), '[]') AS members`,
    );
    if (row === undefined) throw new Error('PostgreSQL answered nothing');
    return row;
  }

  private async begin(change: Change): Promise<void> {
    await this.owner.query(`ALTER SYSTEM SET synchronous_standby_names = '${inSyncSetting(change.to)}'`);
    const reloaded = await this.owner.query(RELOAD_IF_LOCKED);
    if (reloaded.length === 0) throw new Error('the session that held the lock of the in-sync set was lost');
    this.begun = change;
    this.heldBack = undefined;
  }

  /** A server too slow to take it up within one round keeps the lock for the next: no freeze may come between. */
  private async finishChange(): Promise<void> {
    if (this.begun === undefined) return;
    const { from, to } = this.begun;
    await this.tookUp(to);
    this.begun = undefined;
    await this.unlock();
    this.say(from, to);
    if (to.length < from.length) await this.nudge();
  }

  private async tookUp(names: readonly string[]): Promise<void> {
    const setting = inSyncSetting(names);
    const limit = performance.now() + RELOAD_LIMIT_MS;
    for (;;) {
      const look = await this.look();
      const hasReloaded = names.every((name) =>
        look.members.some((member) => member.name === name && member.priority > 0),
      );
      if (look.setting === setting && (hasReloaded || performance.now() > limit)) return;
      if (performance.now() > limit) throw new Error('PostgreSQL did not take up synchronous_standby_names');
      await sleep(NUDGE_EVERY_MS);
    }
  }

  /** On a session that broke there is no lock any more; what broke it is the error to tell. */
  private async unlock(): Promise<void> {
    await this.owner.query(UNLOCK_CHANGES).catch(() => undefined);
  }

  private async nudge(): Promise<void> {
    const limit = performance.now() + NUDGE_LIMIT_MS;
    while ((await this.look()).waiting > 0 && performance.now() < limit) {
      await this.owner.query(
        "SELECT set_config('synchronous_commit', 'local', true), pg_logical_emit_message(true, 'borough', 'nudge')",
      );
      await sleep(NUDGE_EVERY_MS);
    }
  }

  /** Each once, not once per round. */
  private holdBack({ from, to }: Change, moveId: string): void {
    const nowMs = performance.now();
    const facts = { moveId, inSync: this.zonesOf(from), wanted: this.zonesOf(to) };
    if (this.heldBack === undefined) {
      this.heldBack = { sinceMs: nowMs, isSaidLate: false };
      this.logger.info(facts, 'a move has frozen the in-sync set: its change waits');
      return;
    }
    const isDropping = from.some((name) => !to.includes(name));
    if (!isDropping || this.heldBack.isSaidLate || nowMs - this.heldBack.sinceMs < LONG_FREEZE_MS) return;
    this.heldBack = { ...this.heldBack, isSaidLate: true };
    this.logger.warn(facts, 'a move still keeps a silent zone in the in-sync set: writes may be waiting for it');
  }

  private zonesOf(names: readonly string[]): string[] {
    return names.map((name) => this.links.get(name) ?? name);
  }

  private say(before: readonly string[], after: readonly string[]): void {
    const dropped = this.zonesOf(before.filter((name) => !after.includes(name)));
    const added = this.zonesOf(after.filter((name) => !before.includes(name)));
    const inSync = this.zonesOf(after);
    if (dropped.length > 0) {
      const cost =
        inSync.length === 0
          ? 'this zone now acknowledges writes ALONE: losing it loses them'
          : `writes are now on disk here and in ${inSync.join(', ')} only`;
      this.logger.error({ dropped, inSync }, `zone ${dropped.join(', ')} dropped from the in-sync set: ${cost}`);
    }
    if (added.length > 0) this.logger.info({ added, inSync }, `zone ${added.join(', ')} is in the in-sync set`);
  }
}
