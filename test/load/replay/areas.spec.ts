import { type Place } from '@borough/contracts';
import { buildAreaMap, shardOfCell, shardOfPlace } from '@borough/topology';
import { cellToParent, latLngToCell } from 'h3-js';
import { afterEach, describe, expect, it } from 'vitest';
import { createAreas, planAreas, placeCell, waitForRouter } from './areas.js';
import { type CityDay } from './city-day.js';
import { startFakeRouter, type FakeRouter, type ReceivedRequest } from './fake-router.js';
import { generateCityDays } from './generate-city-day.js';
import { HttpEndpoint } from './http-endpoint.js';

const NEVER = new AbortController().signal;
const CENTRE = { latitude: 4.6, longitude: -74.1 };
const FAR = { latitude: 3.4, longitude: -76.5 };

let router: FakeRouter | undefined;
let endpoint: HttpEndpoint | undefined;

afterEach(async () => {
  await endpoint?.close();
  await router?.close();
});

async function against(answer: (request: ReceivedRequest) => { status: number; json: unknown }): Promise<HttpEndpoint> {
  router = await startFakeRouter(answer);
  endpoint = new HttpEndpoint(router.url, 4);
  return endpoint;
}

function dayOf(city: string, pickUps: readonly Place[], couriers: readonly Place[] = []): CityDay {
  const times = { placedAtMs: 0, readyAtMs: 0, expectedDropOffAtMs: 0 };
  return {
    city,
    orders: pickUps.map((pickUp, index) => ({ city, orderId: String(index), pickUp, dropOff: CENTRE, ...times })),
    couriers: couriers.map((location, index) => ({
      city,
      courierId: String(index),
      vehicle: 'car',
      location,
      onDutyAtMs: 0,
    })),
  };
}

function cell(place: Place): string {
  return cellToParent(placeCell(place), 5);
}

/** A place whose cell of resolution 9 is a child of another cell of resolution 5 than the one it lies in. */
function placeNearBorder(): Place {
  for (let step = 0; step < 10_000; step += 1) {
    const place = { latitude: 4.5 + step / 10_000, longitude: -74.1 };
    if (cell(place) !== latLngToCell(place.latitude, place.longitude, 5)) return place;
  }
  throw new Error('no such place on the way');
}

describe('planning areas', () => {
  it('makes one per cell, the busiest first, named after the city with most places there', () => {
    const planned = planAreas([dayOf('small', [CENTRE, FAR, FAR]), dayOf('big', [CENTRE], [CENTRE, CENTRE])]);
    expect(planned.slice(0, 2)).toEqual([
      { name: `big ${cell(CENTRE)}`, cell: cell(CENTRE), orders: 2, couriers: 2 },
      { name: `small ${cell(FAR)}`, cell: cell(FAR), orders: 2, couriers: 0 },
    ]);
  });

  it('needs no area for drop-offs', () => {
    expect(planAreas([dayOf('x', [FAR])]).map((area) => area.cell)).not.toContain(cell(CENTRE));
  });

  it('covers every place and every tag of a day, and they agree', () => {
    const days = [...generateCityDays(3), dayOf('border', [placeNearBorder()])];
    const planned = planAreas(days);
    const areaMap = buildAreaMap(planned.map(({ name, cell }, shard) => ({ shard, name, cells: [cell] })));
    const places = days.flatMap((day) => [...day.orders.map((o) => o.pickUp), ...day.couriers.map((c) => c.location)]);
    for (const place of places) {
      const shard = shardOfPlace(areaMap, place.latitude, place.longitude);
      expect(shard).toBeDefined();
      expect(shardOfCell(areaMap, placeCell(place))).toBe(shard);
    }
  });
});

describe('creating areas', () => {
  it('leaves the cells that an area covers already, and makes the others in their order', async () => {
    const planned = planAreas([dayOf('x', [CENTRE, CENTRE, FAR])]);
    const coarse = cellToParent(cell(CENTRE), 4);
    const coordinator = await against(({ method, body }) =>
      method === 'GET'
        ? { status: 200, json: { areaMapVersion: 1, areas: [{ shard: 1, name: 'there', cells: [coarse] }] } }
        : { status: 201, json: { shard: 2, zone: 'a', ...(JSON.parse(body) as object) } },
    );
    const wanted = planned.filter((area) => cellToParent(area.cell, 4) !== coarse);
    const { areas, made } = await createAreas([coordinator], planned, NEVER);
    expect(made).toBe(wanted.length);
    expect(areas.map((area) => [area.cell, area.shard])).toEqual([
      [cell(CENTRE), 1],
      [cell(FAR), 2],
    ]);
    const posted = router?.requests.filter(({ method }) => method === 'POST').map(({ body }) => body);
    expect(posted).toEqual(wanted.map(({ name, cell }) => JSON.stringify({ name, cells: [cell] })));
  });

  it('tells why the coordinator refused', async () => {
    const coordinator = await against(({ method }) =>
      method === 'GET'
        ? { status: 200, json: { areaMapVersion: 0, areas: [] } }
        : { status: 409, json: { code: 'area-overlaps', detail: 'Area y has some.' } },
    );
    const planned = planAreas([dayOf('x', [FAR])]);
    await expect(createAreas([coordinator], planned, NEVER)).rejects.toThrow(
      `making area x ${cell(FAR)} failed with http 409 area-overlaps: Area y has some.`,
    );
  });
});

describe('waiting for the router', () => {
  const area = { name: 'x', cell: cell(FAR), orders: 1, couriers: 0, shard: 3 };

  it('ends when a zone answers for each area, and not the router', async () => {
    const codes = ['area-not-served', 'zone-unavailable', 'store-not-found'];
    const endpoint = await against(() => ({ status: 404, json: { code: codes.shift() } }));
    await waitForRouter(endpoint, [area], NEVER);
    expect(codes).toEqual([]);
    expect(router?.requests[0]?.headers['traffic-tag']).toBe(`geo:${area.cell}`);
  });

  it('ends at once when the replay is interrupted', async () => {
    const interruption = new AbortController();
    const endpoint = await against(() => {
      interruption.abort();
      return { status: 404, json: { code: 'area-not-served' } };
    });
    await expect(waitForRouter(endpoint, [area], interruption.signal)).rejects.toThrow('aborted');
  });
});
