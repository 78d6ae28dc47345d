import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { inject } from 'vitest';

/** A migrated database of a test's own, on a real server, with the connections of every role. */
export interface ZoneDatabase {
  readonly superuserUrl: string;
  readonly ownerUrl: string;
  readonly apiUrl: string;
  readonly controlUrl: string;
  readonly replicationUrl: string;
  /** As the superuser, who may look everywhere and break things on purpose. */
  readonly query: <Row extends pg.QueryResultRow>(sql: string, parameters?: readonly unknown[]) => Promise<Row[]>;
  /** Says which zone this database is. */
  claim(zoneId: string): Promise<void>;
  /** Writes this voter's copy of a shard's ownership directly. */
  own(shard: number, ownership: { owner: string; epoch?: number; state?: string }): Promise<void>;
  /** Opens every sharded table, as the zone's agent does once all zones replicate them. */
  openTables(): Promise<void>;
  drop(): Promise<void>;
}

pg.types.setTypeParser(pg.types.builtins.INT8, Number);

/**
 * Clones a fresh database from the migrated template. `drop()` it after the test; that also fails the test when it left
 * a connection open.
 *
 * @param server which of the run's three servers, from 0
 */
export async function createZoneDatabase(server = 0): Promise<ZoneDatabase> {
  const zone = inject('infrastructure').zones[server];
  if (zone === undefined) throw new Error('the global set-up started no zone');
  const { postgres } = zone;
  const name = `test_${randomBytes(6).toString('hex')}`;
  await asSuperuser(urlOf(postgres.superuserUrl, 'postgres'), async (client) => {
    await client.query(`CREATE DATABASE ${name} TEMPLATE borough OWNER borough_owner`);
  });
  const superuserUrl = urlOf(postgres.superuserUrl, name);
  const client = new pg.Client({ connectionString: superuserUrl });
  await client.connect();
  const query = async <Row extends pg.QueryResultRow>(
    sql: string,
    parameters: readonly unknown[] = [],
  ): Promise<Row[]> => (await client.query<Row>(sql, [...parameters])).rows;
  return {
    superuserUrl,
    ownerUrl: urlOf(postgres.ownerUrl, name),
    apiUrl: urlOf(postgres.apiUrl, name),
    controlUrl: urlOf(postgres.controlUrl, name),
    replicationUrl: urlOf(postgres.replicationUrl, name),
    query,
    claim: async (zoneId) => {
      await query('INSERT INTO control.zone (id) VALUES ($1)', [zoneId]);
      await query('UPDATE control.voter SET is_voting = true');
    },
    own: async (shard, { owner, epoch = 1, state = 'serving' }) => {
      await query(
        `INSERT INTO control.ownership (shard, epoch, state, owner, heir, move_id, term_number, term_coordinator)
         VALUES ($1, $2, $3, $4, $5, $6, 1, 'test')
         ON CONFLICT (shard) DO UPDATE
           SET epoch = excluded.epoch, state = excluded.state, owner = excluded.owner, heir = excluded.heir,
               move_id = excluded.move_id`,
        [shard, epoch, state, owner, ...(['moving', 'fenced'].includes(state) ? ['heir', 'mov_test'] : [null, null])],
      );
    },
    openTables: async () => {
      await query('SELECT control.open_table(c.table_name::regclass) FROM control.closed_table c');
    },
    drop: async () => {
      await client.end();
      await asSuperuser(urlOf(postgres.superuserUrl, 'postgres'), async (superuser) => {
        await superuser.query(`DROP DATABASE ${name}`);
      });
    },
  };
}

/** The run's broker. */
export function natsUrl(): string {
  return inject('infrastructure').natsUrl;
}

/** The Redis of the first zone. */
export function redisUrl(): string {
  return inject('infrastructure').zones[0]?.redisUrl ?? '';
}

/** One connection that is closed again whatever happens. */
async function asSuperuser<Result>(url: string, work: (client: pg.Client) => Promise<Result>): Promise<Result> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

function urlOf(url: string, database: string): string {
  const changed = new URL(url);
  changed.pathname = `/${database}`;
  return changed.href;
}
