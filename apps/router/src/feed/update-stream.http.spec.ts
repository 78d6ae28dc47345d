import { once } from 'node:events';
import { Agent, createServer, get, type IncomingMessage, type Server } from 'node:http';
import { type AddressInfo } from 'node:net';
import { Notices, Readiness } from '@borough/server-kit';
import { pino } from 'pino';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { FakeCoordinator } from '../far-side.js';
import { LiveTable } from '../table/live-table.js';
import { PublishedTable } from './published-table.js';
import { UpdateStream } from './update-stream.js';

const CLIENTS = 1_000;

const logger = pino({ level: 'silent' });
const agent = new Agent();
let coordinator: FakeCoordinator;
let table: LiveTable;
let stream: UpdateStream;
let server: Server;
/** What was handed to the connections, piece by piece. */
let written: unknown[];

beforeEach(async () => {
  coordinator = await new FakeCoordinator().start();
  coordinator.addArea(1, '85196953fffffff', 'a');
  table = new LiveTable({
    coordinatorUrls: [coordinator.url],
    notices: new Notices('nats://127.0.0.1:1', 'spec', logger),
    readiness: new Readiness(),
    logger,
    pollEveryMs: 3_600_000,
    pollWithoutNoticesMs: 3_600_000,
  });
  table.start();
  await expect.poll(() => table.isKnown).toBe(true);
  const options = { maxClients: CLIENTS, maxBufferedBytes: 65_536, heartbeatEveryMs: 3_600_000 };
  stream = new UpdateStream(table, new PublishedTable(table, undefined), options);
  written = [];
  server = createServer((request, response) => {
    const write = response.write.bind(response);
    response.write = (chunk: unknown) => {
      written.push(chunk);
      return write(chunk);
    };
    stream.add(response, {}, request.headers['last-event-id']?.toString());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
});

afterEach(async () => {
  stream.stop();
  agent.destroy();
  server.closeAllConnections();
  server.close();
  await table.stop();
  await coordinator.kill();
});

async function listen(): Promise<IncomingMessage> {
  const asked = get({ port: (server.address() as AddressInfo).port, host: '127.0.0.1', agent });
  const [answer] = (await once(asked, 'response')) as [IncomingMessage];
  answer.on('error', () => undefined);
  return answer.resume();
}

it('a change is serialised once: every client is given the same buffer', async () => {
  await Promise.all(Array.from({ length: CLIENTS }, listen));
  written.length = 0;
  coordinator.say({ shard: 1, epoch: 2, state: 'serving', owner: 'b' });
  await table.refresh();
  await expect.poll(() => written.length).toBe(CLIENTS);

  expect(new Set(written).size).toBe(1);
});

it('what one snapshot brings is one event', async () => {
  await listen();
  written.length = 0;
  const changes = [2, 3, 4].map((epoch) => {
    coordinator.say({ shard: epoch, epoch: 1, state: 'serving', owner: 'b' });
    return table.refresh();
  });
  await Promise.all(changes);
  await expect.poll(() => written.length).toBe(1);

  expect(String(written[0])).toMatch(/"shard":2.*"shard":3.*"shard":4/);
});
