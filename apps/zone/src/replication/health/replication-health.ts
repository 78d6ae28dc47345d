import { type Logger, type PostgresSession } from '@borough/server-kit';
import {
  applyErrors,
  beatAgeSeconds,
  clearReplicationMetrics,
  conflicts,
  inSyncMembers,
  isSolo,
  lagBytes,
  linkUp,
  logLeftBytes,
  seals,
} from './replication-metrics.js';

/** What `control.link_health` says (0012-health.sql). */
interface LinkFacts {
  readonly incoming: readonly IncomingLink[];
  readonly outgoing: readonly {
    readonly to: string;
    readonly isCounted: boolean;
    readonly isLost: boolean;
    readonly lagBytes?: number;
    readonly logLeftBytes?: number;
  }[];
}

interface IncomingLink {
  readonly from: string;
  readonly isEnabled: boolean;
  readonly hasWorker: boolean;
  readonly beatAgeMs?: number;
  readonly applyErrors: number;
  readonly conflicts: Readonly<Record<string, number>>;
  readonly isSealed: boolean;
}

/** Zones beat several times a second; an older beat than this says that nothing comes in, in ms. */
const OLD_BEAT_MS = 5_000;
/** Counted in every cluster after a move or a healing, see `SETTLED_BY_DESIGN` of the coordinator's link-health.ts. */
const NORMAL_CONFLICTS: readonly string[] = ['update_origin_differs', 'delete_missing'];

/**
 * Shows in metrics how the zone's links are, and says in the log what does not apply or meets another row than it should.
 *
 * By the agent only: these are figures of the database, not of a process. Shown by every API process they would be asked
 * for several times, and a sum over processes would count them so often. A process that is not the agent (any more) shows
 * none, so that no old figure stands.
 */
export class ReplicationHealth {
  private before = new Map<string, IncomingLink>();
  private readonly failing = new Set<string>();

  /** @param own session as borough_owner, used by nobody else */
  constructor(
    private readonly zoneId: string,
    private readonly peers: readonly string[],
    private readonly own: PostgresSession,
    private readonly logger: Logger,
  ) {}

  async round(): Promise<void> {
    const [row] = await this.own.query<{ facts: LinkFacts }>('SELECT control.link_health($1) AS facts', [this.peers]);
    if (row === undefined) throw new Error('PostgreSQL answered nothing');
    this.show(row.facts);
    for (const link of row.facts.incoming) this.say(link, this.before.get(link.from));
    this.before = new Map(row.facts.incoming.map((link) => [link.from, link]));
  }

  /** What this process showed is not true any more. */
  clear(): void {
    clearReplicationMetrics();
    this.before.clear();
  }

  async end(): Promise<void> {
    this.clear();
    await this.own.end();
  }

  private show({ incoming, outgoing }: LinkFacts): void {
    const { zoneId } = this;
    clearReplicationMetrics();
    for (const link of incoming) {
      const labels = { from: link.from, to: zoneId };
      const { beatAgeMs } = link;
      linkUp.set(labels, isUp(link) ? 1 : 0);
      applyErrors.set(labels, link.applyErrors);
      if (beatAgeMs !== undefined) beatAgeSeconds.set(labels, beatAgeMs / 1_000);
      for (const [kind, count] of Object.entries(link.conflicts)) conflicts.set({ ...labels, kind }, count);
    }
    for (const link of outgoing) {
      const labels = { from: zoneId, to: link.to };
      if (link.lagBytes !== undefined) lagBytes.set(labels, link.lagBytes);
      const left = link.isLost ? 0 : link.logLeftBytes;
      if (left !== undefined) logLeftBytes.set(labels, left);
    }
    const members = outgoing.filter(({ isCounted }) => isCounted).length;
    const zone = { zone: zoneId };
    inSyncMembers.set(zone, members);
    isSolo.set(zone, members === 0 ? 1 : 0);
    seals.set(zone, incoming.filter(({ isSealed }) => isSealed).length);
  }

  /** Nothing that was skipped or refused goes without a line. */
  private say(link: IncomingLink, before: IncomingLink | undefined): void {
    const { from } = link;
    const grown = Object.entries(link.conflicts).flatMap(([kind, count]) => {
      const more = count - (before?.conflicts[kind] ?? count);
      return more > 0 && !NORMAL_CONFLICTS.includes(kind) ? [[kind, more] as const] : [];
    });
    if (grown.length > 0) {
      const counted = Object.fromEntries(grown);
      this.logger.error({ from, conflicts: counted }, `changes of zone ${from} met other rows than they should`);
    }
    const isFailing = link.applyErrors > (before?.applyErrors ?? link.applyErrors);
    if (isFailing === this.failing.has(from)) return;
    if (isFailing) {
      this.failing.add(from);
      const { applyErrors: errors } = link;
      this.logger.error({ from, errors }, `changes of zone ${from} do not apply: PostgreSQL's log says which and why`);
    } else {
      this.failing.delete(from);
      this.logger.info({ from }, `no change of zone ${from} failed to apply since the last look`);
    }
  }
}

function isUp({ isEnabled, hasWorker, beatAgeMs, isSealed }: IncomingLink): boolean {
  return isEnabled && !isSealed && (beatAgeMs === undefined ? hasWorker : beatAgeMs <= OLD_BEAT_MS);
}
