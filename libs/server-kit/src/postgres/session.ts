import pg from 'pg';
import { type Logger } from '../observe/logger.js';

export interface SessionOptions {
  /** Shown in `pg_stat_activity`. */
  readonly name: string;
  readonly connectTimeoutMs?: number;
  readonly logger: Logger;
}

/**
 * One connection to PostgreSQL that opens when first used and opens again after it broke.
 *
 * For control work (mesh, guard, voters), where a pool would hide which session holds a lock. Every query has a
 * deadline on our side, because the server's own time-outs do not bound every wait; a connection that missed one is
 * thrown away, since nothing is known of it any more.
 */
export class PostgresSession {
  private client: Promise<pg.Client> | undefined;

  constructor(
    private readonly connectionString: string,
    private readonly options: SessionOptions,
  ) {}

  /**
   * @param deadlineMs longest wait for the answer, in ms
   * @throws pg.DatabaseError as the server said it; Error when the connection broke or the deadline passed
   */
  async query<Row extends pg.QueryResultRow>(
    sql: string,
    parameters: readonly unknown[] = [],
    deadlineMs = 5_000,
  ): Promise<Row[]> {
    const client = await (this.client ??= this.connect());
    let timer: NodeJS.Timeout | undefined;
    const deadline = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => {
        reject(new Error(`PostgreSQL (${this.options.name}) gave no answer within ${deadlineMs} ms`));
      }, deadlineMs);
    });
    try {
      const answer = await Promise.race([client.query<Row>(sql, [...parameters]), deadline]);
      return answer.rows;
    } catch (error) {
      if (!(error instanceof pg.DatabaseError)) this.forget(client);
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  async end(): Promise<void> {
    const client = await this.client?.catch(() => undefined);
    this.client = undefined;
    await client?.end().catch(() => undefined);
  }

  private async connect(): Promise<pg.Client> {
    const client = new pg.Client({
      connectionString: this.connectionString,
      application_name: this.options.name,
      connectionTimeoutMillis: this.options.connectTimeoutMs ?? 1_000,
      keepAlive: true,
    });
    client.on('error', (error) => {
      this.options.logger.debug({ err: error }, `PostgreSQL (${this.options.name}): connection lost`);
      this.forget(client);
    });
    try {
      await client.connect();
      return client;
    } catch (error) {
      this.client = undefined;
      throw error;
    }
  }

  private forget(client: pg.Client): void {
    this.client = undefined;
    // Not `end()`: that waits for an answer which may never come.
    client.connection.stream.destroy();
  }
}
