import 'reflect-metadata';
import { Controller, Get, Module, Post } from '@nestjs/common';
import { type NestFastifyApplication } from '@nestjs/platform-fastify';
import { type ProblemDocument } from '@borough/contracts';
import { pino } from 'pino';
import { request } from 'undici';
import { afterAll, afterEach, beforeAll, expect, it, vi } from 'vitest';
import { createHttpApp } from './create-http-app.js';
import { DeadlineInterceptor } from './deadline.interceptor.js';

/** Handlers that answer when the test lets them. */
const waiting: (() => void)[] = [];

function untilLetGo(): Promise<object> {
  return new Promise((resolve) => {
    waiting.push(() => {
      resolve({ isDone: true });
    });
  });
}

@Controller()
class SlowController {
  @Post('slow')
  write(): Promise<object> {
    return untilLetGo();
  }

  @Get('slow')
  read(): Promise<object> {
    return untilLetGo();
  }

  @Get('quick')
  quick(): object {
    return { isDone: true };
  }
}

@Module({ controllers: [SlowController] })
class SlowModule {}

const logged = vi.fn();
let app: NestFastifyApplication;
let url: string;

beforeAll(async () => {
  app = await createHttpApp(SlowModule, { logger: pino({ level: 'warn' }, { write: logged }) });
  app.useGlobalInterceptors(new DeadlineInterceptor(50));
  await app.listen(0, '127.0.0.1');
  url = await app.getUrl();
});

afterEach(() => {
  for (const letGo of waiting.splice(0)) letGo();
});

afterAll(async () => {
  await app.close();
});

async function send(
  method: 'GET' | 'POST',
  path: string,
): Promise<{ status: number; retryAfter: unknown; code: unknown }> {
  const { statusCode, headers, body } = await request(url + path, { method });
  const { code } = (await body.json()) as ProblemDocument;
  return { status: statusCode, retryAfter: headers['retry-after'], code };
}

it('a write that is late has an unknown outcome, and may be sent again with the same key', async () => {
  expect(await send('POST', '/slow')).toEqual({ status: 504, retryAfter: '1', code: 'outcome-unknown' });
});

it('a read that is late changed nothing: it is only refused', async () => {
  expect(await send('GET', '/slow')).toEqual({ status: 503, retryAfter: '1', code: 'overloaded' });
  const { statusCode } = await request(`${url}/slow`, { method: 'HEAD' });
  expect(statusCode).toBe(503);
});

it('a handler that ends after its deadline changes nothing of the answer, and is no fault', async () => {
  const answer = await send('POST', '/slow');
  for (const letGo of waiting.splice(0)) letGo();

  expect(answer.code).toBe('outcome-unknown');
  expect((await send('GET', '/quick')).status).toBe(200);
  expect(logged).not.toHaveBeenCalled();
});

it('an answer in time is left alone', async () => {
  const { statusCode, body } = await request(`${url}/quick`);
  expect([statusCode, await body.json()]).toEqual([200, { isDone: true }]);
});
