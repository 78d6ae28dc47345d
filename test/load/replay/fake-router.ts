/** The far side of the replay's HTTP, for its specs: a real server whose answers the spec decides. */
import { createServer, type IncomingHttpHeaders } from 'node:http';
import { type AddressInfo } from 'node:net';

export interface ReceivedRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

export interface FakeAnswer {
  readonly status: number;
  readonly json: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface FakeRouter {
  readonly url: string;
  /** In the order of their arrival. */
  readonly requests: readonly ReceivedRequest[];
  /** Most requests that were waiting for their answer at once. */
  readonly mostAtOnce: () => number;
  close(): Promise<void>;
}

/** @param answer what to say; `hang-up` breaks the connection without a word */
export async function startFakeRouter(
  answer: (request: ReceivedRequest) => FakeAnswer | 'hang-up' | Promise<FakeAnswer | 'hang-up'>,
): Promise<FakeRouter> {
  const requests: ReceivedRequest[] = [];
  let atOnce = 0;
  let mostAtOnce = 0;
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const { method = '', url = '', headers } = request;
      const received = { method, path: url, headers, body: Buffer.concat(chunks).toString() };
      requests.push(received);
      atOnce += 1;
      mostAtOnce = Math.max(mostAtOnce, atOnce);
      void Promise.resolve(answer(received)).then((said) => {
        atOnce -= 1;
        if (said === 'hang-up') {
          request.socket.destroy();
          return;
        }
        response.writeHead(said.status, { 'content-type': 'application/json', ...said.headers });
        response.end(JSON.stringify(said.json));
      });
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    requests,
    mostAtOnce: () => mostAtOnce,
    close: () =>
      new Promise((resolve) => {
        server.close(() => {
          resolve();
        });
        server.closeAllConnections();
      }),
  };
}
