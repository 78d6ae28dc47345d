import { expect, it } from 'vitest';
import { compareTables, type ZoneDigests } from './table-digests.js';

function zone(zoneId: string, tables: Record<string, [number, string]>): ZoneDigests {
  return { zoneId, tables: Object.entries(tables).map(([table, [rows, digest]]) => ({ table, rows, digest })) };
}

it.each([
  ['the same rows', zone('b', { orders: [2, '-7'] }), true],
  ['a row less', zone('b', { orders: [1, '-7'] }), false],
  ['as many other rows', zone('b', { orders: [2, '8'] }), false],
  ['no such table', zone('b', {}), false],
])('a zone with %s', (_what, other, isEqual) => {
  const [orders] = compareTables([zone('a', { orders: [2, '-7'] }), other]);
  expect(orders).toMatchObject({ table: 'orders', isEqual });
});

it('a table that only one zone has is compared too', () => {
  const tables = compareTables([zone('a', { orders: [0, '0'] }), zone('b', { orders: [0, '0'], stores: [1, '5'] })]);
  expect(tables.map(({ table, isEqual }) => [table, isEqual])).toEqual([
    ['orders', true],
    ['stores', false],
  ]);
});
