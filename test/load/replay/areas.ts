/**
 * The areas of the replay: one per H3 cell of resolution 5 (some 250 km²) that holds a pick-up or a courier.
 *
 * A cell belongs to one area in the whole cluster, so it is made once even where two cities' places share it (couriers
 * do come on duty in another city), and a cell that an earlier replay, or anyone, made an area of is used as it is.
 */
import { areaMapView, createdArea, TRAFFIC_TAG_HEADER, type CreateAreaRequest, type Place } from '@borough/contracts';
import { buildAreaMap, cellOfPlace, newUuid, shardOfCell, toId, type ShardNumber } from '@borough/topology';
import { cellToParent } from 'h3-js';
import { waitUntil } from '../../../infra/local/wait-until.js';
import { type CityDay } from './city-day.js';
import { errorCode, type HttpEndpoint } from './http-endpoint.js';
import { SetUpFault, untilSettled } from './set-up-request.js';

const AREA_RESOLUTION = 5;
const ROUTER_SERVES_WITHIN_MS = 30_000;

/** An area to be, with how much of the day happens in it. */
export interface PlannedArea {
  readonly name: string;
  readonly cell: string;
  readonly orders: number;
  readonly couriers: number;
}

export interface Area extends PlannedArea {
  readonly shard: ShardNumber;
}

/**
 * The areas the days need, the busiest first: the coordinator gives each new shard to the zone with the fewest, so the
 * busy ones spread over the zones. Named after the city with most places in the cell.
 */
export function planAreas(days: readonly CityDay[]): PlannedArea[] {
  const drafts = new Map<string, { orders: number; couriers: number; placesByCity: Map<string, number> }>();
  const draftAt = (place: Place, city: string) => {
    const cell = cellToParent(placeCell(place), AREA_RESOLUTION);
    const draft = drafts.get(cell) ?? { orders: 0, couriers: 0, placesByCity: new Map<string, number>() };
    draft.placesByCity.set(city, (draft.placesByCity.get(city) ?? 0) + 1);
    drafts.set(cell, draft);
    return draft;
  };
  for (const { city, orders, couriers } of days) {
    for (const { pickUp } of orders) draftAt(pickUp, city).orders += 1;
    for (const { location } of couriers) draftAt(location, city).couriers += 1;
  }
  return [...drafts]
    .map(([cell, { orders, couriers, placesByCity }]) => {
      const [mostPlaces] = [...placesByCity].sort((one, other) => other[1] - one[1] || compare(one[0], other[0]));
      return { name: `${mostPlaces?.[0] ?? ''} ${cell}`, cell, orders, couriers };
    })
    .sort((one, other) => other.orders - one.orders || other.couriers - one.couriers || compare(one.cell, other.cell));
}

/**
 * Makes the planned areas that no area covers yet, in their order.
 *
 * @returns all of them, with their shards, and how many are new
 * @throws SetUpFault when one cannot be made, such as when an area with finer cells overlaps it
 */
export async function createAreas(
  coordinators: readonly HttpEndpoint[],
  planned: readonly PlannedArea[],
  signal: AbortSignal,
): Promise<{ areas: Area[]; made: number }> {
  const coordinator = inTurn(coordinators);
  const known = await untilSettled('reading the area map', signal, () => coordinator().get('/v1/area-map'));
  const areaMap = buildAreaMap(areaMapView.parse(known).areas);
  const areas: Area[] = [];
  let made = 0;
  for (const area of planned) {
    signal.throwIfAborted();
    const shard = shardOfCell(areaMap, area.cell) ?? (await createArea(coordinator, area, signal));
    if (!areaMap.areas.has(shard)) made += 1;
    areas.push({ ...area, shard });
  }
  return { areas, made };
}

/**
 * Waits until a request tagged with each area reaches a zone: reading a store that nobody ever opened must be answered
 * by a zone, which knows no such store, and not by the router, which knows no such area.
 *
 * @throws SetUpFault naming an area that is still not served when the bound is over
 */
export async function waitForRouter(router: HttpEndpoint, areas: readonly Area[], signal: AbortSignal): Promise<void> {
  let last = '';
  const waiting = [...areas];
  const areServed = async () => {
    for (let area = waiting.at(-1); area !== undefined; area = waiting.at(-1)) {
      const noStore = toId(
        'store',
        newUuid(area.shard, 0, () => new Uint8Array(16)),
      );
      const answer = await router.get(`/v1/stores/${noStore}`, { [TRAFFIC_TAG_HEADER]: `geo:${area.cell}` });
      if (answer.kind !== 'refused' || answer.code !== 'store-not-found') {
        last = `${area.name}: ${answer.kind === 'ok' ? 'an answer nobody expects' : errorCode(answer)}`;
        return false;
      }
      waiting.pop();
    }
    return true;
  };
  const isReady = await waitUntil(areServed, { withinMs: ROUTER_SERVES_WITHIN_MS, everyMs: 100, signal });
  if (!isReady) throw new SetUpFault(`the router at ${router.url} does not serve area ${last}, after 30 s`);
}

/** The cell a place is tagged by: `geo:<cell>`. */
export function placeCell(place: Place): string {
  const cell = cellOfPlace(place.latitude, place.longitude);
  if (cell === undefined) throw new RangeError(`${place.latitude}, ${place.longitude} is no place`);
  return cell;
}

async function createArea(
  coordinator: () => HttpEndpoint,
  area: PlannedArea,
  signal: AbortSignal,
): Promise<ShardNumber> {
  const body: CreateAreaRequest = { name: area.name, cells: [area.cell] };
  const made = await untilSettled(`making area ${area.name}`, signal, () =>
    coordinator().post('/ops/v1/areas', {}, JSON.stringify(body)),
  );
  return createdArea.parse(made).shard;
}

/** Another one for each try: only the one that leads makes areas, and which that is changes. */
function inTurn(endpoints: readonly HttpEndpoint[]): () => HttpEndpoint {
  let asked = 0;
  return () => {
    const endpoint = endpoints[asked % endpoints.length];
    if (endpoint === undefined) throw new SetUpFault('the cluster has no coordinator');
    asked += 1;
    return endpoint;
  };
}

function compare(one: string, other: string): number {
  return one < other ? -1 : 1;
}
