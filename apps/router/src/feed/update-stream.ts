import { ROUTING_EVENT } from '@borough/contracts';
import { Problem } from '@borough/server-kit';
import { type RoutingEntry, type ShardNumber } from '@borough/topology';
import { type ServerResponse } from 'node:http';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { type LiveTable } from '../table/live-table.js';
import { feedClients, feedDropped, feedTold } from './feed-metrics.js';
import { type PublishedTable } from './published-table.js';

/** What changes within this long is one event, in ms. */
const GATHER_MS = 5;
/** After this many clients requests have their turn, before the next ones are told. */
const CLIENTS_AT_ONCE = 500;
/** What a client waits before it connects again, in ms. */
const RECONNECT_AFTER_MS = 1_000;
const HEARTBEAT = Buffer.from(': nothing new\n\n');

export interface UpdateStreamOptions {
  readonly maxClients: number;
  /** A client that has not taken in more than this many bytes is dropped. */
  readonly maxBufferedBytes: number;
  readonly heartbeatEveryMs: number;
}

/**
 * Tells clients of every change of the routing table, as server-sent events.
 *
 * ```
 *   id: <table version after it>
 *   event: routing
 *   data: {"tableVersion":…,"areaMapVersion":…,"entries":[…],"isWhole":…}
 * ```
 *
 * A change is serialised once, and the same buffer goes to everybody: ten thousand clients hold one copy. Whoever does
 * not read is dropped, and comes back to a whole update.
 */
export class UpdateStream {
  private readonly clients = new Set<ServerResponse>();
  private readonly gathered = new Map<ShardNumber, RoutingEntry>();
  private gathering: NodeJS.Timeout | undefined;
  private telling: Promise<unknown> = Promise.resolve();
  private readonly heart: NodeJS.Timeout;
  private readonly ignoreTable: () => void;
  private isStopped = false;

  constructor(
    private readonly table: LiveTable,
    private readonly published: PublishedTable,
    private readonly options: UpdateStreamOptions,
  ) {
    this.ignoreTable = table.onChange((changed) => {
      for (const entry of changed) this.gathered.set(entry.shard, entry);
      this.gathering ??= setTimeout(() => {
        this.tellChange();
      }, GATHER_MS);
    });
    this.heart = setInterval(() => {
      void this.tell(HEARTBEAT);
    }, options.heartbeatEveryMs);
  }

  /**
   * Answers a request with the stream.
   *
   * @param headers what the answer has besides
   * @param lastEventId the version the client says it has; anything but the current one is answered with a whole update
   * @throws Problem `routing-unknown` before there is a table; `overloaded` when there are too many clients
   */
  add(
    response: ServerResponse,
    headers: Readonly<Record<string, number | string | string[] | undefined>>,
    lastEventId: string | undefined,
  ): void {
    if (this.isStopped || this.clients.size >= this.options.maxClients) {
      throw new Problem('overloaded', { retryAfterSeconds: 1 });
    }
    const isUpToDate = lastEventId === String(this.table.tableVersion) && this.table.isKnown;
    const first = isUpToDate ? '' : this.eventOf(this.published.wholeUpdate());
    // No chunks: the stream ends with its connection, and each event is one write of the shared buffer.
    response.useChunkedEncodingByDefault = false;
    for (const [name, value] of Object.entries(headers)) if (value !== undefined) response.setHeader(name, value);
    response.writeHead(200, {
      'content-type': 'text/event-stream',
      'cache-control': 'no-store',
      connection: 'close',
      'x-accel-buffering': 'no',
    });
    response.write(`retry: ${RECONNECT_AFTER_MS}\n\n${first}`);
    this.clients.add(response);
    feedClients.inc();
    response.once('close', () => {
      this.clients.delete(response);
      feedClients.dec();
    });
  }

  /** Ends every stream, and takes no new ones. */
  stop(): void {
    this.isStopped = true;
    this.ignoreTable();
    clearTimeout(this.gathering);
    clearInterval(this.heart);
    for (const client of this.clients) {
      client.end();
      // It would keep the server from closing for as long as it does not read.
      if (client.writableLength > 0) client.destroy();
    }
  }

  private tellChange(): void {
    this.gathering = undefined;
    const entries = [...this.gathered.values()];
    this.gathered.clear();
    if (this.clients.size === 0 || !this.table.isKnown) return;
    void this.tell(Buffer.from(this.eventOf(this.published.updateOf(entries)))).then((told) => {
      feedTold.inc(told);
    });
  }

  private eventOf(data: string): string {
    return `id: ${this.table.tableVersion}\nevent: ${ROUTING_EVENT}\ndata: ${data}\n\n`;
  }

  /** One after the other, so that nobody sees a change before an earlier one. @returns how many were told */
  private tell(text: Buffer): Promise<number> {
    const told = this.telling.then(() => this.tellEveryone(text));
    this.telling = told;
    return told;
  }

  private async tellEveryone(text: Buffer): Promise<number> {
    let told = 0;
    for (const client of this.clients) {
      if (this.isStopped) break;
      if (client.writableLength > this.options.maxBufferedBytes) {
        feedDropped.inc();
        client.destroy();
        continue;
      }
      client.write(text);
      told += 1;
      if (told % CLIENTS_AT_ONCE === 0) await nextTurn();
    }
    return told;
  }
}
