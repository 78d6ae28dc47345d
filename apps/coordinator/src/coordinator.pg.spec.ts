import 'reflect-metadata';
import { type AddressInfo } from 'node:net';
import { type NestFastifyApplication } from '@nestjs/platform-fastify';
import { type AreaMapView, type CreatedArea, type ProblemDocument, type RoutingSnapshot } from '@borough/contracts';
import { type Dispatcher, request } from 'undici';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { createZoneDatabase } from '../../../test/support/databases.js';
import { startCoordinator } from './coordinator.js';
import { ThreeVoters, type Zone } from './voters/three-voters.js';

const CENTRE = { name: 'Centre', cells: ['85196953fffffff'], zone: 'b' };

let three: ThreeVoters;
let app: NestFastifyApplication;
let url: string;

beforeAll(async () => {
  three = await ThreeVoters.start(createZoneDatabase);
});

beforeEach(async () => {
  await start('c1');
  await vi.waitFor(async () => {
    expect((await get('/health/ready')).status).toBe(200);
  });
});

afterEach(async () => {
  await app.close();
  await three.clear();
});

afterAll(async () => {
  await three.stop();
});

async function start(id: string, ...away: Zone[]): Promise<void> {
  app = await startCoordinator({
    COORDINATOR_ID: id,
    HTTP_HOST: '127.0.0.1',
    HTTP_PORT: 0,
    // Nobody listens there: a coordinator does without notices.
    NATS_URL: 'nats://127.0.0.1:1',
    VOTER_DATABASE_URLS: three.urls(...away),
    READ_EVERY_MS: 50,
    ZONE_URLS: new Map(),
    FAILOVER_POLICY: 'manual',
    FAILOVER_BACK_OFF_MS: 60_000,
    LOG_LEVEL: 'silent',
  });
  url = `http://127.0.0.1:${(app.getHttpServer().address() as AddressInfo).port}`;
}

interface Answer<Body> {
  status: number;
  headers: Dispatcher.ResponseData['headers'];
  body: Body;
}

async function get<Body>(path: string, headers: Record<string, string> = {}): Promise<Answer<Body | undefined>> {
  const { statusCode, headers: answered, body } = await request(url + path, { headers });
  const text = await body.text();
  return { status: statusCode, headers: answered, body: text === '' ? undefined : (JSON.parse(text) as Body) };
}

async function createArea<Body = CreatedArea>(area: object): Promise<Answer<Body>> {
  const { statusCode, headers, body } = await request(`${url}/ops/v1/areas`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(area),
  });
  return { status: statusCode, headers, body: (await body.json()) as Body };
}

describe('adding an area', () => {
  it('is answered with 201 and the area, and is in the table and the map by then', async () => {
    const { status, body } = await createArea(CENTRE);

    expect(status).toBe(201);
    expect(body).toEqual({ shard: 0, ...CENTRE });
    expect((await get<RoutingSnapshot>('/v1/routing')).body).toEqual({
      tableVersion: 5,
      areaMapVersion: 1,
      entries: [{ shard: 0, epoch: 1, state: 'serving', owner: 'b' }],
    });
    expect((await get<AreaMapView>('/v1/area-map')).body).toEqual({
      areaMapVersion: 1,
      areas: [{ shard: 0, name: 'Centre', cells: CENTRE.cells }],
    });
  });

  it('that is there already is answered with 200 and the same', async () => {
    const first = await createArea(CENTRE);
    const second = await createArea(CENTRE);

    expect([second.status, second.body]).toEqual([200, first.body]);
  });

  it.each([
    ['no name', { cells: CENTRE.cells }, 'name'],
    ['an empty name', { ...CENTRE, name: '' }, 'name'],
    ['no cells', { ...CENTRE, cells: [] }, 'cells'],
    ['something that is no cell', { ...CENTRE, cells: ['85196953fffffff', 'centre'] }, 'cells.1'],
    ['a zone that there is not', { ...CENTRE, zone: 'd' }, 'zone'],
    ['a member nobody knows', { ...CENTRE, colour: 'red' }, ''],
  ])('with %s is refused, and the fault is named', async (_what, area, path) => {
    const { status, body } = await createArea<ProblemDocument>(area);

    expect([status, body.code]).toEqual([422, 'validation-failed']);
    expect(body.errors?.map((error) => error.path)).toEqual([path]);
  });

  it('that overlaps is refused for good, and the other area is named', async () => {
    await createArea(CENTRE);
    const { status, body } = await createArea<ProblemDocument>({ ...CENTRE, name: 'Other' });

    expect([status, body.code, body.retry, body['shard']]).toEqual([409, 'area-overlaps', 'never', 0]);
    expect(body.detail).toContain('"Centre"');
  });
});

describe.each(['/v1/routing', '/v1/area-map'])('the snapshot at %s', (path) => {
  it('is not sent again to whoever has it, until it changes', async () => {
    const first = await get(path);
    const etag = String(first.headers['etag']);
    const same = await get(path, { 'if-none-match': etag });
    await createArea(CENTRE);
    const changed = await get(path, { 'if-none-match': etag });

    expect([first.status, first.headers['cache-control']]).toEqual([200, 'no-cache']);
    expect([same.status, same.body, same.headers['etag']]).toEqual([304, undefined, etag]);
    expect(changed.status).toBe(200);
    expect(changed.headers['etag']).not.toBe(etag);
  });
});

describe('another coordinator', () => {
  it('publishes what the one that leads did, writes nothing while that lives, and leads when it is gone', async () => {
    await createArea(CENTRE);
    const first = app;
    await start('c2');
    await vi.waitFor(async () => {
      expect((await get<RoutingSnapshot>('/v1/routing')).body?.entries).toHaveLength(1);
    });
    const refused = await createArea<ProblemDocument>({ name: 'North', cells: ['851f1d4bfffffff'] });
    await first.close();
    const { status, body } = await vi.waitFor(async () => {
      const created = await createArea({ name: 'North', cells: ['851f1d4bfffffff'] });
      expect(created.status).toBe(201);
      return created;
    }, 5_000);

    expect([refused.status, refused.body.code, refused.body.retry]).toEqual([503, 'not-leader', 'same-request-later']);
    expect(refused.body['leader']).toMatch(/^c1\./);
    expect([status, body.shard]).toEqual([201, 1]);
  });
});

describe('without a majority of voters', () => {
  beforeEach(async () => {
    await app.close();
    await start('c1', 'a', 'b');
  });

  it('a coordinator lives, is not ready, and refuses for now', async () => {
    const ready = await get<object>('/health/ready');
    const routing = await get<ProblemDocument>('/v1/routing');
    // Until it has asked them all it says that another one may know.
    const area = await vi.waitFor(async () => {
      const asked = await createArea<ProblemDocument>(CENTRE);
      expect(asked.body.code).not.toBe('not-leader');
      return asked;
    }, 5_000);

    expect((await get('/health/live')).status).toBe(200);
    expect([ready.status, ready.body]).toEqual([
      503,
      {
        status: 'not ready',
        waitingFor: {
          voters: 'no majority of voters has been read yet',
          leader: 'no coordinator is known to lead',
        },
      },
    ]);
    expect([routing.status, routing.body?.code, routing.headers['retry-after']]).toEqual([503, 'no-majority', '1']);
    expect([area.status, area.body.code]).toEqual([503, 'no-majority']);
  });
});
