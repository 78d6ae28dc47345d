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

/**
 * Keeps PostgreSQL waiting for every other zone that can answer, and for no other (SPEC.md, in-sync set, first version).
 *
 * Never cancels or times out a commit: a cancelled wait reports success. A reload to a smaller set releases nobody by
 * itself, because walsenders release waiters only when they handle the next reply; so after each drop it nudges with
 * small commits of its own until nobody waits.
 */
export class InSyncGuard {
  private readonly watches = new Map<string, MemberWatch>();

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
    const look = await this.look();
    const members = membersOfSetting(look.setting);
    const wanted = this.judge(look, members, covered);
    if (inSyncSetting(wanted) === look.setting) return members;
    await this.change(wanted);
    this.say(members, wanted);
    if (wanted.length < members.length) await this.nudge();
    return wanted;
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

  /** ALTER SYSTEM and reload; resolves when this server has taken the setting up. */
  private async change(names: readonly string[]): Promise<void> {
    const setting = inSyncSetting(names);
    await this.owner.query(`ALTER SYSTEM SET synchronous_standby_names = '${setting}'`);
    await this.owner.query('SELECT pg_reload_conf()');
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

  private async nudge(): Promise<void> {
    const limit = performance.now() + NUDGE_LIMIT_MS;
    while ((await this.look()).waiting > 0 && performance.now() < limit) {
      await this.owner.query(
        "SELECT set_config('synchronous_commit', 'local', true), pg_logical_emit_message(true, 'borough', 'nudge')",
      );
      await sleep(NUDGE_EVERY_MS);
    }
  }

  private say(before: readonly string[], after: readonly string[]): void {
    const zones = (names: readonly string[]): string[] => names.map((name) => this.links.get(name) ?? name);
    const dropped = zones(before.filter((name) => !after.includes(name)));
    const added = zones(after.filter((name) => !before.includes(name)));
    const inSync = zones(after);
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
