import { BackgroundLoop, type Logger, type PostgresSession, type Readiness } from '@borough/server-kit';
import { type InSyncGuard } from './in-sync-guard.js';
import { linkName } from './links.js';
import { type Mesh, type Peer } from './mesh.js';

/** How often members are looked at, in ms; a silent one is noticed this much later than its bound. */
const GUARD_EVERY_MS = 200;
/** How often the mesh is looked over, in ms: often until it is whole, then now and then. */
const MESH_UNTIL_WHOLE_MS = 300;
const MESH_WHEN_WHOLE_MS = 5_000;

/** One process of a zone does this work at a time: the session that holds the lock is the agent. */
const BECOME_AGENT = `
  SELECT EXISTS (SELECT FROM pg_locks l
                  WHERE l.locktype = 'advisory' AND l.classid = 8 AND l.objid = 1 AND l.pid = pg_backend_pid())
         OR pg_try_advisory_lock(8, 1) AS is_agent`;

export interface ZoneAgentParts {
  readonly zoneId: string;
  /** Session of the guard, which also holds the agent's lock. The mesh has its own: it may wait for a peer. */
  readonly guardSession: PostgresSession;
  readonly guard: InSyncGuard;
  readonly mesh: Mesh;
  readonly peers: readonly Peer[];
  readonly readiness: Readiness;
  readonly logger: Logger;
}

/**
 * Runs the in-sync guard and the mesh in one of the zone's API processes, and tells readiness in all of them.
 *
 * Two loops, because they must not wait for each other: the guard frees writers from a dead peer while the mesh may be
 * stuck asking that very peer.
 */
export class ZoneAgent {
  private readonly guarding: BackgroundLoop;
  private readonly meshing: BackgroundLoop;
  private isAgent = false;
  private members: readonly string[] = [];
  private covered: ReadonlySet<string> = new Set();
  private lookAgainAtMs = 0;
  private lastMissing = '';

  constructor(private readonly parts: ZoneAgentParts) {
    const { readiness, logger } = parts;
    readiness.wait('mesh', 'not looked at yet');
    this.guarding = new BackgroundLoop({
      name: 'in-sync guard',
      intervalMs: GUARD_EVERY_MS,
      maxPauseMs: 1_000,
      round: () => this.guardRound(),
      logger,
    });
    this.meshing = new BackgroundLoop({
      name: 'mesh',
      intervalMs: MESH_UNTIL_WHOLE_MS,
      maxPauseMs: 2_000,
      round: () => this.meshRound(),
      logger,
    });
  }

  start(): void {
    this.guarding.start();
    this.meshing.start();
  }

  async stop(): Promise<void> {
    await Promise.all([this.guarding.stop(), this.meshing.stop()]);
    await Promise.all([this.parts.guardSession.end(), this.parts.mesh.end()]);
  }

  private async guardRound(): Promise<void> {
    const [answer] = await this.parts.guardSession.query<{ is_agent: boolean }>(BECOME_AGENT);
    this.isAgent = answer?.is_agent === true;
    if (this.isAgent) this.members = await this.parts.guard.round(this.covered);
  }

  private async meshRound(): Promise<void> {
    if (!this.isAgent) {
      await this.tellReadiness('another process of this zone sets up the mesh');
      return;
    }
    if (performance.now() < this.lookAgainAtMs) return;
    const { mesh, peers, zoneId } = this.parts;
    const missing = await mesh.repair();
    const covered = new Set<string>();
    for (const peer of peers) {
      const uncovered = await mesh.uncoveredTables(peer).catch(() => ['any table']);
      if (uncovered.length === 0) covered.add(linkName(peer.zoneId, zoneId));
      else missing.push(`zone ${peer.zoneId} does not take in ${uncovered.join(', ')} yet`);
    }
    this.covered = covered;
    const areAllIn = peers.every((peer) => this.members.includes(linkName(peer.zoneId, zoneId)));
    const isWhole = missing.length === 0 && areAllIn;
    if (isWhole) await this.openTables();
    this.say(missing);
    await this.tellReadiness(missing.join('; ') || 'not every zone is in sync yet');
    if (isWhole) this.lookAgainAtMs = performance.now() + MESH_WHEN_WHOLE_MS;
  }

  private async openTables(): Promise<void> {
    const closed = await this.parts.mesh.closedTables();
    for (const table of closed) await this.parts.mesh.openTable(table);
    if (closed.length > 0) {
      this.parts.logger.info({ tables: closed }, 'tables take writes: every zone replicates them');
    }
  }

  /** A zone with open tables serves, whoever else is away. */
  private async tellReadiness(reason: string): Promise<void> {
    const closed = await this.parts.mesh.closedTables();
    if (closed.length === 0) this.parts.readiness.done('mesh');
    else this.parts.readiness.wait('mesh', reason);
  }

  /** Once per change, not once per round. While a fresh cluster comes up, waiting for each other is no news. */
  private say(missing: readonly string[]): void {
    const text = missing.join('; ');
    if (text !== this.lastMissing && this.parts.readiness.isReady) {
      if (text === '') this.parts.logger.info('the mesh is whole again');
      else this.parts.logger.warn({ missing }, 'the mesh is not whole');
    }
    this.lastMissing = text;
  }
}
