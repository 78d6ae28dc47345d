import { Injectable } from '@nestjs/common';
import { Problem } from '@borough/server-kit';
import pg from 'pg';
import { DataSource } from 'typeorm';
import { ownershipRefusal } from './refusal.js';

/** One statement that is a transaction by itself; prepared once per connection under its name. */
export interface WriteStatement {
  readonly name: string;
  readonly text: string;
}

const UNKNOWN = { detail: 'Send it again with the same Idempotency-Key.' };

/**
 * The only way a zone writes: one statement, committed by itself, answered by PostgreSQL when every in-sync zone has it
 * on disk (P1), and refused by its triggers unless this zone owns the shard (P2).
 *
 * It says no more than is known. An error that the server reports undid the statement. Anything else that ends the
 * waiting (a lost connection, a terminated session) may have struck during the commit, where the row stands and perhaps
 * nowhere else: the caller is told `outcome-unknown`, and only the idempotency key can settle it.
 */
@Injectable()
export class ConfirmedStatements {
  constructor(private readonly source: DataSource) {}

  /**
   * @throws Problem `wrong-zone`, `shard-moving`, `area-not-served`, `stale-epoch`, `zone-starting` as the database
   *   refused; `overloaded` when no connection was free; `zone-unavailable` when the database takes no connection;
   *   `outcome-unknown`; DatabaseError for anything else the server refused
   */
  async run<Row extends pg.QueryResultRow>(statement: WriteStatement, values: readonly unknown[]): Promise<Row[]> {
    const runner = this.source.createQueryRunner();
    try {
      const client = await connect(() => runner.connect() as Promise<pg.PoolClient>);
      return await runOn<Row>(client, statement, values);
    } finally {
      await runner.release();
    }
  }
}

async function connect(open: () => Promise<pg.PoolClient>): Promise<pg.PoolClient> {
  try {
    return await open();
  } catch (error) {
    // pg-pool gives no code to tell the two apart, and both mean: not now.
    const isPoolFull = error instanceof Error && error.message.includes('timeout exceeded when trying to connect');
    throw new Problem(isPoolFull ? 'overloaded' : 'zone-unavailable', { retryAfterSeconds: 1, cause: error });
  }
}

async function runOn<Row extends pg.QueryResultRow>(
  client: pg.PoolClient,
  statement: WriteStatement,
  values: readonly unknown[],
): Promise<Row[]> {
  const warnings: unknown[] = [];
  const onNotice = (notice: { severity?: string | undefined }): void => {
    if (notice.severity === 'WARNING') warnings.push(notice);
  };
  client.on('notice', onNotice);
  try {
    const { rows } = await client.query<Row>({ ...statement, values: [...values] });
    // A cancelled wait for the in-sync zones reports *success with a warning*: committed here, perhaps nowhere else.
    if (warnings.length > 0) throw new Problem('outcome-unknown', { ...UNKNOWN, cause: warnings[0] });
    return rows;
  } catch (error) {
    if (error instanceof Problem) throw error;
    // FATAL (a terminated session) may come in the middle of the commit; ERROR never does.
    if (error instanceof pg.DatabaseError && error.severity === 'ERROR') throw ownershipRefusal(error) ?? error;
    discard(client);
    throw new Problem('outcome-unknown', { ...UNKNOWN, cause: error });
  } finally {
    client.off('notice', onNotice);
  }
}

/**
 * The server's last word comes before the end of the connection: the pool would hand the connection to the next write,
 * whose outcome would be unknown too. One that is ending goes to nobody.
 */
function discard(client: pg.PoolClient): void {
  client.end().catch(() => undefined);
}
