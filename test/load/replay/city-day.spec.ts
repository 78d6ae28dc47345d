import { expect, it } from 'vitest';
import { firstOrders, ordersByPlacement, type CityCourier, type CityDay, type CityOrder } from './city-day.js';

const PLACE = { latitude: 1, longitude: 2 };

function order(city: string, orderId: string, placedAtMs: number): CityOrder {
  return {
    city,
    orderId,
    pickUp: PLACE,
    dropOff: PLACE,
    placedAtMs,
    readyAtMs: placedAtMs,
    expectedDropOffAtMs: placedAtMs,
  };
}

function courier(city: string, courierId: string, onDutyAtMs: number): CityCourier {
  return { city, courierId, vehicle: 'walking', location: PLACE, onDutyAtMs };
}

const DAYS: CityDay[] = [
  { city: 'x', orders: [order('x', '1', 10), order('x', '2', 30)], couriers: [courier('x', '1', 0)] },
  { city: 'y', orders: [order('y', '1', 20)], couriers: [courier('y', '1', 5), courier('y', '2', 7)] },
  { city: 'z', orders: [order('z', '1', 40)], couriers: [courier('z', '1', 9)] },
];

it('orders of all cities go by their hour', () => {
  expect(ordersByPlacement(DAYS).map(({ city, orderId }) => `${city}${orderId}`)).toEqual(['x1', 'y1', 'x2', 'z1']);
});

it('a limit keeps the first orders and couriers of all cities, and drops cities with none', () => {
  const kept = firstOrders(DAYS, 2);
  expect(kept.map(({ city, orders, couriers }) => [city, orders.length, couriers.length])).toEqual([
    ['x', 1, 1],
    ['y', 1, 1],
  ]);
});
