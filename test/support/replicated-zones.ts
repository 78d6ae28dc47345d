/** Zones on servers of their own, each with a stream to and from every other. */
import { randomBytes } from 'node:crypto';
import { createLogger, PostgresSession } from '@borough/server-kit';
import { newUuid } from '@borough/topology';
import { createZoneDatabase, type ZoneDatabase } from './databases.js';
import { linkName } from '../../apps/zone/src/replication/links.js';
import { type ComparedZone } from '../../apps/zone/src/replication/healing/compared-zone.js';

export interface ReplicatedZone extends ZoneDatabase {
  readonly zoneId: string;
  /** As the zone's agent. */
  readonly asOwner: ComparedZone;
  /** As another zone sees it. */
  readonly asReader: ComparedZone;
  /** A row past the fence, and not to be streamed: as if it had come at another time. */
  plant(table: string, row: object): Promise<void>;
  /** The opposite: a row that never came. */
  uproot(table: string, where: string): Promise<void>;
  stopStreamFrom(other: ReplicatedZone): Promise<void>;
  startStreamFrom(other: ReplicatedZone): Promise<void>;
  /** What went wrong in applying the other's changes, conflicts and errors together. */
  faultsFrom(other: ReplicatedZone): Promise<number>;
}

export class ReplicatedZones {
  readonly zones: ReplicatedZone[] = [];

  /** @param count at most three */
  async start(count: number): Promise<ReplicatedZone[]> {
    const name = randomBytes(3).toString('hex');
    for (let server = 0; server < count; server += 1) {
      this.zones.push(await startZone(`h${name}${'abc'[server] ?? ''}`, server));
    }
    for (const subscriber of this.zones) {
      for (const publisher of this.zones) {
        if (publisher !== subscriber) await subscribe(subscriber, publisher);
      }
    }
    return this.zones;
  }

  /** The shard is served by the zone at this epoch, and every zone knows. */
  async serve(shard: number, owner: ReplicatedZone, epoch: number): Promise<void> {
    for (const zone of this.zones) await zone.own(shard, { owner: owner.zoneId, epoch });
  }

  async stop(): Promise<void> {
    for (const subscriber of this.zones) {
      for (const publisher of this.zones) {
        if (publisher === subscriber) continue;
        const link = linkName(subscriber.zoneId, publisher.zoneId);
        await subscriber.query(`ALTER SUBSCRIPTION ${link} DISABLE`);
        await subscriber.query(`ALTER SUBSCRIPTION ${link} SET (slot_name = NONE)`);
        await subscriber.query(`DROP SUBSCRIPTION ${link}`);
        await untilDropped(publisher, link);
      }
    }
    for (const zone of this.zones) {
      await Promise.all([endSession(zone.asOwner), endSession(zone.asReader)]);
      await zone.drop();
    }
    this.zones.length = 0;
  }
}

/** Waits until everything `from` has written by now is on disk at `at`. */
export async function untilArrived(from: ReplicatedZone, at: ReplicatedZone): Promise<void> {
  const [now] = await from.query<{ position: string }>('SELECT pg_current_wal_flush_lsn()::text AS position');
  await untilTrue(async () => hasPassed(from, at, now?.position ?? ''));
}

export async function hasPassed(from: ReplicatedZone, at: ReplicatedZone, position: string): Promise<boolean> {
  const [slot] = await from.query<{ has_passed: boolean }>(
    'SELECT s.confirmed_flush_lsn >= $2::pg_lsn AS has_passed FROM pg_replication_slots s WHERE s.slot_name = $1',
    [linkName(at.zoneId, from.zoneId), position],
  );
  return slot?.has_passed === true;
}

export async function untilTrue(look: () => Promise<boolean>, withinMs = 15_000): Promise<void> {
  const until = Date.now() + withinMs;
  while (!(await look())) {
    if (Date.now() > until) throw new Error(`it has not come about within ${withinMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** A time-ordered id of a shard. */
export function idIn(shard: number, atMs = Date.now()): string {
  return newUuid(shard, atMs, () => randomBytes(16));
}

interface Age {
  readonly shard: number;
  readonly epoch: number;
  readonly version?: number;
}

export function orderRow({ shard, epoch, version = 1 }: Age, more: object = {}): { id: string } & object {
  const row = {
    id: idIn(shard),
    shard,
    epoch,
    version,
    store_id: idIn(shard),
    customer_id: idIn(shard),
    status: 'placed',
    items: [{ name: 'bread', quantity: 1 }],
    drop_off_latitude: 1.1,
    drop_off_longitude: 2.2,
    placed_at: new Date().toISOString(),
    ...more,
  };
  return row;
}

export function eventRow(
  { shard, epoch, version = 1 }: Age,
  more: object = {},
): { id: string; order_id: string } & object {
  const row = {
    id: idIn(shard),
    shard,
    epoch,
    version,
    order_id: idIn(shard),
    order_version: 1,
    kind: 'placed',
    after: { status: 'placed' },
    actor: 'customer',
    occurred_at: new Date().toISOString(),
    ...more,
  };
  return row;
}

export function keyRow({ shard, epoch, version = 1 }: Age, more: object = {}): { key: string } & object {
  const row = {
    shard,
    epoch,
    version,
    route: 'place-order',
    caller: 'somebody',
    key: randomBytes(6).toString('hex'),
    fingerprint: '\\x00ff',
    status: 201,
    answer: 'here it is',
    replays: 0,
    created_at: new Date().toISOString(),
    ...more,
  };
  return row;
}

const INSERT = (table: string): string =>
  `INSERT INTO public.${table} SELECT * FROM jsonb_populate_recordset(NULL::public.${table}, $1::jsonb)`;

/** A write of the zone itself, through the fence. */
export async function write(zone: ReplicatedZone, table: string, ...rows: readonly object[]): Promise<void> {
  await zone.query(INSERT(table), [JSON.stringify(rows)]);
}

async function startZone(zoneId: string, server: number): Promise<ReplicatedZone> {
  const database = await createZoneDatabase(server);
  await database.claim(zoneId);
  await database.openTables();
  const logger = createLogger('test', 'silent');
  const pastTheFence = async (sql: string, parameters: readonly unknown[]): Promise<void> => {
    await database.query('SELECT control.begin_healing()');
    try {
      await database.query(sql, parameters);
    } finally {
      await database.query('SELECT pg_replication_origin_session_reset()');
    }
  };
  const link = (other: ReplicatedZone): string => linkName(zoneId, other.zoneId);
  return {
    ...database,
    zoneId,
    asOwner: { zoneId, session: new PostgresSession(database.ownerUrl, { name: 'test', logger }) },
    asReader: { zoneId, session: new PostgresSession(database.replicationUrl, { name: 'test', logger }) },
    plant: (table, row) => pastTheFence(INSERT(table), [JSON.stringify([row])]),
    uproot: (table, where) => pastTheFence(`DELETE FROM public.${table} t WHERE ${where}`, []),
    stopStreamFrom: async (other) => {
      await database.query(`ALTER SUBSCRIPTION ${link(other)} DISABLE`);
      await untilTrue(async () => {
        const rows = await database.query(
          'SELECT FROM pg_stat_subscription w WHERE w.subname = $1 AND w.pid IS NOT NULL',
          [link(other)],
        );
        return rows.length === 0;
      });
    },
    startStreamFrom: async (other) => {
      await database.query(`ALTER SUBSCRIPTION ${link(other)} ENABLE`);
    },
    faultsFrom: async (other) => {
      const [row] = await database.query<{ faults: number }>(
        `SELECT s.apply_error_count + s.confl_insert_exists + s.confl_update_exists + s.confl_update_missing
                + s.confl_multiple_unique_conflicts AS faults
           FROM pg_stat_subscription_stats s WHERE s.subname = $1`,
        [link(other)],
      );
      return row?.faults ?? 0;
    },
  };
}

async function subscribe(subscriber: ReplicatedZone, publisher: ReplicatedZone): Promise<void> {
  const link = linkName(subscriber.zoneId, publisher.zoneId);
  await publisher.query("SELECT pg_create_logical_replication_slot($1, 'pgoutput')", [link]);
  const { hostname, port, pathname, username, password } = new URL(publisher.replicationUrl);
  const connection = `host=${hostname} port=${port} dbname=${pathname.slice(1)} user=${username} password=${password}`;
  // As the owner: its rights are what the workers have.
  await subscriber.asOwner.session.query(
    `CREATE SUBSCRIPTION ${link} CONNECTION '${connection}' PUBLICATION borough
       WITH (origin = none, copy_data = false, synchronous_commit = 'local', create_slot = false)`,
  );
}

/** Drops a slot of the zone as soon as nobody holds it any more. */
export async function untilDropped(publisher: ReplicatedZone, slot: string): Promise<void> {
  await untilTrue(async () => {
    const gone = await publisher.query(
      'SELECT pg_drop_replication_slot(s.slot_name) FROM pg_replication_slots s WHERE s.slot_name = $1 AND NOT s.active',
      [slot],
    );
    return gone.length === 1;
  });
}

async function endSession({ session }: ComparedZone): Promise<void> {
  if (session instanceof PostgresSession) await session.end();
}
