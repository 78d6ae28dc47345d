import { createServer, type RequestListener, type Server } from 'node:http';
import { type AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { askReady } from './ask-ready.js';

const servers: Server[] = [];

afterEach(async () => {
  await Promise.all(
    servers.splice(0).map(
      (server) =>
        new Promise((resolve) => {
          server.close(resolve);
          server.closeAllConnections();
        }),
    ),
  );
});

async function serving(listener: RequestListener): Promise<string> {
  const server = createServer(listener);
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

describe('asking whether an API is ready', () => {
  it.each([200, 503])('tells the status of its answer: %i', async (status) => {
    const url = await serving((_request, response) => {
      response.writeHead(status).end('{}');
    });
    expect(await askReady(url, 1_000)).toBe(status);
  });

  it.each<[string, RequestListener]>([
    ['says nothing', () => undefined],
    ['stops after the head', (_request, response) => void response.writeHead(200, { 'content-length': 9 }).write('a')],
  ])('ends in time with one that %s, and the next one is asked on another connection', async (_what, listener) => {
    const ports = new Set<number | undefined>();
    const url = await serving((request, response) => {
      ports.add(request.socket.remotePort);
      listener(request, response);
    });
    await expect(askReady(url, 50)).rejects.toThrow('no answer within 50 ms');
    await expect(askReady(url, 50)).rejects.toThrow('no answer within 50 ms');
    expect(ports.size).toBe(2);
  });

  it('fails where nobody is', async () => {
    await expect(askReady('http://127.0.0.1:1', 1_000)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  });
});
