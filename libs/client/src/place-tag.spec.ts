import { buildAreaMap, cellOfPlace, parseTrafficTag, resolveTag } from '@borough/topology';
import { latLngToCell } from 'h3-js';
import { describe, expect, it } from 'vitest';
import { tagOfPlace } from './place-tag.js';

const PLACE = { latitude: 4.6, longitude: -74.1 };
const CELL = cellOfPlace(PLACE.latitude, PLACE.longitude) ?? '';

function mapOf(...cells: string[]) {
  return buildAreaMap([{ shard: 7, name: 'x', cells }]);
}

describe('the tag of a place', () => {
  it('is its cell, without a map and wherever the map knows that cell', () => {
    expect(tagOfPlace(PLACE, undefined)).toBe(`geo:${CELL}`);
    expect(tagOfPlace(PLACE, mapOf(latLngToCell(PLACE.latitude, PLACE.longitude, 5)))).toBe(`geo:${CELL}`);
  });

  it('is its cell where nobody delivers: the router says so', () => {
    expect(tagOfPlace(PLACE, mapOf(latLngToCell(40, 40, 5)))).toBe(`geo:${CELL}`);
  });

  it('is the shard where areas are drawn in finer cells than the one of a place', () => {
    const areaMap = mapOf(latLngToCell(PLACE.latitude, PLACE.longitude, 11));
    const tag = tagOfPlace(PLACE, areaMap);
    expect(tag).toBe('shard:7');
    const parsed = parseTrafficTag(tag);
    expect(parsed && resolveTag(parsed, areaMap)).toBe(7);
  });
});
