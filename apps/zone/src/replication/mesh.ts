import { type Logger, type PostgresSession } from '@borough/server-kit';
import { linkName, PUBLICATION } from './links.js';

export interface Peer {
  readonly zoneId: string;
  /** How this zone's subscription reaches the peer, as a URL of the role borough_replication. */
  readonly url: string;
  /** Session to the peer as that role, for looking only. */
  readonly session: PostgresSession;
}

/** Making a slot waits for every transaction that runs at the publisher. */
const SLOT_DEADLINE_MS = 30_000;

interface LocalLink {
  readonly enabled: boolean;
  readonly tables: string[];
}

/**
 * Sets up and repairs what brings every other zone's changes here, and opens tables for writes.
 *
 * ```
 * migrate here → subscribe to every peer, refresh → every peer subscribed to us covers the table → open the table
 * ```
 *
 * Every step looks first and changes only what is missing, so a round may be run at any time, and is, once a second
 * until nothing is missing. A peer that is away is left for a later round; tables that are open stay open.
 */
export class Mesh {
  private readonly connected = new Set<string>();

  constructor(
    private readonly zoneId: string,
    private readonly owner: PostgresSession,
    private readonly peers: readonly Peer[],
    private readonly logger: Logger,
  ) {}

  /**
   * One round over all peers.
   *
   * @returns what is still missing, in words; empty when the mesh is whole
   */
  async repair(): Promise<string[]> {
    const missing: string[] = [];
    for (const peer of this.peers) {
      try {
        await this.subscribeTo(peer);
      } catch (error) {
        missing.push(`zone ${peer.zoneId}: ${error instanceof Error ? error.message : String(error)}`);
      }
    }
    return missing;
  }

  /**
   * Which of our sharded tables this peer's subscription does not cover yet. A row written to one of them would never
   * reach the peer.
   */
  async uncoveredTables(peer: Peer): Promise<string[]> {
    const published = await this.publishedTables(this.owner);
    const covered = await tablesOfSubscription(peer.session, linkName(peer.zoneId, this.zoneId));
    return published.filter((table) => covered?.enabled !== true || !covered.tables.includes(table));
  }

  closedTables(): Promise<string[]> {
    return this.owner
      .query<{ table_name: string }>('SELECT c.table_name FROM control.closed_table c ORDER BY 1')
      .then((rows) => rows.map((row) => row.table_name));
  }

  /** Opens the table for writes. Every peer must have been seen to cover it, and to be in the in-sync setting. */
  async openTable(table: string): Promise<void> {
    await this.owner.query('SELECT control.open_table(to_regclass($1))', [table]);
  }

  async end(): Promise<void> {
    await Promise.all([this.owner.end(), ...this.peers.map((peer) => peer.session.end())]);
  }

  private async subscribeTo(peer: Peer): Promise<void> {
    await this.requirePeerIdentity(peer);
    const name = linkName(this.zoneId, peer.zoneId);
    const published = await this.publishedTables(peer.session);
    const local = await tablesOfSubscription(this.owner, name);
    if (local === undefined) {
      await this.createSubscription(peer, name);
      return;
    }
    // Ports and passwords may have changed since. The worker restarts only if something did.
    if (!this.connected.has(peer.zoneId)) {
      await this.owner.query(`ALTER SUBSCRIPTION ${name} CONNECTION ${quoted(connectionOf(peer.url))}`);
      this.connected.add(peer.zoneId);
    }
    if (!local.enabled) {
      await this.owner.query(`ALTER SUBSCRIPTION ${name} ENABLE`);
      this.logger.warn({ peer: peer.zoneId }, 'the subscription was disabled and is enabled again');
    }
    if (published.some((table) => !local.tables.includes(table))) {
      await this.owner.query(`ALTER SUBSCRIPTION ${name} REFRESH PUBLICATION WITH (copy_data = false)`);
      this.logger.info({ peer: peer.zoneId }, 'the subscription takes in the new tables');
    }
    await this.requireSlot(peer, name);
  }

  /**
   * The slot is made first, and by itself. CREATE SUBSCRIPTION would make it inside its own transaction, and making a
   * slot waits for the transactions that run at the publisher: zones that subscribe to each other at the same moment
   * then wait in a circle for ever. A slot that a killed set-up left behind is used.
   */
  private async createSubscription(peer: Peer, name: string): Promise<void> {
    const hasSlot = await slotExists(peer.session, name);
    await this.requireNothingMissed(peer, hasSlot);
    if (!hasSlot) {
      await peer.session.query("SELECT pg_create_logical_replication_slot($1, 'pgoutput')", [name], SLOT_DEADLINE_MS);
    }
    await this.owner.query(
      `CREATE SUBSCRIPTION ${name} CONNECTION ${quoted(connectionOf(peer.url))} PUBLICATION ${PUBLICATION}
         WITH (origin = none, copy_data = false, synchronous_commit = 'local', create_slot = false)`,
    );
    this.connected.add(peer.zoneId);
    this.logger.info({ peer: peer.zoneId }, 'subscribed');
  }

  /**
   * A peer takes writes only after we subscribed to it. So when it does and we have no subscription, ours was lost; with
   * its slot, or with our own rows, changes are lost too, and to subscribe now would hide that.
   */
  private async requireNothingMissed(peer: Peer, hasSlot: boolean): Promise<void> {
    if (!(await hasOpenTables(peer.session))) return;
    if (hasSlot && (await hasOpenTables(this.owner))) return;
    throw new Error('it holds rows that never came here (was this disk lost?): this zone must be seeded anew');
  }

  /** A peer whose slot for us is gone has thrown away changes we never saw: only a re-seed brings them back. */
  private async requireSlot(peer: Peer, name: string): Promise<void> {
    if (await slotExists(peer.session, name)) return;
    throw new Error(
      `it has no replication slot ${name} any more: changes were lost on the way, this zone must be seeded anew`,
    );
  }

  private async requirePeerIdentity(peer: Peer): Promise<void> {
    const [made] = await peer.session.query<{ id: string }>('SELECT z.id FROM control.zone z');
    if (made === undefined) throw new Error('it is not set up yet');
    if (made.id !== peer.zoneId) {
      throw new Error(`PEER_DATABASE_URLS names it ${peer.zoneId}, but that database was made for zone ${made.id}`);
    }
  }

  private async publishedTables(session: PostgresSession): Promise<string[]> {
    const rows = await session.query<{ tablename: string }>(
      'SELECT p.tablename FROM pg_publication_tables p WHERE p.pubname = $1 ORDER BY 1',
      [PUBLICATION],
    );
    return rows.map((row) => row.tablename);
  }
}

async function tablesOfSubscription(session: PostgresSession, name: string): Promise<LocalLink | undefined> {
  const [link] = await session.query<{ enabled: boolean; tables: string[] }>(
    `SELECT s.subenabled AS enabled,
            coalesce(array_agg(c.relname::text) FILTER (WHERE r.srsubstate = 'r'), '{}') AS tables
       FROM pg_subscription s
       LEFT JOIN pg_subscription_rel r ON r.srsubid = s.oid
       LEFT JOIN pg_class c ON c.oid = r.srrelid
      WHERE s.subname = $1
        AND s.subdbid = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
      GROUP BY s.oid, s.subenabled`,
    [name],
  );
  return link;
}

async function hasOpenTables(session: PostgresSession): Promise<boolean> {
  const rows = await session.query(
    `SELECT 1 FROM pg_publication p JOIN pg_publication_rel r ON r.prpubid = p.oid
      WHERE p.pubname = $1
        AND NOT EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = r.prrelid AND t.tgname = 'borough_closed')
      LIMIT 1`,
    [PUBLICATION],
  );
  return rows.length > 0;
}

async function slotExists(session: PostgresSession, name: string): Promise<boolean> {
  const rows = await session.query('SELECT 1 FROM pg_replication_slots s WHERE s.slot_name = $1', [name]);
  return rows.length > 0;
}

/** A libpq connection string. Keepalives show a dead publisher's silence; the worker then connects again. */
function connectionOf(url: string): string {
  const { hostname, port, pathname, username, password } = new URL(url);
  const parts = {
    host: hostname,
    port: port === '' ? '5432' : port,
    dbname: decodeURIComponent(pathname.slice(1)),
    user: decodeURIComponent(username),
    password: decodeURIComponent(password),
    connect_timeout: '5',
    keepalives_idle: '5',
    keepalives_interval: '2',
    keepalives_count: '3',
  };
  return Object.entries(parts)
    .map(([key, value]) => `${key}='${value.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`)
    .join(' ');
}

/** Utility statements take no parameters. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}
