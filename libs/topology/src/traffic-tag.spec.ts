import fc from 'fast-check';
import { cellToChildren } from 'h3-js';
import { describe, expect, it } from 'vitest';
import { buildAreaMap } from './area-map.js';
import { newUuid, SHARD_COUNT, toId, type IdKind } from './ids.js';
import { parseTrafficTag, resolveTag, tagOfPath } from './traffic-tag.js';

const CELL = '8928308280fffff';
const idOf = (kind: IdKind, shard: number) =>
  toId(
    kind,
    newUuid(shard, 1_700_000_000_000, () => new Uint8Array(16)),
  );
const ORDER = idOf('order', 17);
const STORE = idOf('store', 18);
const CUSTOMER = idOf('customer', 17);

describe('I4: a traffic tag', () => {
  it('may be an H3 cell', () => {
    expect(parseTrafficTag(`geo:${CELL}`)).toEqual({ kind: 'geo', cell: CELL });
  });

  it('may be any shard number', () => {
    for (let shard = 0; shard < SHARD_COUNT; shard++) {
      expect(parseTrafficTag(`shard:${shard}`)).toEqual({ kind: 'shard', shard });
    }
  });

  it.each(['order', 'store', 'courier', 'event'] as const)('may be the id of one %s, and has its shard', (kind) => {
    expect(parseTrafficTag(idOf(kind, 17))).toEqual({ kind: 'id', id: idOf(kind, 17), shard: 17 });
  });

  it('is never the id of a customer, whose shard bits mean nothing', () => {
    expect(parseTrafficTag(CUSTOMER)).toBeUndefined();
  });

  it.each([
    ...['', 'geo:', 'geo', 'shard:', 'ord_', ':', 'zone:a', '17', CELL],
    ...[`geo:${CELL.toUpperCase()}`, `geo:0${CELL}`, `geo: ${CELL}`, `GEO:${CELL}`, 'geo:8928308280ffffe', 'geo:zz'],
    ...['shard:4096', 'shard:-1', 'shard:017', 'shard:1.5', 'shard:1e3', 'shard:0x10', 'shard: 1', 'shard:١'],
    ...[` ${ORDER}`, `${ORDER} `, `${ORDER},${ORDER}`, ORDER.toUpperCase()],
  ])('is not %j', (text) => {
    expect(parseTrafficTag(text)).toBeUndefined();
  });

  it('is read from any text without throwing, ten million characters included', () => {
    fc.assert(
      fc.property(fc.constantFrom('', 'geo:', 'shard:', 'ord_'), fc.string({ unit: 'binary' }), (head, rest) => {
        parseTrafficTag(head + rest);
      }),
    );
    for (const head of ['geo:8', 'shard:1', 'ord_0']) {
      expect(parseTrafficTag(head + '0'.repeat(10_000_000))).toBeUndefined();
    }
  });
});

describe('I5: the tag of a path', () => {
  it.each([
    [`/v1/orders/${ORDER}`, 17],
    [`/v1/orders/${ORDER}/`, 17],
    [`/v1/orders/${ORDER}/events`, 17],
    [`/v1/stores/${STORE}/orders/${ORDER}`, 18],
    [`/v1/customers/${CUSTOMER}/orders/${ORDER}`, 17],
    [ORDER, 17],
  ])('of %s leads to shard %d', (pathname, shard) => {
    expect(tagOfPath(pathname)).toMatchObject({ kind: 'id', shard });
  });

  it.each([
    '',
    '/',
    '/v1/orders',
    `/v1/x${ORDER}`,
    `/v1/${ORDER}x`,
    `/v1/customers/${CUSTOMER}`,
    `/v1/geo:${CELL}`,
    '/shard:1',
  ])('of %j is none', (pathname) => {
    expect(tagOfPath(pathname)).toBeUndefined();
  });

  it('is found in a path of millions of segments', () => {
    expect(tagOfPath('/'.repeat(5_000_000) + ORDER)).toMatchObject({ shard: 17 });
    expect(tagOfPath(`/${'a'.repeat(ORDER.length)}`.repeat(100_000))).toBeUndefined();
  });
});

describe('I6: a tag leads', () => {
  const areaMap = buildAreaMap([{ shard: 5, name: 'Bay', cells: [CELL] }]);
  const [child = ''] = cellToChildren(CELL, 11);

  it.each<[string, number | undefined, string]>([
    [`geo:${CELL}`, 5, 'the cell of an area to its shard'],
    [`geo:${child}`, 5, 'a cell inside an area to its shard'],
    ['geo:85283083fffffff', undefined, 'a cell that is coarser than the area nowhere'],
    ['shard:5', 5, 'a shard with an area to itself'],
    ['shard:6', undefined, 'a shard without an area nowhere'],
    [ORDER, 17, 'an id to its shard, with or without an area'],
  ])('%s → %s: %s', (text, shard) => {
    const tag = parseTrafficTag(text);
    expect(tag && resolveTag(tag, areaMap)).toBe(shard);
  });
});
