import { connect, type NatsConnection } from '@nats-io/transport-node';
import { type z } from 'zod';
import { BackgroundLoop } from '../lifecycle/background-loop.js';
import { type Logger } from '../observe/logger.js';

/**
 * Notices over NATS: a hint that something changed, never the truth about it.
 *
 * The process starts and runs without NATS; a notice sent meanwhile is dropped, and whoever needed it polls.
 */
export class Notices {
  private connection: NatsConnection | undefined;
  private readonly listeners: { subject: string; receive: (data: Uint8Array) => void }[] = [];
  private readonly connecting: BackgroundLoop;
  private isStopped = false;

  constructor(
    private readonly url: string,
    private readonly clientName: string,
    private readonly logger: Logger,
  ) {
    this.connecting = new BackgroundLoop({
      name: 'NATS',
      intervalMs: 500,
      maxPauseMs: 5_000,
      jitter: 0.5,
      round: () => this.connect(),
      logger,
    });
  }

  get isConnected(): boolean {
    return this.connected !== undefined;
  }

  start(): void {
    this.connecting.start();
  }

  /** Drops the notice when there is no connection: notices only save time. */
  publish(subject: string, notice: unknown): void {
    this.connected?.publish(subject, JSON.stringify(notice));
  }

  /** Calls `receive` for every well-formed notice; a malformed one is said and skipped. */
  listen<Schema extends z.ZodType>(subject: string, schema: Schema, receive: (notice: z.output<Schema>) => void): void {
    const listener = {
      subject,
      receive: (data: Uint8Array): void => {
        const notice = readNotice(schema, data);
        if (notice.success) receive(notice.data);
        else this.logger.warn({ subject, err: notice.error }, 'notice cannot be read');
      },
    };
    this.listeners.push(listener);
    if (this.connected !== undefined) this.subscribe(this.connected, listener);
  }

  async stop(): Promise<void> {
    this.isStopped = true;
    await this.connecting.stop();
    // Not `drain()`: that waits for an answer, which a broker that is away or frozen does not give.
    await this.connection?.close();
  }

  private get connected(): NatsConnection | undefined {
    return this.connection?.isClosed() === false ? this.connection : undefined;
  }

  private async connect(): Promise<void> {
    if (this.isConnected || this.isStopped) return;
    const { servers, user, pass } = credentials(this.url);
    const connection = await connect({
      servers,
      ...(user === undefined ? {} : { user, pass: pass ?? '' }),
      name: this.clientName,
      timeout: 2_000,
      // The loop does it: the client's own way keeps notices while it is away, and cannot be told to stop half-way.
      reconnect: false,
    });
    this.connection = connection;
    void connection.closed().then(() => {
      this.connecting.wake();
    });
    for (const listener of this.listeners) this.subscribe(connection, listener);
    this.logger.debug('NATS: connected');
  }

  private subscribe(
    connection: NatsConnection,
    listener: { subject: string; receive: (data: Uint8Array) => void },
  ): void {
    connection.subscribe(listener.subject, {
      callback: (error, message) => {
        if (error === null) listener.receive(message.data);
      },
    });
  }
}

function readNotice<Schema extends z.ZodType>(
  schema: Schema,
  data: Uint8Array,
): z.ZodSafeParseResult<z.output<Schema>> {
  let notice: unknown;
  try {
    notice = JSON.parse(new TextDecoder().decode(data));
  } catch {
    notice = undefined;
  }
  return schema.safeParse(notice);
}

/** The client wants user and password beside the address, not in it. */
function credentials(url: string): { servers: string; user: string | undefined; pass: string | undefined } {
  const parsed = new URL(url);
  return {
    servers: parsed.host,
    user: parsed.username === '' ? undefined : decodeURIComponent(parsed.username),
    pass: parsed.password === '' ? undefined : decodeURIComponent(parsed.password),
  };
}
