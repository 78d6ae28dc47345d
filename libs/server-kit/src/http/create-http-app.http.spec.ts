import 'reflect-metadata';
import { type AddressInfo, connect } from 'node:net';
import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { Body, Controller, Get, Module, Post } from '@nestjs/common';
import { type NestFastifyApplication } from '@nestjs/platform-fastify';
import { PROBLEM_MEDIA_TYPE, type ProblemDocument } from '@borough/contracts';
import { pino } from 'pino';
import { Client } from 'undici';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { createHttpApp } from './create-http-app.js';

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const MAX_BODY_BYTES = 10_000;

const parcel = z.strictObject({
  to: z.string(),
  items: z.array(z.strictObject({ name: z.string(), quantity: z.int().min(1) })).max(50),
});

@Controller('v1')
class ParcelController {
  @Get('parcels')
  list(): { parcels: string[] } {
    return { parcels: [] };
  }

  @Post('parcels')
  send(@Body({ schema: parcel }) body: z.infer<typeof parcel>): object {
    return body;
  }
}

@Module({ controllers: [ParcelController] })
class ParcelModule {}

let app: NestFastifyApplication;
let client: Client;
let port: number;

beforeAll(async () => {
  app = await createHttpApp(ParcelModule, { logger: pino({ level: 'silent' }), maxBodyBytes: MAX_BODY_BYTES });
  await app.listen(0, '127.0.0.1');
  ({ port } = app.getHttpServer().address() as AddressInfo);
  client = new Client(`http://127.0.0.1:${port}`);
});

afterAll(async () => {
  await client.close();
  await app.close();
});

interface Answer {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  problem: ProblemDocument;
}

async function get(path: string, headers: Record<string, string> | string[] = {}): Promise<Answer> {
  const { statusCode, headers: answered, body } = await client.request({ method: 'GET', path, headers });
  return { status: statusCode, headers: answered, problem: (await body.json()) as ProblemDocument };
}

async function post(body: string | Readable, contentType?: string): Promise<Answer> {
  const headers = contentType === undefined ? {} : { 'content-type': contentType };
  const answer = await client.request({ method: 'POST', path: '/v1/parcels', headers, body });
  return { status: answer.statusCode, headers: answer.headers, problem: (await answer.body.json()) as ProblemDocument };
}

/** Writes bytes to a socket and reads until the server closes it. */
async function raw(bytes: string): Promise<{ head: string; problem: ProblemDocument }> {
  const socket = connect(port, '127.0.0.1');
  socket.write(bytes);
  const [head = '', body = ''] = (await text(socket)).split('\r\n\r\n');
  return { head, problem: JSON.parse(body) as ProblemDocument };
}

describe('the request id', () => {
  it.each(['a', 'checkout-42', 'A.b_c-9', 'x'.repeat(64)])('is the one given: %s', async (given) => {
    const { headers } = await get('/v1/parcels', { 'request-id': given });
    expect(headers['request-id']).toBe(given);
  });

  it.each([
    ['none is given', []],
    ['the given one is empty', ['request-id', '']],
    ['it is too long', ['request-id', 'x'.repeat(65)]],
    ['it could forge a log line', ['request-id', 'a" level="error']],
    ['two are given', ['request-id', 'a', 'request-id', 'b']],
  ])('is made when %s', async (_what, headers) => {
    const answer = await get('/v1/parcels', headers);
    expect(answer.headers['request-id']).toMatch(UUID);
  });

  it('stands in a problem too, and in its headers', async () => {
    const { headers, problem } = await get('/nowhere', { 'request-id': 'r1' });
    expect(headers['request-id']).toBe('r1');
    expect(problem.requestId).toBe('r1');
  });
});

describe('a body', () => {
  const GOOD = JSON.stringify({ to: 'Ada', items: [] });

  it.each(['application/json', 'application/json; charset=utf-8', 'Application/JSON'])(
    'is taken as %s',
    async (contentType) => {
      expect((await post(GOOD, contentType)).status).toBe(201);
    },
  );

  it.each([
    ['text', 'text/plain'],
    ['a form', 'application/x-www-form-urlencoded'],
    ['a relative of JSON', 'application/json-patch+json'],
    ['no type at all', undefined],
    ['what is no media type', 'json'],
  ])('is refused as %s', async (_what, contentType) => {
    const { status, problem } = await post(GOOD, contentType);
    expect([status, problem.code]).toEqual([415, 'unsupported-media-type']);
  });

  it.each(['{"to":', '', '{"__proto__":{}}'])('that is no good JSON is malformed: %s', async (body) => {
    const { status, problem } = await post(body, 'application/json');
    expect([status, problem.code]).toEqual([400, 'malformed-json']);
  });

  it('nested deeper than 32 levels is refused', async () => {
    const { status, problem } = await post('['.repeat(33) + ']'.repeat(33), 'application/json');
    expect([status, problem.code]).toEqual([400, 'body-too-deep']);
  });

  it('of exactly the largest size is read', async () => {
    const body = GOOD + ' '.repeat(MAX_BODY_BYTES - GOOD.length);
    expect((await post(body, 'application/json')).status).toBe(201);
  });

  it('one byte larger is refused', async () => {
    const body = GOOD + ' '.repeat(MAX_BODY_BYTES - GOOD.length + 1);
    const { status, problem } = await post(body, 'application/json');
    expect([status, problem.code]).toEqual([413, 'body-too-large']);
  });

  it('one byte larger that does not say its length is refused too', async () => {
    const chunks = Readable.from(Array.from({ length: 11 }, () => Buffer.alloc(1_000, ' ')));
    const { status, problem } = await post(chunks, 'application/json');
    expect([status, problem.code]).toEqual([413, 'body-too-large']);
  });
});

describe('a body that does not fit its schema', () => {
  it('is refused with the path of every fault', async () => {
    const body = {
      to: 7,
      items: [
        { name: 'soup', quantity: 1 },
        { name: 'rice', quantity: 0 },
      ],
      note: 'hi',
    };
    const { status, problem } = await post(JSON.stringify(body), 'application/json');

    expect([status, problem.code, problem.retry]).toEqual([422, 'validation-failed', 'never']);
    expect(problem.detail).toBe('3 faults');
    expect(problem.errors?.map(({ path }) => path).toSorted()).toEqual(['', 'items.1.quantity', 'to']);
    expect(problem.errors?.every(({ message }) => message.length > 0)).toBe(true);
  });

  it('names the first twenty faults of many, and says how many there are', async () => {
    const items = Array.from({ length: 45 }, () => ({ name: 'soup', quantity: -1 }));
    const { problem } = await post(JSON.stringify({ to: 'Ada', items }), 'application/json');

    expect(problem.errors).toHaveLength(20);
    expect(problem.detail).toBe('45 faults');
  });

  it('is refused when there is none at all', async () => {
    const { statusCode, body } = await client.request({ method: 'POST', path: '/v1/parcels' });
    expect([statusCode, ((await body.json()) as ProblemDocument).code]).toEqual([422, 'validation-failed']);
  });
});

describe('a path that leads nowhere', () => {
  it('is a problem and not an error page', async () => {
    const { status, headers, problem } = await get('/v1/nowhere?secret=1');

    expect(status).toBe(404);
    expect(headers['content-type']).toContain(PROBLEM_MEDIA_TYPE);
    expect(problem).toEqual({
      type: 'urn:borough:problem:route-not-found',
      title: 'There is no such resource path',
      status: 404,
      code: 'route-not-found',
      retry: 'never',
      instance: '/v1/nowhere',
      requestId: headers['request-id'],
    });
  });

  it('is one too when only the method is wrong', async () => {
    const { statusCode, body } = await client.request({ method: 'DELETE', path: '/v1/parcels' });
    expect([statusCode, ((await body.json()) as ProblemDocument).code]).toEqual([404, 'route-not-found']);
  });

  it('is malformed when it cannot be decoded, and has a request id even then', async () => {
    const { status, headers, problem } = await get('/v1/%zz', { 'request-id': 'r2' });
    expect([status, problem.code, problem.requestId]).toEqual([400, 'malformed-request', 'r2']);
    expect(headers['request-id']).toBe('r2');
    expect(headers['content-type']).toContain(PROBLEM_MEDIA_TYPE);
  });
});

describe('what is not even a request', () => {
  it.each([
    ['garbage', 'garbage\r\n\r\n'],
    ['another protocol', 'SSH-2.0-OpenSSH_9.6\r\n'],
    ['two lengths', 'POST /v1/parcels HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n{}'],
    [
      'a length and chunks',
      'POST /v1/parcels HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n',
    ],
    ['a line end inside a header', 'GET /v1/parcels HTTP/1.1\r\nhost: x\r\nrequest-id: a\nb: c\r\n\r\n'],
    ['a head without end', `GET /v1/parcels HTTP/1.1\r\nhost: x\r\nx: ${'y'.repeat(100_000)}\r\n\r\n`],
  ])('is answered with a problem and the connection is closed: %s', async (_what, bytes) => {
    const { head, problem } = await raw(bytes);

    expect(head).toMatch(/^HTTP\/1\.1 400 Bad Request\r\n/);
    expect(head).toContain(`content-type: ${PROBLEM_MEDIA_TYPE}`);
    expect(head).toContain('connection: close');
    expect(problem).toMatchObject({ status: 400, code: 'malformed-request', retry: 'never' });
    expect(problem.requestId).toMatch(UUID);
    expect(head).toContain(`request-id: ${problem.requestId ?? ''}`);
  });

  it('leaves the process serving others', async () => {
    await raw('garbage\r\n\r\n');
    expect((await get('/v1/parcels')).status).toBe(200);
  });
});
