/**
 * A made-up day of three invented cities, small enough for a laptop: what the replay uses without `--data`.
 *
 * It has the traits of a real day that matter to the backend: a few stores take most orders, lunch and dinner are
 * peaks, some orders are ready only after the promised time, and the last ones end after midnight.
 */
import { VEHICLES, type Place, type Vehicle } from '@borough/contracts';
import { DAY_MS, type CityDay, type CityOrder } from './city-day.js';
import { seededRandom } from './seeded-random.js';

const CITIES = [
  { city: 'alderton', centre: { latitude: 52.1, longitude: -1.9 }, orders: 300, stores: 24, couriers: 50 },
  { city: 'brackwater', centre: { latitude: 50.6, longitude: 4.4 }, orders: 200, stores: 16, couriers: 33 },
  { city: 'corvale', centre: { latitude: 46.9, longitude: 8.2 }, orders: 100, stores: 8, couriers: 17 },
] as const;

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const PEAKS_MS = [13 * HOUR_MS, 20 * HOUR_MS] as const;
const PEAK_SPREAD_MS = 2 * HOUR_MS;
const SPREAD_DEGREES = 0.06;

/** @param seed the same seed gives the same days, to the last digit */
export function generateCityDays(seed: number): CityDay[] {
  const random = seededRandom(seed);
  return CITIES.map(({ city, centre, orders, stores, couriers }) => {
    const pickUps = Array.from({ length: stores }, () => around(centre, random));
    return {
      city,
      orders: Array.from({ length: orders }, () => draftOrder(pickUps, centre, random))
        .sort((one, other) => one.placedAtMs - other.placedAtMs)
        .map((draft, index): CityOrder => ({ city, orderId: String(index + 1), ...draft })),
      couriers: Array.from({ length: couriers }, (_, index) => ({
        city,
        courierId: String(index + 1),
        vehicle: pick<Vehicle>(VEHICLES, random()),
        location: around(centre, random),
        onDutyAtMs: Math.floor(random() * 12) * HOUR_MS,
      })),
    };
  });
}

function draftOrder(
  pickUps: readonly Place[],
  centre: Place,
  random: () => number,
): Omit<CityOrder, 'city' | 'orderId'> {
  const peakMs = pick(PEAKS_MS, random());
  const wholeSeconds = Math.round((peakMs + bell(random) * PEAK_SPREAD_MS) / 1000);
  const placedAtMs = Math.min(Math.max(wholeSeconds * 1000, 0), DAY_MS - 1000);
  return {
    // The square makes the first stores the popular ones.
    pickUp: pick(pickUps, random() ** 2),
    dropOff: around(centre, random),
    placedAtMs,
    readyAtMs: placedAtMs + Math.round(8 + random() * 30) * MINUTE_MS,
    expectedDropOffAtMs: placedAtMs + 30 * MINUTE_MS,
  };
}

function around(centre: Place, random: () => number): Place {
  return {
    latitude: sixDecimals(centre.latitude + bell(random) * SPREAD_DEGREES),
    longitude: sixDecimals(centre.longitude + bell(random) * SPREAD_DEGREES),
  };
}

/** Between -2 and 2, mostly near 0: close enough to a bell curve, without its endless tails. */
function bell(random: () => number): number {
  return random() + random() + random() + random() - 2;
}

function sixDecimals(degrees: number): number {
  return Math.round(degrees * 1e6) / 1e6;
}

/** @param share in [0, 1) */
function pick<Item>(items: readonly [Item, ...Item[]] | readonly Item[], share: number): Item {
  const item = items[Math.floor(share * items.length)];
  if (item === undefined) throw new RangeError('nothing to pick from');
  return item;
}
