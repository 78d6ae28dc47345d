import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type FaultProxy, type LinkFault, startFaultProxy } from './fault-proxy.js';

/** Answers each line with `re: ` and the line, and keeps what it was told. */
let target: Server;
let proxy: FaultProxy;
let heard: string[];
/** In the order in which they first said something: a proxy that looks whether the target is there says nothing. */
let accepted: Socket[];
let sockets: Socket[];
let clients: Client[];

beforeEach(async () => {
  heard = [];
  accepted = [];
  sockets = [];
  clients = [];
  target = createServer((socket) => {
    sockets.push(socket);
    socket.once('data', () => accepted.push(socket));
    socket.on('error', () => undefined);
    socket.on('data', (bytes: Buffer) => {
      for (const line of bytes.toString().split('\n').slice(0, -1)) {
        heard.push(line);
        socket.write(`re: ${line}\n`);
      }
    });
  }).listen(0, '127.0.0.1');
  await once(target, 'listening');
  proxy = await startFaultProxy({ host: '127.0.0.1', port: (target.address() as AddressInfo).port });
});

afterEach(async () => {
  for (const { socket } of clients) socket.destroy();
  for (const socket of sockets) socket.destroy();
  await proxy.close();
  if (target.listening) {
    await new Promise((resolve) => {
      target.close(resolve);
    });
  }
});

class Client {
  readonly lines: string[] = [];
  /** How it ended for this side; undefined while it is open. */
  end: 'ended' | 'reset' | undefined;

  constructor(readonly socket: Socket) {
    socket.on('data', (bytes: Buffer) => this.lines.push(...bytes.toString().split('\n').slice(0, -1)));
    socket.once('end', () => {
      this.end ??= 'ended';
    });
    socket.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ECONNRESET') this.end = 'reset';
    });
  }

  say(line: string): void {
    this.socket.write(`${line}\n`);
  }
}

async function connected(): Promise<Client> {
  const socket = connect(proxy.port, '127.0.0.1');
  const client = new Client(socket);
  clients.push(client);
  await once(socket, 'connect');
  return client;
}

/** A client whose connection has been used: the proxy has reached the target. */
async function talking(): Promise<Client> {
  const client = await connected();
  client.say('hello');
  await expect.poll(() => client.lines).toEqual(['re: hello']);
  return client;
}

/** Long against the time that a line takes on this machine, for showing that it does not come. */
function aWhile(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 150));
}

describe('a link that passes', () => {
  it('brings requests there and answers back, in order, however many', async () => {
    const client = await connected();
    const lines = Array.from({ length: 5_000 }, (_, at) => `line ${at}`);
    for (const line of lines) client.say(line);
    await expect.poll(() => client.lines.length).toBe(5_000);
    expect(heard).toEqual(lines);
  });

  it('tells each side how the other ended', async () => {
    const [ended, killed] = [await talking(), await talking()];
    accepted[0]?.end();
    accepted[1]?.resetAndDestroy();
    await expect.poll(() => [ended.end, killed.end]).toEqual(['ended', 'reset']);
    const [socket] = [await talking()].map(({ socket }) => socket);
    const gone = once(accepted[2] as Socket, 'end');
    socket?.end();
    await gone;
  });

  it('refuses while the target refuses, and passes again when it is back at the same port', async () => {
    const client = await talking();
    const { port } = target.address() as AddressInfo;
    target.close();
    accepted[0]?.resetAndDestroy();
    await expect.poll(() => client.end).toBe('reset');
    await expect.poll(() => connected().catch((error: unknown) => String(error))).toMatch(/ECONNREFUSED/);
    target.listen(port, '127.0.0.1');
    await once(target, 'listening');
    await vi.waitFor(talking);
  });

  it('is silent, and refuses nobody, when it is cut while the target refuses', async () => {
    const client = await talking();
    target.close();
    accepted[0]?.end();
    await expect.poll(() => client.end).toBe('ended');
    client.socket.destroy();
    await expect.poll(() => connected().catch((error: unknown) => String(error))).toMatch(/ECONNREFUSED/);
    proxy.set({ kind: 'cut' });
    const silent = await vi.waitFor(connected);
    await aWhile();
    expect(silent.end).toBeUndefined();
  });
});

it('a delayed link brings everything later, both ways', async () => {
  const client = await talking();
  proxy.set({ kind: 'delay', ms: 40 });
  const sentAt = performance.now();
  client.say('slow');
  await expect.poll(() => client.lines, { interval: 1 }).toContain('re: slow');
  expect(performance.now() - sentAt).toBeGreaterThanOrEqual(79);
});

it('a stalled link loses nothing', async () => {
  const client = await talking();
  proxy.set({ kind: 'stall' });
  client.say('one');
  client.say('two');
  await aWhile();
  expect(heard).toEqual(['hello']);
  proxy.set({ kind: 'pass' });
  await expect.poll(() => client.lines).toEqual(['re: hello', 're: one', 're: two']);
  expect(client.end).toBeUndefined();
});

describe('a cut link', () => {
  it('loses what is under way, and tells nobody', async () => {
    const client = await talking();
    proxy.set({ kind: 'delay', ms: 60_000 });
    client.say('under way');
    await aWhile();
    proxy.set({ kind: 'cut' });
    accepted[0]?.resetAndDestroy();
    await aWhile();
    expect(heard).toEqual(['hello']);
    expect(client.end).toBeUndefined();
  });

  it('takes new connections and leaves them without an answer', async () => {
    proxy.set({ kind: 'cut' });
    const client = await connected();
    client.say('anybody there?');
    await aWhile();
    expect([sockets.length, client.lines, client.end]).toEqual([0, [], undefined]);
  });

  it('resets what it tore when it is whole again; new connections pass', async () => {
    const before = await talking();
    proxy.set({ kind: 'cut' });
    const during = await connected();
    proxy.set({ kind: 'pass' });
    await expect.poll(() => [before.end, during.end]).toEqual(['reset', 'reset']);
    await talking();
  });
});

describe('a link that is open one way', () => {
  it('hears requests and loses the answers', async () => {
    const client = await talking();
    proxy.set({ kind: 'one-way', lost: 'answers' });
    client.say('heard');
    await expect.poll(() => heard).toContain('heard');
    const another = await connected();
    another.say('heard too');
    await expect.poll(() => heard).toContain('heard too');
    await aWhile();
    expect([client.lines, another.lines, client.end, another.end]).toEqual([['re: hello'], [], undefined, undefined]);
    proxy.set({ kind: 'pass' });
    await expect.poll(() => [client.end, another.end]).toEqual(['reset', 'reset']);
  });

  it('loses requests and hears what the target says by itself', async () => {
    const client = await talking();
    proxy.set({ kind: 'one-way', lost: 'requests' });
    client.say('lost');
    accepted[0]?.write('by itself\n');
    await expect.poll(() => client.lines).toContain('by itself');
    expect(heard).toEqual(['hello']);
  });

  it('goes on with a connection of which nothing was lost', async () => {
    const client = await talking();
    proxy.set({ kind: 'one-way', lost: 'answers' });
    proxy.set({ kind: 'pass' });
    client.say('still here');
    await expect.poll(() => client.lines).toContain('re: still here');
  });
});

it.each<LinkFault>([{ kind: 'stall' }, { kind: 'delay', ms: 60_000 }, { kind: 'pass' }])(
  'a reset of a link in state $kind loses what is under way, tells both sides, and lets new connections through',
  async (fault) => {
    const client = await talking();
    proxy.set(fault);
    if (fault.kind !== 'pass') client.say('under way');
    await aWhile();
    proxy.set({ kind: 'reset' });
    await expect.poll(() => client.end).toBe('reset');
    await expect.poll(() => accepted[0]?.destroyed).toBe(true);
    expect(heard).toEqual(['hello']);
    await talking();
  },
);
