/** Opens the stores and registers the couriers of the days, once per cluster: their keys and bodies never change. */
import {
  IDEMPOTENCY_KEY_HEADER,
  TRAFFIC_TAG_HEADER,
  type OpenStoreRequest,
  type Place,
  type RegisterCourierRequest,
} from '@borough/contracts';
import { parseId } from '@borough/topology';
import { placeCell } from './areas.js';
import { placeKey, type CityDay } from './city-day.js';
import { type HttpEndpoint } from './http-endpoint.js';
import { inParallel } from './in-parallel.js';
import { SetUpFault, untilSettled } from './set-up-request.js';

/** A store to open: one per distinct pick-up point of a city. */
export interface PlannedStore {
  readonly name: string;
  readonly location: Place;
}

/** Ids of the stores by `storeName`. */
export type StoreIds = ReadonlyMap<string, string>;

export function storeName(city: string, pickUp: Place): string {
  return `${city} ${placeKey(pickUp)}`;
}

export function planStores(days: readonly CityDay[]): PlannedStore[] {
  const stores = new Map<string, PlannedStore>();
  for (const { city, orders } of days) {
    for (const { pickUp } of orders) {
      const name = storeName(city, pickUp);
      if (!stores.has(name)) stores.set(name, { name, location: pickUp });
    }
  }
  return [...stores.values()];
}

/** @param onOpened called after each, for progress */
export async function openStores(
  router: HttpEndpoint,
  stores: readonly PlannedStore[],
  atOnce: number,
  signal: AbortSignal,
  onOpened: () => void,
): Promise<StoreIds> {
  const ids = new Map<string, string>();
  await inParallel(stores, atOnce, signal, async ({ name, location }) => {
    const body: OpenStoreRequest = { name, location };
    const headers = headersFor(location, `replay-store-${name}`);
    const answer = await untilSettled(`opening store ${name}`, signal, () =>
      router.post('/v1/stores', headers, JSON.stringify(body)),
    );
    const id = idIn(answer);
    if (id === undefined || parseId(id)?.kind !== 'store') throw new SetUpFault(`store ${name} was given no store id`);
    ids.set(name, id);
    onOpened();
  });
  return ids;
}

/** @param onRegistered called after each, for progress */
export async function registerCouriers(
  router: HttpEndpoint,
  days: readonly CityDay[],
  atOnce: number,
  signal: AbortSignal,
  onRegistered: () => void,
): Promise<void> {
  const couriers = days.flatMap((day) => day.couriers);
  await inParallel(couriers, atOnce, signal, async ({ city, courierId, vehicle, location }) => {
    const name = `${city} courier ${courierId}`;
    const body: RegisterCourierRequest = { name, vehicle, location };
    // The place and vehicle are in the key because another made-up day (--seed) has other couriers of the same name.
    const headers = headersFor(location, `replay-${name} ${vehicle} ${placeKey(location)}`);
    await untilSettled(`registering ${name}`, signal, () => router.post('/v1/couriers', headers, JSON.stringify(body)));
    onRegistered();
  });
}

function headersFor(location: Place, key: string): Record<string, string> {
  return {
    [TRAFFIC_TAG_HEADER]: `geo:${placeCell(location)}`,
    [IDEMPOTENCY_KEY_HEADER]: key.replaceAll(' ', '-'),
  };
}

function idIn(body: unknown): string | undefined {
  if (typeof body !== 'object' || body === null || !('id' in body)) return undefined;
  return typeof body.id === 'string' ? body.id : undefined;
}
