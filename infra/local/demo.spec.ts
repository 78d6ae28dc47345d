import { execFileSync } from 'node:child_process';
import { cellToLatLng, gridDistance, latLngToCell } from 'h3-js';
import { TypeID } from 'typeid-js';
import { expect, test } from 'vitest';
import { PLACES, thingsToTry } from './demo.js';

test('the demo places are neighbouring cells, each with its store inside', () => {
  for (const { cell, latitude, longitude } of PLACES) {
    expect(latLngToCell(latitude, longitude, 5)).toBe(cell);
    expect(cellToLatLng(cell)[0]).toBeCloseTo(latitude, 4);
    expect(gridDistance(cell, PLACES[1].cell)).toBeLessThanOrEqual(1);
  }
  expect(new Set(PLACES.map(({ cell }) => cell)).size).toBe(3);
});

test('the things to try are commands a shell reads as meant, even for a store with a quote in its name', () => {
  const store = { ...PLACES[0], name: "Demo's", id: 'str_1' };
  const commands = thingsToTry('http://127.0.0.1:1', store, 'key').filter((line) => line.startsWith('curl '));
  const args = commands.map((line) =>
    execFileSync('sh', ['-c', `curl() { printf '%s\\n' "$@"; }; ${line}`], { encoding: 'utf8' }).split('\n'),
  );
  const order = JSON.parse(args[0]?.[args[0].indexOf('-d') + 1] ?? '') as { storeId: string; customerId: string };
  expect(order.storeId).toBe('str_1');
  expect(TypeID.fromString(order.customerId).getType()).toBe('cus');
  expect(args.map((words) => words.find((word) => word.startsWith('http')))).toEqual([
    'http://127.0.0.1:1/v1/orders',
    `http://127.0.0.1:1/v1/customers/${order.customerId}/orders`,
    'http://127.0.0.1:1/v1/stores/str_1',
  ]);
});
