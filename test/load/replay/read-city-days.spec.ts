import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { CHECKOUT } from '../../../infra/local/checkout.js';
import { DAY_MS } from './city-day.js';
import { readCityDays, type CityDaysReading } from './read-city-days.js';

const REAL_DATA = join(CHECKOUT, '../shared/data/city-days');
const HAS_REAL_DATA = existsSync(REAL_DATA);

const ORDER_HEADER =
  'order_id,pick_up_lat,pick_up_lng,drop_off_lat,drop_off_lng,placement_time,preparation_time,ready_time,expected_drop_off_time';
const COURIER_HEADER = 'courier_id,vehicle,on_lat,on_lng,on_time,off_time';
const ORDER = '1,4.5,-74.1,4.6,-74.2,12:00:00,12:01:00,12:20:00,12:30:00';
const COURIER = '1,bicycle,4.7,-74.0,08:00:00,16:00:00';

let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'city days '));
});

afterEach(async () => {
  await rm(directory, { recursive: true });
});

async function writeCity(city: string, orders: string, couriers = `${COURIER_HEADER}\n${COURIER}\n`): Promise<void> {
  await mkdir(join(directory, city), { recursive: true });
  await writeFile(join(directory, city, 'orders.csv'), orders);
  await writeFile(join(directory, city, 'couriers.csv'), couriers);
}

async function read(wanted?: string[]) {
  const reading = await readCityDays(directory, wanted);
  if (reading.kind !== 'read') throw new Error(reading.faults.join('\n'));
  return reading;
}

function faultsOf(reading: CityDaysReading): string[] {
  return reading.kind === 'faults' ? reading.faults : [];
}

describe('a city-day that is well formed', () => {
  it('is read with times as ms since midnight', async () => {
    await writeCity('x', `${ORDER_HEADER}\n${ORDER}\n`);
    expect((await read()).days).toEqual([
      {
        city: 'x',
        orders: [
          {
            city: 'x',
            orderId: '1',
            pickUp: { latitude: 4.5, longitude: -74.1 },
            dropOff: { latitude: 4.6, longitude: -74.2 },
            placedAtMs: 12 * 3_600_000,
            readyAtMs: 12 * 3_600_000 + 20 * 60_000,
            expectedDropOffAtMs: 12 * 3_600_000 + 30 * 60_000,
          },
        ],
        couriers: [
          {
            city: 'x',
            courierId: '1',
            vehicle: 'bicycle',
            location: { latitude: 4.7, longitude: -74 },
            onDutyAtMs: 8 * 3_600_000,
          },
        ],
      },
    ]);
  });

  it('may cross midnight: a time before the placement belongs to the next day', async () => {
    await writeCity('x', `${ORDER_HEADER}\n1,4.5,-74.1,4.6,-74.2,23:50:00,23:51:00,00:10:00,00:20:00\n`);
    const order = (await read()).days[0]?.orders[0];
    expect(order?.readyAtMs).toBe(DAY_MS + 10 * 60_000);
    expect(order?.expectedDropOffAtMs).toBe(DAY_MS + 20 * 60_000);
  });

  it('may be ready only after the promised time', async () => {
    await writeCity('x', `${ORDER_HEADER}\n1,4.5,-74.1,4.6,-74.2,12:00:00,12:01:00,13:00:00,12:30:00\n`);
    expect((await read()).skipped).toEqual([]);
  });

  it('may have other columns, another order of columns, a byte order mark, Windows line ends and empty lines', async () => {
    const orders = `\uFEFFweather,${ORDER_HEADER}\r\nrain,${ORDER}\r\n\r\n`;
    const couriers = `on_time,off_time,vehicle,on_lat,on_lng,courier_id\n08:00:00,16:00:00,car,4.7,-74.0,9\n`;
    await writeCity('x', orders, couriers);
    const { days, skipped } = await read();
    expect(skipped).toEqual([]);
    expect(days[0]?.orders[0]?.orderId).toBe('1');
    expect(days[0]?.couriers[0]).toMatchObject({ courierId: '9', vehicle: 'car' });
  });

  it('is read only for the wanted cities', async () => {
    await writeCity('x', `${ORDER_HEADER}\n${ORDER}\n`);
    await writeCity('y', `${ORDER_HEADER}\n${ORDER}\n`);
    expect((await read(['y'])).days.map((day) => day.city)).toEqual(['y']);
    expect((await read()).days.map((day) => day.city)).toEqual(['x', 'y']);
  });
});

describe('a malformed row', () => {
  it.each([
    [
      'a number that is none',
      '2,north,-74.1,4.6,-74.2,12:00:00,12:01:00,12:20:00,12:30:00',
      'pick_up_lat "north" is not a number',
    ],
    ['an empty number', '2,,-74.1,4.6,-74.2,12:00:00,12:01:00,12:20:00,12:30:00', 'pick_up_lat "" is not a number'],
    [
      'a hexadecimal number',
      '2,0x4,-74.1,4.6,-74.2,12:00:00,12:01:00,12:20:00,12:30:00',
      'pick_up_lat "0x4" is not a number',
    ],
    [
      'a latitude beyond the pole',
      '2,90.1,-74.1,4.6,-74.2,12:00:00,12:01:00,12:20:00,12:30:00',
      'pick_up_lat "90.1" is not within ±90',
    ],
    [
      'a longitude beyond the date line',
      '2,4.5,-74.1,4.6,180.5,12:00:00,12:01:00,12:20:00,12:30:00',
      'drop_off_lng "180.5" is not within ±180',
    ],
    [
      'an hour that no day has',
      '2,4.5,-74.1,4.6,-74.2,24:00:00,12:01:00,12:20:00,12:30:00',
      'placement_time "24:00:00" is not HH:MM:SS of one day',
    ],
    [
      'a time without seconds',
      '2,4.5,-74.1,4.6,-74.2,12:00:00,12:01:00,12:20,12:30:00',
      'ready_time "12:20" is not HH:MM:SS of one day',
    ],
    ['too few columns', '2,4.5,-74.1', '3 columns where the header has 9'],
    ['too many columns', `${ORDER},extra`, '10 columns where the header has 9'],
    ['an id seen before', ORDER, 'id 1 is also on line 2'],
    [
      'no id',
      ',4.5,-74.1,4.6,-74.2,12:00:00,12:01:00,12:20:00,12:30:00',
      'order_id "" is not 1 to 64 of a-z A-Z 0-9 _ . -',
    ],
    [
      'an open quote',
      '"2,4.5,-74.1,4.6,-74.2,12:00:00,12:01:00,12:20:00,12:30:00',
      'order_id "\\"2" is not 1 to 64 of a-z A-Z 0-9 _ . -',
    ],
  ])('with %s is named and costs that row only', async (_what, row, reason) => {
    const last = ORDER.replace('1,', '99,');
    await writeCity('x', `${ORDER_HEADER}\n${ORDER}\n${row}\n${last}\n`);
    const { days, skipped } = await read();
    expect(skipped).toEqual([{ file: join(directory, 'x', 'orders.csv'), line: 3, reason }]);
    expect(days[0]?.orders.map((order) => order.orderId)).toEqual(['1', '99']);
  });

  it('of the couriers is named too', async () => {
    await writeCity('x', `${ORDER_HEADER}\n${ORDER}\n`, `${COURIER_HEADER}\n1,rocket,4.7,-74.0,08:00:00,16:00:00\n`);
    const { days, skipped } = await read();
    expect(skipped[0]?.reason).toBe('vehicle "rocket" is not one of walking, bicycle, motorcycle, car');
    expect(days[0]?.couriers).toEqual([]);
  });
});

describe('a directory that cannot be replayed', () => {
  it('is told when it is absent', async () => {
    const faults = faultsOf(await readCityDays(join(directory, 'nowhere'), undefined));
    expect(faults).toEqual([expect.stringContaining('nowhere cannot be read (ENOENT)')]);
  });

  it('is told when it holds no city', async () => {
    expect(faultsOf(await readCityDays(directory, undefined))).toEqual([expect.stringContaining('holds no city')]);
  });

  it('is told when it is one city', async () => {
    await writeCity('x', `${ORDER_HEADER}\n${ORDER}\n`);
    expect(faultsOf(await readCityDays(join(directory, 'x'), undefined))).toEqual([
      expect.stringContaining('is one city'),
    ]);
  });

  it('is told with the cities there are when a wanted one is not among them', async () => {
    await writeCity('x', `${ORDER_HEADER}\n${ORDER}\n`);
    await writeCity('y', `${ORDER_HEADER}\n${ORDER}\n`);
    const [fault] = faultsOf(await readCityDays(directory, ['x', '../x']));
    expect(fault).toContain('has no city ../x: --cities may name x, y');
  });

  it('is told every fault at once: missing columns, a missing file, an empty file, no usable row', async () => {
    await writeCity('a', `${ORDER_HEADER.replace(',ready_time', '')}\n`);
    await writeCity('b', `${ORDER_HEADER}\n${ORDER}\n`);
    await rm(join(directory, 'b', 'couriers.csv'));
    await writeCity('c', '');
    await writeCity('d', `${ORDER_HEADER}\nnonsense\n`);
    const faults = faultsOf(await readCityDays(directory, undefined));
    expect(faults).toEqual([
      expect.stringContaining('a/orders.csv has no column ready_time'),
      expect.stringContaining('b/couriers.csv is missing'),
      expect.stringContaining('c/orders.csv is empty'),
      expect.stringContaining('d/orders.csv holds no usable order: line 2: 1 columns where the header has 9'),
    ]);
  });
});

describe.skipIf(!HAS_REAL_DATA)('the six real cities (skipped without ../shared/data/city-days)', () => {
  it('are read without a malformed row', async () => {
    const reading = await readCityDays(REAL_DATA, undefined);
    if (reading.kind !== 'read') throw new Error(reading.faults.join('\n'));
    expect(reading.skipped).toEqual([]);
    expect(reading.days.map((day) => [day.city, day.orders.length, day.couriers.length])).toEqual([
      ['barranquilla', 4390, 2368],
      ['bogota', 31199, 13152],
      ['bucaramanga', 1462, 941],
      ['cali', 4516, 1876],
      ['medellin', 13051, 4824],
      ['pereira', 538, 430],
    ]);
  });
});
