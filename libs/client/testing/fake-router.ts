/** For specs: a router as the contracts describe it, on a real HTTP server, with a table that the test writes. */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http';
import { type AddressInfo, type Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import {
  IDEMPOTENCY_KEY_HEADER,
  PROBLEM_MEDIA_TYPE,
  PROBLEM_TYPE_PREFIX,
  PROBLEMS,
  ROUTING_EVENT,
  ROUTING_STREAM_PATH,
  TABLE_VERSION_HEADER,
  ZONE_HEADER,
  type AreaMapView,
  type ProblemCode,
  type RetryRule,
  type RoutingSnapshot,
} from '@borough/contracts';
import { newUuid, tableVersionOf, toId, type Area, type RoutingEntry } from '@borough/topology';

/** One request as a router got it. */
export interface ReceivedRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

export type Answer = (response: ServerResponse, request: ReceivedRequest) => void | Promise<void>;

/** What all routers of a test say of the areas, and which orders were placed: a key has one effect in all of them. */
export class FakeCluster {
  entries: RoutingEntry[] = [];
  areas: Area[] = [];
  routers: Record<string, string> | undefined;
  /** Answers about the table wait for this. */
  tableGate: Promise<unknown> = Promise.resolve();
  /** Answers by idempotency key, as the zones keep them. */
  readonly effects = new Map<string, { status: number; body: string }>();

  /** An area of one cell, whose shard this zone serves. */
  addArea(shard: number, cell: string, owner: string, epoch = 1): void {
    this.areas.push({ shard, name: `area ${shard}`, cells: [cell] });
    this.entries.push({ shard, epoch, state: 'serving', owner });
  }

  /** From now on this is what the table says of the shard. */
  say(entry: RoutingEntry): void {
    this.entries = [...this.entries.filter(({ shard }) => shard !== entry.shard), entry];
  }

  snapshot(entries: readonly RoutingEntry[] = this.entries): RoutingSnapshot {
    return {
      tableVersion: tableVersionOf(this.entries),
      areaMapVersion: this.areas.length,
      entries: structuredClone([...entries]),
      ...(this.routers === undefined ? {} : { routers: this.routers }),
    };
  }

  areaMap(): AreaMapView {
    const areas = this.areas.map(({ shard, name, cells }) => ({ shard, name, cells: [...cells] }));
    return { areaMapVersion: this.areas.length, areas };
  }
}

export class FakeRouter {
  /** What came besides questions for the table. */
  readonly calls: ReceivedRequest[] = [];
  readonly received: ReceivedRequest[] = [];
  readonly streams = new Set<ServerResponse>();
  /** The `Last-Event-ID` of each connection to the stream so far. */
  readonly lastEventIds: (string | undefined)[] = [];
  /** What the next calls are answered with, one after the other; after that by `answer`. */
  readonly nextAnswers: Answer[] = [];
  /** How questions for the table are answered; undefined: as the cluster says. */
  routingAnswer: Answer | undefined;
  /** Also 304s. */
  snapshotsAsked = 0;
  private readonly sockets = new Set<Socket>();
  private readonly server = createServer((request, response) => void this.take(request, response));
  private port = 0;

  constructor(
    readonly cluster: FakeCluster,
    readonly zone: string,
  ) {
    this.server.on('connection', (socket) => {
      this.sockets.add(socket);
      socket.once('close', () => this.sockets.delete(socket));
    });
  }

  /** The zone behind it: one effect per key, and a plausible answer. */
  answer: Answer = (response, request) => {
    const key = request.headers[IDEMPOTENCY_KEY_HEADER];
    const effect = (typeof key === 'string' ? this.cluster.effects.get(key) : undefined) ?? effectOf(request);
    if (typeof key === 'string') this.cluster.effects.set(key, effect);
    response.writeHead(effect.status, { 'content-type': 'application/json', [ZONE_HEADER]: this.zone });
    response.end(effect.body);
  };

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  get openConnections(): number {
    return this.sockets.size;
  }

  /** Listens, the second time on the same port. */
  async start(): Promise<this> {
    this.server.listen(this.port, '127.0.0.1');
    await once(this.server, 'listening');
    this.port = (this.server.address() as AddressInfo).port;
    return this;
  }

  /** Ends it and every connection to it, as a killed process. */
  async kill(): Promise<void> {
    if (!this.server.listening) return;
    const closed = once(this.server, 'close');
    this.server.close();
    this.server.closeAllConnections();
    await closed;
  }

  /** Tells everybody who listens of these entries. */
  push(entries: readonly RoutingEntry[]): void {
    for (const stream of this.streams) stream.write(this.eventOf(entries, false));
  }

  private eventOf(entries: readonly RoutingEntry[], isWhole: boolean): string {
    const snapshot = this.cluster.snapshot(entries);
    const data = JSON.stringify({ ...snapshot, isWhole });
    return `id: ${snapshot.tableVersion}\nevent: ${ROUTING_EVENT}\ndata: ${data}\n\n`;
  }

  private async take(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      const { method = '', url = '', headers } = request;
      const received = { method, path: url, headers, body: await text(request) };
      this.received.push(received);
      response.setHeader(TABLE_VERSION_HEADER, String(this.cluster.snapshot().tableVersion));
      const isOfTable = ['/v1/routing', '/v1/area-map', ROUTING_STREAM_PATH].includes(url);
      if (isOfTable) await (this.routingAnswer ?? this.answerOfTable)(response, received);
      else {
        this.calls.push(received);
        await (this.nextAnswers.shift() ?? this.answer)(response, received);
      }
    } catch {
      response.destroy();
    }
  }

  readonly answerOfTable: Answer = async (response, { path, headers }) => {
    await this.cluster.tableGate;
    if (path === ROUTING_STREAM_PATH) {
      this.openStream(response, headers['last-event-id']?.toString());
      return;
    }
    const body = JSON.stringify(path === '/v1/routing' ? this.cluster.snapshot() : this.cluster.areaMap());
    const etag = `"${createHash('sha256').update(body).digest('base64url')}"`;
    if (path === '/v1/routing') this.snapshotsAsked += 1;
    response.setHeader('etag', etag);
    if (headers['if-none-match'] === etag) response.writeHead(304).end();
    else response.setHeader('content-type', 'application/json').end(body);
  };

  private openStream(response: ServerResponse, lastEventId: string | undefined): void {
    this.lastEventIds.push(lastEventId);
    this.streams.add(response);
    response.once('close', () => this.streams.delete(response));
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    const isUpToDate = lastEventId === String(this.cluster.snapshot().tableVersion);
    response.write(`retry: 1000\n\n${isUpToDate ? '' : this.eventOf(this.cluster.entries, true)}`);
  }
}

/** Takes a request, and dies before it answers. */
export const dieUnanswered: Answer = (response) => {
  response.destroy();
};

/** Takes a request, and is never heard of again. */
export const staySilent: Answer = () => undefined;

/** Says that it will answer, and dies in the middle. */
export const dieHalfWay: Answer = (response) => {
  response.writeHead(201, { 'content-type': 'application/json', 'content-length': '1000' });
  response.write('{"id":');
  setTimeout(() => response.destroy(), 20);
};

/** Refuses with a problem of ours. */
export function refuseAs(code: ProblemCode, headers: Readonly<Record<string, string>> = {}): Answer {
  return refuseWith({ code, ...PROBLEMS[code] }, headers);
}

/** Refuses with any problem document. */
export function refuseWith(
  problem: { code: string; status: number; title: string; retry: RetryRule; [fact: string]: unknown },
  headers: Readonly<Record<string, string>> = {},
): Answer {
  const body = JSON.stringify({ type: PROBLEM_TYPE_PREFIX + problem.code, ...problem });
  return (response) => {
    response.writeHead(problem.status, { 'content-type': PROBLEM_MEDIA_TYPE, ...headers }).end(body);
  };
}

/** What a zone answers to a request that is in order. */
function effectOf({ method, path, body }: ReceivedRequest): { status: number; body: string } {
  const pathname = path.split('?', 1)[0] ?? '';
  const [, , kind = '', id, change] = pathname.split('/');
  const asked = (method === 'POST' ? JSON.parse(body) : {}) as Record<string, unknown>;
  const now = new Date(0).toISOString();
  const order = {
    ...PLACED,
    id: kind === 'orders' && id !== undefined ? id : freshId('order'),
    placedAt: now,
    version: 1,
  };
  if (kind === 'customers') return { status: 200, body: JSON.stringify({ orders: [order] }) };
  if (kind === 'orders' && method === 'POST' && id === undefined) {
    return { status: 201, body: JSON.stringify({ ...order, ...asked, status: 'placed' }) };
  }
  if (kind === 'orders') {
    const status = change === 'accept' ? 'accepted' : change === 'cancel' ? 'cancelled' : 'placed';
    return { status: 200, body: JSON.stringify({ ...order, status }) };
  }
  const place = { name: 'x', location: PLACED.dropOff, createdAt: now, version: 1 };
  const view = kind === 'stores' ? { ...place, ...asked } : { ...place, vehicle: 'car', ...asked };
  const made = { id: id ?? freshId(kind === 'stores' ? 'store' : 'courier'), ...view };
  return { status: method === 'POST' ? 201 : 200, body: JSON.stringify(made) };
}

/** An id that carries this shard. */
export function freshId(kind: 'order' | 'store' | 'courier' | 'customer', shard = 1): string {
  return toId(
    kind,
    newUuid(shard, Date.now(), () => crypto.getRandomValues(new Uint8Array(16))),
  );
}

const PLACED = {
  storeId: freshId('store'),
  customerId: freshId('customer'),
  status: 'placed',
  items: [{ name: 'arepa', quantity: 1 }],
  dropOff: { latitude: 4.6, longitude: -74.1 },
};
