/**
 * A TCP proxy that breaks the link it stands on: what a network, a switch or a firewall does to two machines.
 *
 *     client ──requests──►  proxy  ──►  target
 *            ◄──answers──          ◄──
 *
 * A proxy can delay, hold back or lose what is under way, per direction. Bytes that a real network loses are sent again
 * by TCP as long as the connection stands; a proxy has confirmed them already. So a connection that lost something is
 * torn: it stays silent until the link is whole again and is reset then, as one that a firewall has forgotten.
 *
 * While the target takes no connection, the proxy takes none: who connects must see it refused, not reset. What no program
 * can do is leave a connection attempt unanswered: on a link that is cut it is accepted, and then silent.
 */
import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/** What befalls a link. */
export type LinkFault =
  /** Nothing; connections that were torn before are reset. */
  | { readonly kind: 'pass' }
  /** All bytes arrive so many ms later, both ways. */
  | { readonly kind: 'delay'; readonly ms: number }
  /** Nothing arrives, and nothing is lost: it flows again after `pass`. */
  | { readonly kind: 'stall' }
  /** Everything is lost, what is under way included, and nobody is told: no end and no reset comes through. */
  | { readonly kind: 'cut' }
  /** The same in one direction only. */
  | { readonly kind: 'one-way'; readonly lost: 'requests' | 'answers' }
  /** A moment: what is under way is lost, and every connection is reset. New ones are let through. */
  | { readonly kind: 'reset' };

/** What may wait in one direction of one connection before its sender is made to wait, in bytes. */
const MOST_UNDER_WAY_BYTES = 8 * 1024 * 1024;

/** How often a target that refuses is tried again, in ms. */
const TRY_AGAIN_MS = 10;

export interface Target {
  readonly host: string;
  readonly port: number;
}

/**
 * @param port where it listens on 127.0.0.1; 0: anywhere
 * @throws Error when that port is taken
 */
export async function startFaultProxy(target: Target, port = 0): Promise<FaultProxy> {
  const proxy = new FaultProxy(target, port);
  await proxy.listen();
  return proxy;
}

export class FaultProxy {
  private readonly connections = new Set<Connection>();
  private fault: LinkFault = { kind: 'pass' };
  /** Undefined while the target takes no connection. */
  private server: Server | undefined;
  private isLooking = false;
  private isClosed = false;

  constructor(
    private readonly target: Target,
    private chosenPort: number,
  ) {}

  /** Where it listens, on 127.0.0.1. */
  get port(): number {
    return this.chosenPort;
  }

  async listen(): Promise<void> {
    const server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
      this.accept(client);
    });
    server.listen(this.chosenPort, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    if (address !== null && typeof address !== 'string') this.chosenPort = address.port;
    this.server = server;
  }

  /** From now on; a fault ends the one before. */
  set(fault: LinkFault): void {
    this.fault = fault.kind === 'reset' ? { kind: 'pass' } : fault;
    for (const connection of [...this.connections]) {
      if (fault.kind === 'reset') connection.reset();
      else connection.set(this.fault);
    }
    void this.doAsTheTarget();
  }

  async close(): Promise<void> {
    this.isClosed = true;
    const { server } = this;
    const closed = server === undefined ? undefined : once(server, 'close');
    this.stopListening();
    for (const connection of [...this.connections]) connection.reset();
    await closed;
  }

  private accept(client: Socket): void {
    const connection: Connection = new Connection(client, this.target, this.fault, {
      targetLeft: () => {
        void this.doAsTheTarget();
      },
      ended: () => this.connections.delete(connection),
    });
    this.connections.add(connection);
  }

  /** Takes no connection while the target takes none: looked after whenever the target has ended one. */
  private async doAsTheTarget(): Promise<void> {
    if (this.isLooking) return;
    this.isLooking = true;
    // On a link that loses what the target says, nobody hears that it refuses.
    while (!this.isClosed && !losesAnswers(this.fault) && (await isRefused(this.target))) {
      if (losesAnswers(this.fault)) break;
      this.stopListening();
      await sleep(TRY_AGAIN_MS);
    }
    // The port may be in use for a moment as that of somebody's outgoing connection.
    while (!this.isClosed && this.server === undefined) {
      await this.listen().catch(() => sleep(TRY_AGAIN_MS));
    }
    if (this.isClosed) this.stopListening();
    this.isLooking = false;
  }

  private stopListening(): void {
    this.server?.close();
    this.server = undefined;
  }
}

function losesAnswers(fault: LinkFault): boolean {
  return fault.kind === 'cut' || (fault.kind === 'one-way' && fault.lost === 'answers');
}

function isRefused(target: Target): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(target);
    probe.once('connect', () => {
      probe.destroy();
      resolve(false);
    });
    probe.on('error', (error: NodeJS.ErrnoException) => {
      resolve(error.code === 'ECONNREFUSED');
    });
  });
}

interface ConnectionEvents {
  /** The target refused or ended it. */
  readonly targetLeft: () => void;
  readonly ended: () => void;
}

/** A client, the target's side of it, and what flows between the two. */
class Connection {
  private readonly target: Socket | undefined;
  private readonly flows: readonly Flow[];
  /** Something of it was lost: it cannot go on when the link is whole again. */
  private isTorn = false;
  private isOver = false;

  constructor(
    private readonly client: Socket,
    target: Target,
    fault: LinkFault,
    private readonly events: ConnectionEvents,
  ) {
    const tear = (): void => {
      this.isTorn = true;
    };
    if (fault.kind === 'cut') {
      // Nobody is there to connect to, and nobody to say so.
      tear();
      client.on('error', () => undefined);
      client.resume();
      client.once('close', () => {
        this.over();
      });
      this.flows = [];
      return;
    }
    this.target = connect({ ...target, allowHalfOpen: true, noDelay: true });
    this.flows = [new Flow(client, this.target, tear), new Flow(this.target, client, tear)];
    this.target.once('end', events.targetLeft);
    this.target.once('error', events.targetLeft);
    for (const socket of [client, this.target]) {
      socket.once('close', () => {
        if (client.destroyed && this.target?.destroyed === true) this.over();
      });
    }
    this.set(fault);
  }

  set(fault: LinkFault): void {
    if (fault.kind === 'cut') this.isTorn = true;
    if (this.isTorn && (fault.kind === 'pass' || fault.kind === 'delay' || fault.kind === 'stall')) {
      this.reset();
      return;
    }
    const [requests, answers] = this.flows;
    const isLost = (direction: 'requests' | 'answers'): boolean =>
      fault.kind === 'cut' || (fault.kind === 'one-way' && fault.lost === direction);
    const pace = fault.kind === 'stall' ? 'held' : fault.kind === 'delay' ? fault.ms : 0;
    requests?.set(isLost('requests') ? 'lost' : pace);
    answers?.set(isLost('answers') ? 'lost' : pace);
  }

  /** What is under way is lost, and both sides are told that the connection is over. */
  reset(): void {
    for (const flow of this.flows) flow.set('lost');
    this.client.resetAndDestroy();
    this.target?.resetAndDestroy();
    this.over();
  }

  private over(): void {
    if (this.isOver) return;
    this.isOver = true;
    for (const flow of this.flows) flow.set('lost');
    this.events.ended();
  }
}

/** Delayed by so many ms, held back, or thrown away. */
type Pace = number | 'held' | 'lost';

/** Bytes, or how the sender ended. */
interface Piece {
  readonly content: Buffer | 'end' | 'reset';
  readonly readAt: number;
}

/** One direction of a connection. */
class Flow {
  private pace: Pace = 0;
  private waiting: Piece[] = [];
  private waitingBytes = 0;
  private timer: NodeJS.Timeout | undefined;

  /** @param tear is told when something was lost */
  constructor(
    private readonly source: Socket,
    private readonly sink: Socket,
    private readonly tear: () => void,
  ) {
    source.on('data', (bytes: Buffer) => {
      this.take(bytes);
    });
    source.once('end', () => {
      this.take('end');
    });
    source.on('error', () => {
      this.take('reset');
    });
    sink.on('drain', () => {
      this.deliver();
    });
  }

  set(pace: Pace): void {
    this.pace = pace;
    if (pace === 'lost') {
      if (this.waiting.length > 0) this.tear();
      this.waiting = [];
      this.waitingBytes = 0;
      clearTimeout(this.timer);
      this.source.resume();
    } else this.deliver();
  }

  private take(content: Piece['content']): void {
    if (this.pace === 'lost') {
      this.tear();
      return;
    }
    this.waiting.push({ content, readAt: performance.now() });
    if (typeof content !== 'string') this.waitingBytes += content.length;
    if (this.waitingBytes > MOST_UNDER_WAY_BYTES) this.source.pause();
    this.deliver();
  }

  /** Passes on whatever is due. */
  private deliver(): void {
    clearTimeout(this.timer);
    const { pace } = this;
    if (typeof pace === 'string') return;
    while (!this.sink.writableNeedDrain) {
      const [piece] = this.waiting;
      if (piece === undefined) break;
      const waitMs = piece.readAt + pace - performance.now();
      if (waitMs > 0) {
        this.timer = setTimeout(() => {
          this.deliver();
        }, Math.ceil(waitMs));
        break;
      }
      this.waiting.shift();
      this.pass(piece.content);
    }
    if (this.waitingBytes <= MOST_UNDER_WAY_BYTES) this.source.resume();
  }

  private pass(content: Piece['content']): void {
    if (content === 'reset') this.sink.resetAndDestroy();
    else if (content === 'end') this.sink.end();
    else {
      this.waitingBytes -= content.length;
      this.sink.write(content);
    }
  }
}
