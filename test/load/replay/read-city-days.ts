/**
 * City-days from a directory: `DIR/<city>/orders.csv` and `DIR/<city>/couriers.csv`.
 *
 * Whatever would make the day another day than the one on disk (a missing file or column, an unknown city) is a
 * fault, and all faults are told at once. A malformed row is named and skipped.
 */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { VEHICLES, type Place, type Vehicle } from '@borough/contracts';
import { atOrAfter, type CityCourier, type CityDay, type CityOrder } from './city-day.js';
import { readTable, RowFault, type Row, type SkippedRow } from './csv-table.js';

const ORDER_COLUMNS = [
  'order_id',
  'pick_up_lat',
  'pick_up_lng',
  'drop_off_lat',
  'drop_off_lng',
  'placement_time',
  'preparation_time',
  'ready_time',
  'expected_drop_off_time',
] as const;
const COURIER_COLUMNS = ['courier_id', 'vehicle', 'on_lat', 'on_lng', 'on_time', 'off_time'] as const;

/** Cities and ids become part of idempotency keys and names, so they are kept to what every header may carry. */
const PLAIN_NAME = /^[\w.-]{1,64}$/;
const DECIMAL = /^[+-]?\d+(\.\d+)?(e[+-]?\d+)?$/i;
const TIME_OF_DAY = /^([01]\d|2[0-3]):([0-5]\d):([0-5]\d)$/;

export type CityDaysReading =
  | { readonly kind: 'read'; readonly days: CityDay[]; readonly skipped: SkippedRow[] }
  | { readonly kind: 'faults'; readonly faults: string[] };

/** @param wanted the cities to read; undefined for all there are */
export async function readCityDays(directory: string, wanted: readonly string[] | undefined): Promise<CityDaysReading> {
  const present = await citiesIn(directory);
  if (typeof present === 'string') return { kind: 'faults', faults: [present] };
  const unknown = wanted?.filter((city) => !present.includes(city)) ?? [];
  if (unknown.length > 0) {
    const fault = `${directory} has no city ${unknown.join(', ')}: --cities may name ${present.join(', ')}`;
    return { kind: 'faults', faults: [fault] };
  }

  const days: CityDay[] = [];
  const skipped: SkippedRow[] = [];
  const faults: string[] = [];
  for (const city of wanted ?? present) {
    const ordersFile = join(directory, city, 'orders.csv');
    const orders = await readTable(
      ordersFile,
      ORDER_COLUMNS,
      (row) => toOrder(city, row),
      (order) => order.orderId,
    );
    const couriers = await readTable(
      join(directory, city, 'couriers.csv'),
      COURIER_COLUMNS,
      (row) => toCourier(city, row),
      (courier) => courier.courierId,
    );
    for (const table of [orders, couriers]) {
      if (table.kind === 'fault') faults.push(table.fault);
      else skipped.push(...table.skipped);
    }
    if (orders.kind === 'fault' || couriers.kind === 'fault') continue;
    if (orders.entries.length === 0) faults.push(noOrders(ordersFile, orders.skipped[0]));
    days.push({ city, orders: orders.entries, couriers: couriers.entries });
  }
  return faults.length > 0 ? { kind: 'faults', faults } : { kind: 'read', days, skipped };
}

/** The names of the cities by name, or what is wrong with the directory. */
async function citiesIn(directory: string): Promise<string[] | string> {
  try {
    const entries = await readdir(directory, { withFileTypes: true });
    if (entries.some((entry) => entry.isFile() && entry.name === 'orders.csv')) {
      return `${directory} is one city: name the directory above it, and the city with --cities`;
    }
    const cities = entries
      .filter((entry) => (entry.isDirectory() || entry.isSymbolicLink()) && PLAIN_NAME.test(entry.name))
      .map((entry) => entry.name)
      .filter((name) => !name.startsWith('.'))
      .sort();
    return cities.length > 0 ? cities : `${directory} holds no city: --data DIR needs DIR/<city>/orders.csv`;
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : String(error);
    return `${directory} cannot be read (${code}): --data must name a directory of cities; leave it out for a made-up day`;
  }
}

function noOrders(file: string, firstSkipped: SkippedRow | undefined): string {
  const why = firstSkipped === undefined ? 'it has a header only' : `line ${firstSkipped.line}: ${firstSkipped.reason}`;
  return `${file} holds no usable order: ${why}`;
}

function toOrder(city: string, row: Row<(typeof ORDER_COLUMNS)[number]>): CityOrder {
  const placedAtMs = timeOfDay(row, 'placement_time');
  timeOfDay(row, 'preparation_time'); // not replayed yet: the kitchen is not part of the slice
  return {
    city,
    orderId: plainId(row, 'order_id'),
    pickUp: place(row, 'pick_up_lat', 'pick_up_lng'),
    dropOff: place(row, 'drop_off_lat', 'drop_off_lng'),
    placedAtMs,
    readyAtMs: atOrAfter(placedAtMs, timeOfDay(row, 'ready_time')),
    expectedDropOffAtMs: atOrAfter(placedAtMs, timeOfDay(row, 'expected_drop_off_time')),
  };
}

function toCourier(city: string, row: Row<(typeof COURIER_COLUMNS)[number]>): CityCourier {
  timeOfDay(row, 'off_time'); // not replayed yet: couriers stay registered
  return {
    city,
    courierId: plainId(row, 'courier_id'),
    vehicle: vehicle(row.vehicle),
    location: place(row, 'on_lat', 'on_lng'),
    onDutyAtMs: timeOfDay(row, 'on_time'),
  };
}

function plainId<Column extends string>(row: Row<Column>, column: Column): string {
  const text = row[column];
  if (!PLAIN_NAME.test(text)) throw new RowFault(`${column} ${quoted(text)} is not 1 to 64 of a-z A-Z 0-9 _ . -`);
  return text;
}

function place<Column extends string>(row: Row<Column>, latitude: Column, longitude: Column): Place {
  return { latitude: degrees(row, latitude, 90), longitude: degrees(row, longitude, 180) };
}

function degrees<Column extends string>(row: Row<Column>, column: Column, most: number): number {
  const text = row[column];
  if (!DECIMAL.test(text)) throw new RowFault(`${column} ${quoted(text)} is not a number`);
  const value = Number(text);
  if (Math.abs(value) > most) throw new RowFault(`${column} ${quoted(text)} is not within ±${most}`);
  return value;
}

function timeOfDay<Column extends string>(row: Row<Column>, column: Column): number {
  const text = row[column];
  const [, hours, minutes, seconds] = TIME_OF_DAY.exec(text) ?? [];
  if (hours === undefined) throw new RowFault(`${column} ${quoted(text)} is not HH:MM:SS of one day`);
  return ((Number(hours) * 60 + Number(minutes)) * 60 + Number(seconds)) * 1000;
}

function vehicle(text: string): Vehicle {
  const known = VEHICLES.find((one) => one === text);
  if (known === undefined) throw new RowFault(`vehicle ${quoted(text)} is not one of ${VEHICLES.join(', ')}`);
  return known;
}

/** The text as it may be printed: short, and without control characters. */
function quoted(text: string): string {
  return JSON.stringify(text.length > 40 ? `${text.slice(0, 40)}…` : text);
}
