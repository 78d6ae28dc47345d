import { type IncomingHttpHeaders } from 'node:http';
import { Problem } from '@borough/server-kit';
import { type ZoneId } from '@borough/topology';
import { type Dispatcher, errors, Pool } from 'undici';
import { type CanonicalRequest } from './canonical-request.js';

export interface ForwarderOptions {
  readonly zoneUrls: ReadonlyMap<ZoneId, string>;
  readonly connectionsPerZone: number;
  readonly maxForwarded: number;
  readonly deadlineMs: number;
}

/** Kept shorter than the zones keep an idle connection, so that it is this side that closes it. */
const IDLE_CONNECTION_MS = 10_000;
/** A zone that is there takes a connection within one round trip. */
const CONNECT_DEADLINE_MS = 300;
/** An answer up to this size is read to its end before it is passed on: one that breaks off can then be asked for again. */
const READ_WHOLE_BYTES = 262_144;

/** A zone's answer on its way back. */
export interface ForwardedAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** Whole, or on its way where it is large or of unknown length. */
  readonly body: Dispatcher.ResponseData['body'] | Buffer;
}

/** Kept-alive connections to every zone, with a bound on what is on its way to each. */
export class Forwarder {
  private readonly pools: ReadonlyMap<ZoneId, Pool>;
  private readonly forwarded = new Map<ZoneId, number>();

  constructor(private readonly options: ForwarderOptions) {
    this.pools = new Map(
      [...options.zoneUrls].map(([zoneId, url]) => [
        zoneId,
        new Pool(url, {
          connections: options.connectionsPerZone,
          pipelining: 1,
          keepAliveTimeout: IDLE_CONNECTION_MS,
          keepAliveMaxTimeout: IDLE_CONNECTION_MS,
          headersTimeout: options.deadlineMs,
          bodyTimeout: options.deadlineMs,
          connect: { timeout: CONNECT_DEADLINE_MS },
        }),
      ]),
    );
  }

  get zoneIds(): readonly ZoneId[] {
    return [...this.pools.keys()];
  }

  hasAddressOf(zoneId: ZoneId): boolean {
    return this.pools.has(zoneId);
  }

  /**
   * Sends a request to one zone and resolves with its answer, or with the head of it when it is large.
   *
   * @param signal ends the waiting: the connection is closed
   * @throws Problem `zone-unavailable` when nothing was sent, so that it is safe to try elsewhere; `outcome-unknown` when
   *   it may have been; `overloaded` when too much is on its way there already
   */
  async send(
    zoneId: ZoneId,
    request: CanonicalRequest,
    body: Buffer | undefined,
    signal?: AbortSignal,
  ): Promise<ForwardedAnswer> {
    const pool = this.pools.get(zoneId);
    if (pool === undefined) {
      throw new Problem('zone-unavailable', {
        detail: `No address is known for zone ${zoneId}.`,
        retryAfterSeconds: 1,
      });
    }
    const count = this.forwarded.get(zoneId) ?? 0;
    if (count >= this.options.maxForwarded) throw new Problem('overloaded', { retryAfterSeconds: 1 });
    this.forwarded.set(zoneId, count + 1);
    try {
      const answer = await pool.request({
        method: request.method,
        path: request.target,
        headers: request.headers,
        ...(body === undefined ? {} : { body }),
        ...(signal === undefined ? {} : { signal }),
      });
      const { statusCode: status, headers } = answer;
      const isWhole = request.method !== 'HEAD' && Number(headers['content-length'] ?? Infinity) <= READ_WHOLE_BYTES;
      return { status, headers, body: isWhole ? Buffer.from(await answer.body.arrayBuffer()) : answer.body };
    } catch (error) {
      throw sendFailure(error, zoneId);
    } finally {
      this.forwarded.set(zoneId, (this.forwarded.get(zoneId) ?? 1) - 1);
    }
  }

  async stop(): Promise<void> {
    await Promise.all([...this.pools.values()].map((pool) => pool.close()));
  }
}

function sendFailure(error: unknown, zoneId: ZoneId): Problem {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  const wasNotSent =
    error instanceof errors.ConnectTimeoutError ||
    code === 'ECONNREFUSED' ||
    code === 'EHOSTUNREACH' ||
    code === 'ENETUNREACH' ||
    code === 'ENOTFOUND';
  return new Problem(wasNotSent ? 'zone-unavailable' : 'outcome-unknown', {
    detail: wasNotSent ? `Zone ${zoneId} takes no connection.` : `Zone ${zoneId} gave no answer.`,
    retryAfterSeconds: 1,
    cause: error,
  });
}
