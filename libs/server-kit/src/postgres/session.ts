import pg from 'pg';
import { type Logger } from '../observe/logger.js';

export interface SessionOptions {
  /** Shown in `pg_stat_activity`. */
  readonly name: string;
  readonly connectTimeoutMs?: number;
  readonly logger: Logger;
}

/** Longest wait for the server to confirm that a session ends, in ms. */
const END_DEADLINE_MS = 500;

/**
 * One connection to PostgreSQL that opens when first used and opens again after it broke.
 *
 * For control work (mesh, guard, voters), where a pool would hide which session holds a lock. Every query has a
 * deadline on our side, because the server's own time-outs do not bound every wait; a connection that missed one is
 * thrown away, since nothing is known of it any more.
 */
export class PostgresSession {
  private client: Promise<pg.Client> | undefined;
  /** What `client` resolved to. */
  private open: pg.Client | undefined;
  private last: Promise<unknown> = Promise.resolve();
  /** Counts the calls of `end`, so that what waited for its turn meanwhile opens nothing any more. */
  private ends = 0;

  constructor(
    private readonly connectionString: string,
    private readonly options: SessionOptions,
  ) {}

  /**
   * Queries run one after the other, in the order they were asked.
   *
   * @param deadlineMs longest wait for the answer from the query's turn on, in ms
   * @throws pg.DatabaseError as the server said it; Error when the connection broke or the deadline passed
   */
  query<Row extends pg.QueryResultRow>(
    sql: string,
    parameters: readonly unknown[] = [],
    deadlineMs = 5_000,
  ): Promise<Row[]> {
    const { ends } = this;
    const answered = this.last.then(() => {
      if (ends !== this.ends) throw new Error(`PostgreSQL (${this.options.name}): the session has ended`);
      return this.queryNow<Row>(sql, parameters, deadlineMs);
    });
    this.last = answered.catch(() => undefined);
    return answered;
  }

  async end(): Promise<void> {
    this.ends += 1;
    const client = await this.client?.catch(() => undefined);
    this.client = undefined;
    this.open = undefined;
    if (client === undefined) return;
    // A frozen server never confirms the end.
    const timer = setTimeout(() => client.connection.stream.destroy(), END_DEADLINE_MS);
    await client.end().catch(() => undefined);
    clearTimeout(timer);
  }

  private async queryNow<Row extends pg.QueryResultRow>(
    sql: string,
    parameters: readonly unknown[],
    deadlineMs: number,
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
      // The server ends the connection after a FATAL error; its last word comes before the end does.
      if (!(error instanceof pg.DatabaseError) || error.severity === 'FATAL') this.forget(client);
      throw error;
    } finally {
      clearTimeout(timer);
    }
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
      this.open = client;
      return client;
    } catch (error) {
      this.client = undefined;
      throw error;
    }
  }

  private forget(client: pg.Client): void {
    // One break is heard of twice, by the query under way and by the connection itself. By the second time another
    // connection may stand, which nobody would ever close.
    if (this.open === client) {
      this.client = undefined;
      this.open = undefined;
    }
    // Not `end()`: that waits for an answer which may never come.
    client.connection.stream.destroy();
  }
}
