import { expect, it } from 'vitest';
import { isSameContent } from './order-content.js';

const ITEMS = [
  { name: 'soup', quantity: 1 },
  { name: 'bread', quantity: 2 },
];
const EXPECTED = { uuid: 'o', shard: 1, storeUuid: 's', customerUuid: 'c', items: ITEMS };
const ROW = { shard: 1, storeShard: 1, storeUuid: 's', customerUuid: 'c', items: ITEMS };

it.each([
  ['as it was acknowledged', ROW, true],
  ['with more facts about an item', { ...ROW, items: [{ ...ITEMS[0], price: 5 }, ITEMS[1]] }, true],
  ['of another store', { ...ROW, storeUuid: 'x' }, false],
  ['of another customer', { ...ROW, customerUuid: 'x' }, false],
  ['without an item', { ...ROW, items: [ITEMS[0]] }, false],
  ['with an item twice', { ...ROW, items: [ITEMS[0], ITEMS[0]] }, false],
  ['with another quantity', { ...ROW, items: [ITEMS[0], { name: 'bread', quantity: 3 }] }, false],
  ['without items', { ...ROW, items: null }, false],
])('a row %s', (_what, row, isSame) => {
  expect(isSameContent(EXPECTED, row)).toBe(isSame);
});
