import { type Logger, type PostgresSession } from '@borough/server-kit';
import { linkName, membersOfSetting, PUBLICATION } from './links.js';

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
    await this.forgetLostDatabase(peer, name);
    const local = await tablesOfSubscription(this.owner, name);
    if (local === undefined) {
      await this.createSubscription(peer, name);
      return;
    }
    if (await this.isSealed(peer)) return;
    const slot = await slotAt(peer.session, name);
    if (slot?.isUsable !== true) {
      await this.seedLinkAnew(peer, name, slot?.lostBecause ?? 'it is gone');
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
  }

  /**
   * The slot is made first, and by itself. CREATE SUBSCRIPTION would make it inside its own transaction, and making a
   * slot waits for the transactions that run at the publisher: zones that subscribe to each other at the same moment
   * then wait in a circle for ever. A slot that a killed set-up left behind is used.
   */
  private async createSubscription(peer: Peer, name: string): Promise<void> {
    if (!(await this.hasSlotToUse(peer, name))) await this.createSlot(peer, name);
    await this.owner.query(
      `CREATE SUBSCRIPTION ${name} CONNECTION ${quoted(connectionOf(peer.url))} PUBLICATION ${PUBLICATION}
         WITH (origin = none, copy_data = false, synchronous_commit = 'local', create_slot = false,
               enabled = ${(await this.isSealed(peer)) ? 'false' : 'true'})`,
    );
    this.connected.add(peer.zoneId);
    this.logger.info({ peer: peer.zoneId }, 'subscribed');
  }

  /** Not one that lost its log, nor one that stands where a lost disk of this zone was: what came before is missing here. */
  private async hasSlotToUse(peer: Peer, name: string): Promise<boolean> {
    const slot = await slotAt(peer.session, name);
    if (slot === undefined) return false;
    const isOfLostDisk = (await hasOpenTables(peer.session)) && !(await hasOpenTables(this.owner));
    if (slot.isUsable && !isOfLostDisk) return true;
    await peer.session.query(
      'SELECT pg_drop_replication_slot(s.slot_name) FROM pg_replication_slots s WHERE s.slot_name = $1',
      [name],
    );
    return false;
  }

  /**
   * A new slot begins at what the peer writes from now on. At a peer that holds rows that leaves a gap, which only healing
   * closes (SelfHealing: from every zone that does not count on this one). So this zone must not be counted on meanwhile: a
   * member that the peer still waits for would, by its first word on the new stream, confirm what it never got.
   *
   * Mostly the peer has dropped it long ago. Its commits wait for every member, so while a recorded member is away nothing
   * is acknowledged; but local writes and commits that wait do lengthen the log, and so a member's slot can be lost before the
   * member is dropped: the peer's agent is without a majority, or a move has frozen the record. Then this waits until it
   * is out of the setting, which covers the record always (R1). It comes back in only after a comparison (R2), for which it
   * must be connected, which it is not before the slot stands.
   */
  private async createSlot(peer: Peer, name: string): Promise<void> {
    if (await hasOpenTables(peer.session)) {
      await this.requireUncounted(peer, name);
      await this.owner.query('SELECT control.forget_healed($1)', [peer.zoneId]);
      this.logger.warn({ peer: peer.zoneId }, 'the stream begins anew: older rows of the peer come by healing');
    }
    await peer.session.query(
      `SELECT pg_create_logical_replication_slot($1, 'pgoutput')
        WHERE NOT EXISTS (SELECT FROM pg_replication_slots s WHERE s.slot_name = $1)`,
      [name],
      SLOT_DEADLINE_MS,
    );
  }

  /**
   * The peer has thrown away log that this zone never saw: its slot ran into max_slot_wal_keep_size, or somebody dropped it.
   * The same steps as for a new link, and each looks first, so a zone that is killed between two of them goes on. Left
   * alone while the peer is sealed off (T16): the link is seeded anew once the rejoin has opened it.
   */
  private async seedLinkAnew(peer: Peer, name: string, lostBecause: string): Promise<void> {
    await this.requireUncounted(peer, name);
    this.logger.error(
      { peer: peer.zoneId, slot: name, lostBecause },
      `the slot for this zone at zone ${peer.zoneId} is lost, and changes with it: the link is seeded anew`,
    );
    await this.owner.query('SELECT control.forget_healed($1)', [peer.zoneId]);
    await this.dropSubscription(peer, name);
    await this.createSubscription(peer, name);
  }

  private async requireUncounted({ session, zoneId }: Peer, name: string): Promise<void> {
    const [row] = await session.query<{ setting: string }>(
      "SELECT current_setting('synchronous_standby_names') AS setting",
    );
    if (!membersOfSetting(row?.setting ?? '').includes(name)) return;
    throw new Error(
      `changes were lost on the way here, and zone ${zoneId} waits for this zone still: until it does not`,
    );
  }

  /** The slot, if any, is left: it may be another database's by now. */
  private async dropSubscription({ zoneId }: Peer, name: string): Promise<void> {
    if ((await tablesOfSubscription(this.owner, name)) === undefined) return;
    await this.owner.query(`ALTER SUBSCRIPTION ${name} DISABLE`);
    await this.owner.query(`ALTER SUBSCRIPTION ${name} SET (slot_name = NONE)`);
    await this.owner.query(`DROP SUBSCRIPTION ${name}`);
    this.connected.delete(zoneId);
  }

  /**
   * When the peer's database is another one than this zone knew, its disk was lost: the subscription belongs to a log that is
   * gone, and the next one begins with a new slot and a new position. Noted last, so that a killed attempt is begun again.
   */
  private async forgetLostDatabase(peer: Peer, name: string): Promise<void> {
    const [made] = await peer.session.query<{ instance: string }>(
      'SELECT z.instance::text AS instance FROM control.zone z',
    );
    const [known] = await this.owner.query<{ instance: string }>(
      'SELECT k.instance::text AS instance FROM control.known_instance k WHERE k.zone = $1',
      [peer.zoneId],
    );
    if (made === undefined || made.instance === known?.instance) return;
    if (known !== undefined) {
      await this.dropSubscription(peer, name);
      this.logger.warn({ peer: peer.zoneId }, 'the peer has a new database: the subscription is made anew');
    }
    await this.owner.query(
      `INSERT INTO control.known_instance (zone, instance) VALUES ($1, $2)
       ON CONFLICT (zone) DO UPDATE SET instance = excluded.instance`,
      [peer.zoneId, made.instance],
    );
  }

  /** Sealed off by a failover: only its rejoin takes in its changes again (T16). */
  private async isSealed({ zoneId }: Peer): Promise<boolean> {
    return (await this.owner.query('SELECT 1 FROM control.seal s WHERE s.zone = $1', [zoneId])).length > 0;
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
      WHERE p.pubname = $1 AND r.prrelid IS DISTINCT FROM to_regclass('public.zone_beats')
        AND NOT EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = r.prrelid AND t.tgname = 'borough_closed')
      LIMIT 1`,
    [PUBLICATION],
  );
  return rows.length > 0;
}

interface Slot {
  readonly isUsable: boolean;
  /** In PostgreSQL's words; absent while it is usable. */
  readonly lostBecause?: string;
}

/** Servers before 17 do not say why a slot was invalidated. */
async function slotAt(session: PostgresSession, name: string): Promise<Slot | undefined> {
  const [slot] = await session.query<{ wal_status: string | null; reason: string | null }>(
    `SELECT s.wal_status, to_jsonb(s)->>'invalidation_reason' AS reason
       FROM pg_replication_slots s WHERE s.slot_name = $1`,
    [name],
  );
  if (slot === undefined) return undefined;
  const lostBecause = slot.reason ?? (slot.wal_status === 'lost' ? 'its log was removed' : undefined);
  return lostBecause === undefined ? { isUsable: true } : { isUsable: false, lostBecause };
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
