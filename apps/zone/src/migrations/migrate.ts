import { DataSource } from 'typeorm';
import { numberedMigrations } from './migrations.js';

/** Lock space 8 is for work that one process of a zone does at a time. */
const MIGRATION_LOCK = 'SELECT pg_advisory_lock(8, 0)';

/**
 * Brings this zone's database to the newest migration. Safe to run from several processes at once: one does it, the
 * others wait and find nothing left to do.
 *
 * @param ownerUrl connection of the role that owns the schema
 * @returns names of the migrations that were run now
 */
export async function migrate(ownerUrl: string): Promise<readonly string[]> {
  const source = new DataSource({
    type: 'postgres',
    url: ownerUrl,
    applicationName: 'borough-migrate',
    migrations: numberedMigrations(),
    // Beside the sharded tables but not in the publication; not in `control`, which the first migration makes.
    migrationsTableName: 'borough_migrations',
    migrationsTransactionMode: 'each',
    extra: { max: 2, connectionTimeoutMillis: 2_000, options: '-c synchronous_commit=local' },
  });
  await source.initialize();
  const lock = source.createQueryRunner();
  try {
    await lock.query(MIGRATION_LOCK);
    const run = await source.runMigrations();
    return run.map((migration) => migration.name);
  } finally {
    // Destroying the source ends the session, and with it the lock.
    await lock.release();
    await source.destroy();
  }
}
