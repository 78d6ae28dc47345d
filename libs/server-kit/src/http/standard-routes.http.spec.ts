import 'reflect-metadata';
import { Module } from '@nestjs/common';
import { type NestFastifyApplication } from '@nestjs/platform-fastify';
import { pino } from 'pino';
import { request } from 'undici';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Readiness } from '../lifecycle/readiness.js';
import { createHttpApp } from './create-http-app.js';
import { addStandardRoutes } from './standard-routes.js';

@Module({})
class EmptyModule {}

const readiness = new Readiness();
let app: NestFastifyApplication;
let url: string;

beforeAll(async () => {
  app = await createHttpApp(EmptyModule, { logger: pino({ level: 'silent' }) });
  addStandardRoutes(app, readiness, () => ({ openapi: '3.1.0' }));
  await app.listen(0, '127.0.0.1');
  url = await app.getUrl();
});

afterAll(async () => {
  await app.close();
});

async function get(path: string): Promise<{ status: number; contentType: unknown; text: string }> {
  const { statusCode, headers, body } = await request(url + path);
  return { status: statusCode, contentType: headers['content-type'], text: await body.text() };
}

it('a process is live as soon as it answers, ready or not', async () => {
  readiness.wait('routing', 'no table yet');

  const { status, text } = await get('/health/live');

  expect([status, text]).toEqual([200, '{"status":"live"}']);
});

it('a process that waits for something says so and takes no traffic, until it has it', async () => {
  readiness.wait('routing', 'no table yet');
  const before = await get('/health/ready');
  readiness.done('routing');
  const after = await get('/health/ready');

  expect(before.status).toBe(503);
  expect(JSON.parse(before.text)).toEqual({ status: 'not ready', waitingFor: { routing: 'no table yet' } });
  expect([after.status, after.text]).toEqual([200, '{"status":"ready"}']);
});

it('what a process counts is there for Prometheus to read', async () => {
  await get('/nowhere');

  const { status, contentType, text } = await get('/metrics');

  expect(status).toBe(200);
  expect(contentType).toContain('text/plain; version=0.0.4');
  expect(text).toContain('borough_refusals_total{code="route-not-found"} 1');
});

it('what a process offers is there as OpenAPI', async () => {
  const { status, contentType, text } = await get('/openapi.json');

  expect([status, text]).toEqual([200, '{"openapi":"3.1.0"}']);
  expect(contentType).toContain('application/json');
});
