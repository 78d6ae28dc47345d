import { BackgroundLoop, type Logger, type PostgresSession, type Readiness } from '@borough/server-kit';
import { type AuditRunner } from './audit/audit-runner.js';
import { type InSyncAgent } from './agent/in-sync-agent.js';
import { type SelfHealing } from './agent/self-healing.js';
import { beginVoting, type VotingPeer } from './agent/voting.js';
import { type ReplicationHealth } from './health/replication-health.js';
import { type Mesh, type Peer } from './mesh.js';

/** How often members are looked at, in ms; a lost one is noticed this much later than its bound. */
const LOOK_EVERY_MS = 40;
/** The same while one is away, in ms: commits may be waiting for it. */
const LOOK_AGAIN_MS = 10;
/** How often it is looked whether a zone does not count on this one, in ms. */
const HEAL_EVERY_MS = 250;
/** How often metrics and log are told how the links are, in ms. */
const HEALTH_EVERY_MS = 5_000;
/** How often it is looked whether an audit was asked for, in ms. */
const AUDIT_EVERY_MS = 500;
/** How often the mesh is looked over, in ms: often until it is whole, then now and then. */
const MESH_UNTIL_WHOLE_MS = 300;
const MESH_WHEN_WHOLE_MS = 5_000;

/**
 * One process of a zone does this work at a time: the session that holds the lock is the agent. Asked with every look, so a
 * setting that lives as long as the session, as the lock does, remembers it: to look into pg_locks costs several times as much.
 */
const BECOME_AGENT = `
  SELECT CASE WHEN current_setting('borough.agent', true) = 'yes' THEN true
              WHEN pg_try_advisory_lock(8, 1) THEN set_config('borough.agent', 'yes', false) = 'yes'
              ELSE false END AS is_agent`;

export interface ZoneAgentParts {
  readonly zoneId: string;
  /** Holds the agent's lock. The mesh has its own session: it may wait for a peer. */
  readonly lockSession: PostgresSession;
  readonly inSync: InSyncAgent;
  readonly voters: readonly VotingPeer[];
  readonly healing: SelfHealing;
  readonly audits: AuditRunner;
  readonly health: ReplicationHealth;
  /** Ends what `inSync` and `voters` use. */
  readonly end: () => Promise<void>;
  readonly mesh: Mesh;
  readonly peers: readonly Peer[];
  /** Filled by the mesh, read by the in-sync agent: zones that take in all our tables. */
  readonly covered: Set<string>;
  readonly readiness: Readiness;
  readonly logger: Logger;
}

/**
 * Runs the in-sync agent and the mesh in one of the zone's API processes, and tells readiness in all of them.
 *
 * Two loops, because they must not wait for each other: the one frees writers from a dead peer while the mesh may be
 * stuck asking that very peer.
 */
export class ZoneAgent {
  private readonly looking: BackgroundLoop;
  private readonly meshing: BackgroundLoop;
  private readonly mending: BackgroundLoop;
  private readonly auditing: BackgroundLoop;
  private readonly showing: BackgroundLoop;
  private isAgent = false;
  private isVoting = false;
  private lookAgainAtMs = 0;
  private lastMissing = '';

  constructor(private readonly parts: ZoneAgentParts) {
    const { readiness, logger } = parts;
    readiness.wait('mesh', 'not looked at yet');
    this.looking = new BackgroundLoop({
      name: 'in-sync record',
      intervalMs: () => (parts.inSync.isMissingOne ? LOOK_AGAIN_MS : LOOK_EVERY_MS),
      maxPauseMs: 200,
      round: (signal) => this.lookRound(signal),
      isStarting: () => !readiness.isReady,
      logger,
    });
    this.mending = new BackgroundLoop({
      name: 'healing',
      intervalMs: HEAL_EVERY_MS,
      maxPauseMs: 1_000,
      round: async (signal) => {
        if (this.isAgent && this.isVoting) await this.parts.healing.round(signal);
      },
      isStarting: () => !readiness.isReady,
      logger,
    });
    this.showing = new BackgroundLoop({
      name: 'replication health',
      intervalMs: HEALTH_EVERY_MS,
      maxPauseMs: HEALTH_EVERY_MS,
      round: async () => {
        if (this.isAgent) await this.parts.health.round();
        else this.parts.health.clear();
      },
      logger,
    });
    this.auditing = new BackgroundLoop({
      name: 'audits',
      intervalMs: AUDIT_EVERY_MS,
      maxPauseMs: 5_000,
      round: async (signal) => {
        if (this.isAgent && this.isVoting) await this.parts.audits.round(signal);
      },
      isStarting: () => !readiness.isReady,
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
    this.looking.start();
    this.mending.start();
    this.auditing.start();
    this.showing.start();
    this.meshing.start();
  }

  async stop(): Promise<void> {
    await Promise.all(
      [this.looking, this.mending, this.auditing, this.showing, this.meshing].map((loop) => loop.stop()),
    );
    await Promise.all([
      this.parts.lockSession.end(),
      this.parts.mesh.end(),
      this.parts.healing.end(),
      this.parts.audits.end(),
      this.parts.health.end(),
      this.parts.end(),
    ]);
  }

  private async lookRound(signal: AbortSignal): Promise<void> {
    const { lockSession, inSync, voters, logger } = this.parts;
    const [answer] = await lockSession.query<{ is_agent: boolean }>(BECOME_AGENT);
    this.isAgent = answer?.is_agent === true;
    if (!this.isAgent) return;
    if (!this.isVoting) {
      const { isVoting, waitsFor } = await beginVoting(lockSession, voters, logger);
      this.isVoting = isVoting;
      if (!isVoting) throw new Error(`this database does not vote yet: ${waitsFor}`);
    }
    await inSync.round(signal);
  }

  private async meshRound(): Promise<void> {
    if (!this.isAgent) {
      await this.tellReadiness('another process of this zone sets up the mesh');
      return;
    }
    if (performance.now() < this.lookAgainAtMs) return;
    const { mesh, peers, inSync } = this.parts;
    const missing = await mesh.repair();
    const covered = new Set<string>();
    for (const peer of peers) {
      const uncovered = await mesh.uncoveredTables(peer).catch(() => ['any table']);
      if (uncovered.length === 0) covered.add(peer.zoneId);
      else missing.push(`zone ${peer.zoneId} does not take in ${uncovered.join(', ')} yet`);
    }
    this.parts.covered.clear();
    for (const zone of covered) this.parts.covered.add(zone);
    const areAllIn = peers.every((peer) => inSync.members.includes(peer.zoneId));
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
