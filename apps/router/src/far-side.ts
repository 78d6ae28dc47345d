/** For specs: what stands on the far side of a router, as small HTTP servers that write down what they are asked. */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http';
import { type AddressInfo, type Socket } from 'node:net';
import { buffer } from 'node:stream/consumers';
import {
  ALLOW_STALE_HEADER,
  type AreaMapView,
  PROBLEM_MEDIA_TYPE,
  PROBLEM_TYPE_PREFIX,
  type ProblemCode,
  PROBLEMS,
  type RoutingSnapshot,
  SHARD_HEADER,
} from '@borough/contracts';
import { type Area, type RoutingEntry, tableVersionOf } from '@borough/topology';

/** One request as a far side got it. */
export interface ReceivedRequest {
  readonly method: string;
  readonly target: string;
  readonly headers: IncomingHttpHeaders;
  readonly rawHeaders: readonly string[];
  readonly body: Buffer;
}

type Answer = (response: ServerResponse, request: ReceivedRequest) => void | Promise<void>;

abstract class FarSide {
  readonly received: ReceivedRequest[] = [];
  /** Connections opened to it so far. */
  connections = 0;
  private readonly server: Server;
  private port = 0;
  /** Requests that come while it is frozen wait for this. */
  private thawing: Promise<void> = Promise.resolve();
  private thawNow: () => void = () => undefined;

  constructor() {
    this.server = createServer((request, response) => void this.take(request, response));
    this.server.on('connection', () => (this.connections += 1));
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
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

  /** From now on it takes connections and says nothing, as a process that got SIGSTOP. */
  freeze(): void {
    this.thawing = new Promise((resolve) => (this.thawNow = resolve));
  }

  /** It goes on with everything that came meanwhile. */
  thaw(): void {
    this.thawNow();
  }

  protected abstract readonly answer: Answer;

  /** Whether it answers by itself, and keeps no record of it. */
  protected answersItself: (received: ReceivedRequest, response: ServerResponse) => boolean = () => false;

  private async take(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = '', url = '', headers, rawHeaders } = request;
    try {
      const received = { method, target: url, headers, rawHeaders, body: await buffer(request) };
      await this.thawing;
      if (this.answersItself(received, response)) return;
      this.received.push(received);
      await this.answer(response, received);
    } catch {
      response.destroy();
    }
  }
}

/** A zone that answers every request with its name, until told otherwise. */
export class FakeZone extends FarSide {
  override answer: Answer = (response) => {
    response.setHeader('content-type', 'application/json').end(JSON.stringify({ zone: this.zoneId }));
  };

  /** Probes that came so far. */
  probes = 0;
  /** How it answers those; false: not at all. */
  answersProbes = true;

  constructor(readonly zoneId: string) {
    super();
  }

  /** A router's probe is a read that no client sent. */
  protected override answersItself = ({ headers }: ReceivedRequest, response: ServerResponse): boolean => {
    if (headers[ALLOW_STALE_HEADER] === undefined || headers[SHARD_HEADER] !== undefined) return false;
    this.probes += 1;
    if (this.answersProbes) response.writeHead(404).end();
    return true;
  };
}

/** Takes a request, and dies before it answers. */
export const dieUnanswered: Answer = (response) => {
  (response.socket as Socket).destroy();
};

/** Takes a request, and is never heard of again. */
export const staySilent: Answer = () => undefined;

/** Refuses as a zone whose database does not own the shard, not yet or no more. */
export function refuseAs(code: ProblemCode, facts: Readonly<Record<string, unknown>> = {}): Answer {
  const { status, title, retry } = PROBLEMS[code];
  const body = JSON.stringify({ type: PROBLEM_TYPE_PREFIX + code, title, status, code, retry, ...facts });
  return (response) => {
    response
      .writeHead(status, { 'content-type': PROBLEM_MEDIA_TYPE, 'content-length': Buffer.byteLength(body) })
      .end(body);
  };
}

/** A coordinator with a table that the test writes. */
export class FakeCoordinator extends FarSide {
  entries: RoutingEntry[] = [];
  areas: Area[] = [];
  /** Answers wait for this. */
  gate: Promise<unknown> = Promise.resolve();

  override answer: Answer = async (response, { target, headers }) => {
    const body = JSON.stringify(target === '/v1/routing' ? this.snapshot() : this.areaMap());
    const etag = `"${createHash('sha256').update(body).digest('base64url')}"`;
    await this.gate;
    response.setHeader('etag', etag);
    if (headers['if-none-match'] === etag) response.writeHead(304).end();
    else response.setHeader('content-type', 'application/json').end(body);
  };

  /** How often the snapshot was fetched. */
  get fetches(): number {
    return this.received.filter(({ target }) => target === '/v1/routing').length;
  }

  /** An area of one cell, served by a shard of this owner. */
  addArea(shard: number, cell: string, owner: string, epoch = 1): void {
    this.areas.push({ shard, name: `area ${shard}`, cells: [cell] });
    this.entries.push({ shard, epoch, state: 'serving', owner });
  }

  /** From now on this is what the table says of the shard. */
  say(entry: RoutingEntry): void {
    this.entries = [...this.entries.filter(({ shard }) => shard !== entry.shard), entry];
  }

  snapshot(): RoutingSnapshot {
    return {
      tableVersion: tableVersionOf(this.entries),
      areaMapVersion: this.areas.length,
      entries: structuredClone(this.entries),
    };
  }

  areaMap(): AreaMapView {
    const areas = this.areas.map(({ shard, name, cells }) => ({ shard, name, cells: [...cells] }));
    return { areaMapVersion: this.areas.length, areas };
  }
}
