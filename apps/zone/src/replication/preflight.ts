import { type PostgresSession, StartRefused } from '@borough/server-kit';

/** What the checks need of a session as borough_owner. */
type Session = Pick<PostgresSession, 'query'>;

const OLDEST_SERVER = 160_000;

interface Requirement {
  readonly setting: string;
  readonly isMet: (value: string) => boolean;
  /** The line that makes it right. */
  readonly fix: string;
}

/**
 * What a zone's PostgreSQL must be set to, and the line that sets it. Without any of these the zone would work for a
 * while and then lose something.
 *
 * @param peers number of other zones
 */
function requirements(peers: number): readonly Requirement[] {
  const atLeast =
    (least: number) =>
    (value: string): boolean =>
      Number(value) >= least;
  const is =
    (wanted: string) =>
    (value: string): boolean =>
      value === wanted;
  return [
    { setting: 'wal_level', isMet: is('logical'), fix: 'wal_level = logical' },
    { setting: 'fsync', isMet: is('on'), fix: 'fsync = on' },
    { setting: 'full_page_writes', isMet: is('on'), fix: 'full_page_writes = on' },
    {
      setting: 'synchronous_commit',
      isMet: (value) => value === 'on' || value === 'remote_apply',
      fix: 'synchronous_commit = on',
    },
    {
      setting: 'default_transaction_isolation',
      isMet: is('read committed'),
      fix: "default_transaction_isolation = 'read committed'",
    },
    { setting: 'track_commit_timestamp', isMet: is('on'), fix: 'track_commit_timestamp = on' },
    // The default of 5 s is what a broken link costs after every hiccup.
    {
      setting: 'wal_retrieve_retry_interval',
      isMet: (value) => Number(value) <= 1_000,
      fix: 'wal_retrieve_retry_interval = 100ms',
    },
    { setting: 'max_wal_senders', isMet: atLeast(2 * peers + 2), fix: `max_wal_senders = ${2 * peers + 2}` },
    {
      setting: 'max_replication_slots',
      isMet: atLeast(2 * peers + 2),
      fix: `max_replication_slots = ${2 * peers + 2}`,
    },
    {
      setting: 'max_logical_replication_workers',
      isMet: atLeast(2 * peers),
      fix: `max_logical_replication_workers = ${2 * peers}`,
    },
    { setting: 'max_worker_processes', isMet: atLeast(2 * peers + 4), fix: `max_worker_processes = ${2 * peers + 4}` },
  ];
}

/**
 * Refuses to start on a server that cannot keep the promises.
 *
 * @param owner session as borough_owner
 * @throws StartRefused naming every fault at once, each with the line that fixes it
 */
export async function requireServer(owner: Session, peers: number): Promise<void> {
  const [version] = await owner.query<{ number: string; text: string }>(
    "SELECT current_setting('server_version_num') AS number, current_setting('server_version') AS text",
  );
  if (version === undefined || Number(version.number) < OLDEST_SERVER) {
    throw new StartRefused(
      `PostgreSQL ${version?.text ?? '?'} is too old: zones replicate both ways with origin = none, which needs 16 or ` +
        'newer (18 is what we test with). Upgrade the server.',
    );
  }
  const wanted = requirements(peers);
  const rows = await owner.query<{ name: string; setting: string }>(
    'SELECT name, setting FROM pg_settings WHERE name = ANY ($1)',
    [wanted.map((requirement) => requirement.setting)],
  );
  const settings = new Map(rows.map((row) => [row.name, row.setting]));
  const faults = wanted
    .filter(({ setting, isMet }) => !isMet(settings.get(setting) ?? ''))
    .map(
      ({ setting, fix }) =>
        `  - ${setting} is ${settings.get(setting) ?? 'not known'}; put this line into postgresql.conf: ${fix}`,
    );
  if (faults.length > 0) {
    throw new StartRefused(
      `PostgreSQL's settings would lose something:\n${faults.join('\n')}\nThen restart the server.`,
    );
  }
}

/**
 * Gives a fresh database its zone id for good, and refuses one that was made for another zone: its rows, slots and
 * positions would be taken for those of this zone.
 *
 * @throws StartRefused
 */
export async function claimZone(owner: Session, zoneId: string): Promise<void> {
  await owner.query('INSERT INTO control.zone (id) VALUES ($1) ON CONFLICT DO NOTHING', [zoneId]);
  const [made] = await owner.query<{ id: string }>('SELECT z.id FROM control.zone z');
  if (made?.id !== zoneId) {
    throw new StartRefused(
      `This database was made for zone "${made?.id ?? '?'}", not for zone "${zoneId}". Point OWNER_DATABASE_URL and ` +
        `API_DATABASE_URL to the database of zone "${zoneId}", or set ZONE_ID=${made?.id ?? ''}.`,
    );
  }
}

/**
 * Refuses to start while a sharded table could be written around the fence.
 *
 * @throws StartRefused naming each table and trigger
 */
export async function requireGuards(owner: Session): Promise<void> {
  const holes = await owner.query<{ table_name: string; trigger_name: string }>(
    'SELECT u.table_name, u.trigger_name FROM control.unguarded u ORDER BY 1, 2',
  );
  if (holes.length === 0) return;
  const lines = holes.map((hole) => `  - ${hole.table_name}: trigger ${hole.trigger_name} is missing or not enabled`);
  throw new StartRefused(`Sharded tables are not guarded:\n${lines.join('\n')}\nRestore them as in 0001-control.sql.`);
}
