/** What the status says of a zone with a new disk: over HTTP, of three real databases. */
import 'reflect-metadata';
import { type AddressInfo } from 'node:net';
import { type NestFastifyApplication } from '@nestjs/platform-fastify';
import { type ZoneStatus, zonesView } from '@borough/contracts';
import { request } from 'undici';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { createZoneDatabase } from '../../../../test/support/databases.js';
import { startCoordinator } from '../coordinator.js';
import { ThreeVoters } from '../voters/three-voters.js';

const PATIENT = { timeout: 10_000, interval: 20 };

let three: ThreeVoters;
let app: NestFastifyApplication;

beforeEach(async () => {
  three = await ThreeVoters.start(createZoneDatabase);
  app = await startCoordinator({
    COORDINATOR_ID: 'c1',
    HTTP_HOST: '127.0.0.1',
    HTTP_PORT: 0,
    // Nobody listens there: a coordinator does without notices.
    NATS_URL: 'nats://127.0.0.1:1',
    VOTER_DATABASE_URLS: three.urls(),
    READ_EVERY_MS: 50,
    ZONE_URLS: new Map(),
    FAILOVER_POLICY: 'manual',
    FAILOVER_BACK_OFF_MS: 60_000,
    LOG_LEVEL: 'silent',
  });
});

afterEach(async () => {
  await app.close();
  await three.stop();
});

it('its database answers and has no say, until it has learnt what was voted', async () => {
  await expect.poll(async () => (await statusOf('c')).isVoting, PATIENT).toBe(true);
  await three.query('c', 'UPDATE control.voter SET is_voting = false');

  await expect
    .poll(() => statusOf('c'), PATIENT)
    .toMatchObject({ isDatabaseReachable: true, isVoting: false, waitsFor: [] });
  expect(await statusOf('a')).toMatchObject({ isVoting: true });

  await three.query('c', 'UPDATE control.voter SET is_voting = true');
  await expect.poll(async () => (await statusOf('c')).isVoting, PATIENT).toBe(true);
});

async function statusOf(zone: string): Promise<ZoneStatus> {
  const { port } = app.getHttpServer().address() as AddressInfo;
  const { body } = await request(`http://127.0.0.1:${port}/ops/v1/zones`);
  const status = zonesView.parse(await body.json()).zones.find((candidate) => candidate.zone === zone);
  if (status === undefined) throw new Error(`zone ${zone} is not in the view`);
  return status;
}
