import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { Problem } from '@borough/server-kit';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { readBody } from './read-body.js';

const MAX_BYTES = 100;

let server: Server;
let socket: Socket;

beforeEach(async () => {
  server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
  await once(socket, 'connect');
});

afterEach(async () => {
  socket.destroy();
  server.closeAllConnections();
  server.close();
  await once(server, 'close');
});

/** The head as the server got it, with no more of the body than stands here. */
async function received(...lines: string[]): Promise<IncomingMessage> {
  const arrived = once(server, 'request') as Promise<[IncomingMessage]>;
  socket.write(`POST / HTTP/1.1\r\nhost: x\r\n${lines.join('\r\n')}`);
  const [message] = await arrived;
  return message;
}

/** What reading ended with: the body as text, or the code of the problem. */
async function outcomeOf(body: Promise<Buffer>): Promise<string> {
  try {
    return (await body).toString();
  } catch (error) {
    if (error instanceof Problem) return error.code;
    throw error;
  }
}

it('a body is read whole, in whatever pieces it comes', async () => {
  const message = await received('content-length: 11', '', 'hello');
  const body = outcomeOf(readBody(message, MAX_BYTES));
  socket.write(' world');

  expect(await body).toBe('hello world');
});

it('a body in chunks is read whole', async () => {
  const message = await received('transfer-encoding: chunked', '', '5\r\nhello\r\n');
  const body = outcomeOf(readBody(message, MAX_BYTES));
  socket.write('6\r\n world\r\n0\r\n\r\n');

  expect(await body).toBe('hello world');
});

it('no body is an empty one', async () => {
  const message = await received('', '');

  expect(await outcomeOf(readBody(message, MAX_BYTES))).toBe('');
});

it('a body of the largest size is read, and one byte more is refused', async () => {
  const largest = await received(`content-length: ${MAX_BYTES}`, '', 'x'.repeat(MAX_BYTES));
  expect(await outcomeOf(readBody(largest, MAX_BYTES))).toBe('x'.repeat(MAX_BYTES));

  const larger = await received('transfer-encoding: chunked', '', `65\r\n${'x'.repeat(101)}\r\n`);
  expect(await outcomeOf(readBody(larger, MAX_BYTES))).toBe('body-too-large');
});

it('a body that says it is too large is refused before any of it has come', async () => {
  const message = await received(`content-length: ${MAX_BYTES + 1}`, '', '');

  expect(await outcomeOf(readBody(message, MAX_BYTES))).toBe('body-too-large');
});

it('a client that goes away half-way ends the reading', async () => {
  const message = await received('content-length: 11', '', 'hello');
  const body = outcomeOf(readBody(message, MAX_BYTES));
  socket.destroy();

  expect(await body).toBe('malformed-request');
});

it('a client that has gone away before the reading began ends it too', async () => {
  const message = await received('content-length: 11', '', 'hello');
  socket.destroy();
  await expect.poll(() => message.destroyed).toBe(true);

  expect(await outcomeOf(readBody(message, MAX_BYTES))).toBe('malformed-request');
});
