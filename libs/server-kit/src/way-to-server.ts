/** For specs: the way to a server that is shared with other tests, which can be cut, frozen and mended. */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

export class WayToServer {
  private server: Server | undefined;
  private readonly sockets = new Set<Socket>();
  private port = 0;

  /** @param serverUrl where the way leads; any URL with a host and a port */
  constructor(private readonly serverUrl: string) {}

  /** The server's URL by this way. */
  get url(): string {
    const url = new URL(this.serverUrl);
    url.host = `127.0.0.1:${this.port}`;
    return url.href;
  }

  /** Opens it, the second time on the same port. */
  async mend(): Promise<void> {
    const { hostname, port } = new URL(this.serverUrl);
    this.server = createServer((near) => {
      const far = connect(Number(port), hostname);
      this.lead(near, far);
      this.lead(far, near);
    });
    this.server.listen(this.port, '127.0.0.1');
    await once(this.server, 'listening');
    this.port = (this.server.address() as AddressInfo).port;
  }

  /** The connections stand, and nothing comes through them any more. */
  freeze(): void {
    for (const socket of this.sockets) socket.unpipe().pause();
  }

  /** Nobody listens, and every connection is gone. */
  async cut(): Promise<void> {
    const closed = this.server === undefined ? undefined : once(this.server, 'close');
    this.server?.close();
    this.server = undefined;
    for (const socket of this.sockets) socket.destroy();
    await closed;
  }

  private lead(from: Socket, to: Socket): void {
    this.sockets.add(from);
    from.on('error', () => to.destroy());
    from.on('close', () => {
      this.sockets.delete(from);
      to.destroy();
    });
    from.pipe(to);
  }
}
