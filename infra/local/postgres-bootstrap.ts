import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import pg from 'pg';
import { infraFile } from './checkout.js';
import { type PostgresFiles, readMark } from './postgres-data.js';
import { writePrivateJson } from './private-file.js';
import { type Secrets } from './secrets.js';

/**
 * Makes database and roles through the running server, and then the mark. Done again when `bootstrap.sql` has changed since.
 *
 * @param port where the server listens on 127.0.0.1
 */
export async function bootstrap(files: PostgresFiles, port: number, secrets: Secrets): Promise<void> {
  const sql = readFileSync(infraFile('postgres/bootstrap.sql'), 'utf8');
  const digest = createHash('sha256').update(sql).digest('hex');
  if (readMark(files)?.bootstrap === digest) return;
  await withSuperuser(port, secrets, 'postgres', async (client) => {
    const found = await client.query("SELECT 1 FROM pg_database WHERE datname = 'borough'");
    if (found.rowCount === 0) await client.query('CREATE DATABASE borough');
  });
  await withSuperuser(port, secrets, 'borough', async (client) => {
    for (const role of ['owner', 'api', 'control', 'replication', 'audit'] as const) {
      await client.query('SELECT set_config($1, $2, false)', [`borough.${role}_password`, secrets[role]]);
    }
    await client.query(sql);
  });
  writePrivateJson(files.mark, { bootstrap: digest, madeAt: new Date().toISOString() });
}

/** Runs `work` with a connection of the superuser, in the named database. */
export async function withSuperuser<T>(
  port: number,
  secrets: Secrets,
  database: string,
  work: (client: pg.Client) => Promise<T>,
): Promise<T> {
  // All of it explicit: PGUSER, PGSSLMODE and their like in the environment are somebody else's.
  const client = new pg.Client({
    host: '127.0.0.1',
    port,
    database,
    user: 'postgres',
    password: secrets.postgresSuperuser,
    ssl: false,
    connectionTimeoutMillis: 2000,
    application_name: 'borough-starter',
  });
  client.on('error', () => undefined); // the server going away is seen by the query or by the supervision
  try {
    await client.connect();
    return await work(client);
  } finally {
    await client.end().catch(() => undefined);
  }
}
