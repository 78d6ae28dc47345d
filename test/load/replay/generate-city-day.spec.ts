import { expect, it } from 'vitest';
import { DAY_MS } from './city-day.js';
import { generateCityDays } from './generate-city-day.js';

it('the same seed gives the same days, another seed others', () => {
  expect(generateCityDays(7)).toEqual(generateCityDays(7));
  expect(generateCityDays(7)).not.toEqual(generateCityDays(8));
});

it.each([0, 1, 2 ** 32 - 1])('the days of seed %d could be real', (seed) => {
  const days = generateCityDays(seed);
  const orders = days.flatMap((day) => day.orders);
  expect(days.length).toBe(3);
  expect(orders.length).toBe(600);
  expect(days.flatMap((day) => day.couriers).length).toBe(100);
  for (const day of days) expect(new Set(day.orders.map((order) => order.orderId)).size).toBe(day.orders.length);
  for (const { placedAtMs, readyAtMs, expectedDropOffAtMs, pickUp, dropOff } of orders) {
    expect(placedAtMs).toBeGreaterThanOrEqual(0);
    expect(placedAtMs).toBeLessThan(DAY_MS);
    expect(Number.isInteger(placedAtMs)).toBe(true);
    expect(readyAtMs).toBeGreaterThan(placedAtMs);
    expect(expectedDropOffAtMs).toBeGreaterThan(placedAtMs);
    for (const { latitude, longitude } of [pickUp, dropOff]) {
      expect(Math.abs(latitude)).toBeLessThan(90);
      expect(Math.abs(longitude)).toBeLessThan(180);
    }
  }
  expect(orders.some((order) => order.readyAtMs > order.expectedDropOffAtMs)).toBe(true);
});
