/** The ways in which the load reaches the cluster: as plain HTTP that tries once, through the SDK, and past the routers. */
import {
  orderView,
  problemDocument,
  STALE_MS_HEADER,
  type OrderView,
  type PlaceOrderRequest,
} from '@borough/contracts';
import { createDeliveryClient, DeliveryProblem, type DeliveryClient } from '@borough/client';
import { Pool } from 'undici';

/** How a request ended. */
export interface Outcome {
  readonly isOk: boolean;
  /** Of the answer, where there was one. */
  readonly status?: number;
  readonly failure?: string;
  readonly order?: OrderView;
  readonly zone?: string;
  readonly isReplay?: boolean;
  /** The answer says itself that it may be so many ms old. */
  readonly staleMs?: number;
}

export interface LoadClient {
  readonly kind: 'plain' | 'sdk' | 'direct';
  place(request: PlaceOrderRequest, key: string): Promise<Outcome>;
  change(orderId: string, change: OrderChange, key: string): Promise<Outcome>;
  read(orderId: string): Promise<Outcome>;
  close(): Promise<void>;
}

/** The verb of the route. */
export type OrderChange = 'accept' | 'cancel';

/** Above every wait that is promised: what takes longer counts as failed. */
const ANSWER_WITHIN_MS = 30_000;
const CONNECTIONS_PER_SERVER = 64;

/** Sends each request once, to the servers in turn, and retries nothing. */
export class PlainClient implements LoadClient {
  private readonly pools: readonly Pool[];
  private next = 0;

  /**
   * @param urls of routers, or of the API of one zone
   * @param kind `direct`: it asks a zone itself
   */
  constructor(
    urls: readonly string[],
    readonly kind: 'plain' | 'direct' = 'plain',
  ) {
    this.pools = urls.map(
      (url) =>
        new Pool(url, {
          connections: CONNECTIONS_PER_SERVER,
          pipelining: 1,
          headersTimeout: ANSWER_WITHIN_MS,
          bodyTimeout: ANSWER_WITHIN_MS,
        }),
    );
  }

  place(request: PlaceOrderRequest, key: string): Promise<Outcome> {
    return this.send('POST', '/v1/orders', key, { 'traffic-tag': request.storeId }, JSON.stringify(request));
  }

  change(orderId: string, change: OrderChange, key: string): Promise<Outcome> {
    return this.send('POST', `/v1/orders/${orderId}/${change}`, key, {}, '{}');
  }

  read(orderId: string): Promise<Outcome> {
    return this.send('GET', `/v1/orders/${orderId}`, undefined, {}, undefined);
  }

  async close(): Promise<void> {
    await Promise.all(this.pools.map((pool) => pool.destroy()));
  }

  private async send(
    method: 'GET' | 'POST',
    path: string,
    key: string | undefined,
    headers: Record<string, string>,
    body: string | undefined,
  ): Promise<Outcome> {
    const pool = this.pools[(this.next += 1) % this.pools.length];
    if (pool === undefined) throw new Error('no router');
    try {
      const answer = await pool.request({
        method,
        path,
        headers: {
          ...headers,
          ...(key === undefined ? {} : { 'idempotency-key': key, 'content-type': 'application/json' }),
        },
        ...(body === undefined ? {} : { body }),
      });
      const text = await answer.body.text();
      if (answer.statusCode >= 300) {
        return { isOk: false, status: answer.statusCode, failure: problemCode(answer.statusCode, text) };
      }
      const zone = answer.headers['borough-zone'];
      const staleMs = answer.headers[STALE_MS_HEADER];
      return {
        isOk: true,
        status: answer.statusCode,
        order: orderView.parse(JSON.parse(text)),
        ...(typeof zone === 'string' ? { zone } : {}),
        isReplay: answer.headers['idempotency-replayed'] === 'true',
        ...(typeof staleMs === 'string' ? { staleMs: Number(staleMs) } : {}),
      };
    } catch (error) {
      return { isOk: false, failure: error instanceof Error ? error.message : String(error) };
    }
  }
}

/** Through the SDK, as an app has it: one client for each call in turn. */
export class SdkClient implements LoadClient {
  readonly kind = 'sdk';
  private readonly clients: readonly DeliveryClient[];
  private next = 0;

  constructor(routerUrls: readonly string[], clients: number) {
    this.clients = Array.from({ length: clients }, (_, at) =>
      // Each begins with another router, as apps near different zones do.
      createDeliveryClient({
        routerUrls: [...routerUrls.slice(at % routerUrls.length), ...routerUrls.slice(0, at % routerUrls.length)],
      }),
    );
  }

  place(request: PlaceOrderRequest, key: string): Promise<Outcome> {
    return outcomeOf(this.client.orders.place(request, { idempotencyKey: key }));
  }

  change(orderId: string, change: OrderChange, key: string): Promise<Outcome> {
    return outcomeOf(this.client.orders[change](orderId, {}, { idempotencyKey: key }));
  }

  read(orderId: string): Promise<Outcome> {
    return outcomeOf(this.client.orders.get(orderId));
  }

  async close(): Promise<void> {
    await Promise.all(this.clients.map((client) => client.close()));
  }

  private get client(): DeliveryClient {
    const client = this.clients[(this.next += 1) % this.clients.length];
    if (client === undefined) throw new Error('no client');
    return client;
  }
}

async function outcomeOf(call: Promise<OrderView>): Promise<Outcome> {
  try {
    return { isOk: true, order: await call };
  } catch (error) {
    if (!(error instanceof DeliveryProblem)) return { isOk: false, failure: String(error) };
    const { code, status } = error;
    return { isOk: false, failure: code, ...(status === undefined ? {} : { status }) };
  }
}

function problemCode(status: number, text: string): string {
  try {
    return problemDocument.parse(JSON.parse(text)).code;
  } catch {
    return `HTTP ${status}`;
  }
}
