import 'reflect-metadata';
import { BadRequestException, Controller, Get, Module, Res } from '@nestjs/common';
import { type NestFastifyApplication } from '@nestjs/platform-fastify';
import { type ProblemDocument } from '@borough/contracts';
import { type FastifyReply } from 'fastify';
import { pino } from 'pino';
import { type Dispatcher, request } from 'undici';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createHttpApp } from '../http/create-http-app.js';
import { metrics } from '../observe/metrics.js';
import { Problem } from './problem.js';

const SECRET = 'password=hunter2';

@Controller()
class FailingController {
  @Get('moving')
  moving(): void {
    throw new Problem('shard-moving', {
      detail: 'Shard 7 moves to zone b.',
      members: { shard: 7, owner: 'a', epoch: 3 },
      retryAfterSeconds: 2,
    });
  }

  @Get('plain')
  plain(): void {
    throw new Problem('order-not-found');
  }

  @Get('broken')
  broken(): void {
    throw new Error(`connect failed: ${SECRET}`, { cause: new Error(SECRET) });
  }

  @Get('wrapped')
  wrapped(): void {
    throw new Problem('internal-error', { cause: new Error(SECRET) });
  }

  @Get('text')
  text(): void {
    // eslint-disable-next-line @typescript-eslint/only-throw-error -- whatever a library throws
    throw SECRET;
  }

  @Get('later')
  async later(): Promise<void> {
    await Promise.resolve();
    throw new TypeError(SECRET);
  }

  @Get('nest')
  nest(): void {
    throw new BadRequestException('not like this');
  }

  @Get('answered')
  answered(@Res() reply: FastifyReply): void {
    void reply.send({ isFine: true });
    throw new Error(SECRET);
  }
}

@Module({ controllers: [FailingController] })
class FailingModule {}

interface LogLine {
  level: number;
  msg: string;
  requestId?: string;
  err?: { message: string };
}

const lines: LogLine[] = [];
let app: NestFastifyApplication;
let url: string;

beforeAll(async () => {
  const logger = pino({ level: 'warn' }, { write: (line: string) => void lines.push(JSON.parse(line) as LogLine) });
  app = await createHttpApp(FailingModule, { logger });
  await app.listen(0, '127.0.0.1');
  url = await app.getUrl();
});

afterAll(async () => {
  await app.close();
});

beforeEach(() => {
  lines.length = 0;
  metrics.resetMetrics();
});

interface Answer {
  status: number;
  headers: Dispatcher.ResponseData['headers'];
  text: string;
  problem: ProblemDocument;
}

async function get(path: string): Promise<Answer> {
  const { statusCode, headers, body } = await request(url + path, { headers: { 'request-id': 'r1' } });
  const text = await body.text();
  return { status: statusCode, headers, text, problem: JSON.parse(text) as ProblemDocument };
}

describe('a thrown Problem', () => {
  it('is answered with its status, its members beside the standard ones, and when to try again', async () => {
    const { status, headers, problem } = await get('/moving?a=1');

    expect(status).toBe(503);
    expect(headers['retry-after']).toBe('2');
    expect(problem).toEqual({
      type: 'urn:borough:problem:shard-moving',
      title: 'The shard is moving',
      status: 503,
      code: 'shard-moving',
      retry: 'same-request-later',
      detail: 'Shard 7 moves to zone b.',
      instance: '/moving',
      requestId: 'r1',
      shard: 7,
      owner: 'a',
      epoch: 3,
    });
  });

  it('without facts has neither detail nor Retry-After', async () => {
    const { status, headers, problem } = await get('/plain');

    expect(status).toBe(404);
    expect(headers).not.toHaveProperty('retry-after');
    expect(problem).not.toHaveProperty('detail');
  });

  it('is no line in the log: a refusal is not our fault', async () => {
    await get('/moving');
    expect(lines).toEqual([]);
  });
});

describe('anything else that is thrown', () => {
  it.each(['/broken', '/wrapped', '/text', '/later'])(
    'is an internal error, with nothing of the inner text on the wire and all of it in the log: %s',
    async (path) => {
      const { status, text, problem } = await get(path);

      expect(status).toBe(500);
      expect(problem).toEqual({
        type: 'urn:borough:problem:internal-error',
        title: 'Something went wrong on our side',
        status: 500,
        code: 'internal-error',
        retry: 'same-request-later',
        instance: path,
        requestId: 'r1',
      });
      expect(text).not.toContain(SECRET);
      expect(lines).toHaveLength(1);
      expect(lines[0]).toMatchObject({ level: 50, msg: 'request failed', requestId: 'r1' });
      expect(JSON.stringify(lines[0]?.err)).toContain(SECRET);
    },
  );

  it('after the answer has gone out changes nothing of it, and is in the log', async () => {
    const { status, text } = await get('/answered');

    expect([status, text]).toEqual([200, '{"isFine":true}']);
    expect(lines.map(({ level, msg }) => [level, msg])).toEqual([[50, 'request failed']]);
  });
});

it('what Nest refuses of its own accord is a malformed request', async () => {
  const { status, problem } = await get('/nest');

  expect([status, problem.code, problem.detail]).toEqual([400, 'malformed-request', 'not like this']);
});

it('every refusal is counted by its code', async () => {
  await get('/moving');
  await get('/moving');
  await get('/nowhere');
  await get('/broken');

  const { values } = (await metrics.getSingleMetric('borough_refusals_total')?.get()) ?? { values: [] };
  expect(Object.fromEntries(values.map(({ labels, value }) => [labels['code'], value]))).toEqual({
    'shard-moving': 2,
    'route-not-found': 1,
    'internal-error': 1,
  });
});
