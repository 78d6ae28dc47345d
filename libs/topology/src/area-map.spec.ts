import fc from 'fast-check';
import {
  cellToChildren,
  cellToLatLng,
  cellToParent,
  compactCells,
  getPentagons,
  getRes0Cells,
  gridDisk,
  latLngToCell,
} from 'h3-js';
import { describe, expect, it } from 'vitest';
import {
  areaOfShard,
  buildAreaMap,
  cellOfPlace,
  isCell,
  overlappingArea,
  PLACE_RESOLUTION,
  shardOfCell,
  shardOfPlace,
  type Area,
} from './area-map.js';

const CENTRE = latLngToCell(4.65, -74.1, 9); // Bogotá
const DISTRICT = cellToParent(CENTRE, 7);
const ELSEWHERE = latLngToCell(6.25, -75.56, 7); // Medellín

const areaOf = (shard: number, ...cells: string[]): Area => ({ shard, name: `area ${shard}`, cells });
const lats = fc.double({ min: -90, max: 90, noNaN: true });
const lngs = fc.double({ min: -180, max: 180, noNaN: true });

describe('I7: a cell', () => {
  it('belongs to the area that holds it or an ancestor, and to no other', () => {
    const areaMap = buildAreaMap([areaOf(1, DISTRICT), areaOf(2, ELSEWHERE)]);
    expect(shardOfCell(areaMap, DISTRICT)).toBe(1);
    expect(shardOfCell(areaMap, CENTRE)).toBe(1);
    for (const cell of cellToChildren(ELSEWHERE, 10)) expect(shardOfCell(areaMap, cell)).toBe(2);
    expect(shardOfCell(areaMap, latLngToCell(0, 0, 9))).toBeUndefined();
  });

  it('is not served when it is coarser than the cells of its area', () => {
    const areaMap = buildAreaMap([areaOf(1, DISTRICT)]);
    for (let resolution = 0; resolution < 7; resolution++) {
      expect(shardOfCell(areaMap, cellToParent(DISTRICT, resolution))).toBeUndefined();
    }
  });

  it('is found the same in an area drawn in fine cells and in the same area compacted', () => {
    const fine = gridDisk(CENTRE, 20);
    const [drawn, compacted] = [buildAreaMap([areaOf(1, ...fine)]), buildAreaMap([areaOf(1, ...compactCells(fine))])];
    expect(compacted.shardByCell.size).toBeLessThan(drawn.shardByCell.size);
    for (const cell of gridDisk(CENTRE, 22)) {
      expect(shardOfCell(compacted, cell)).toBe(shardOfCell(drawn, cell));
    }
  });

  it('that is no cell at all is not served, and nothing is thrown', () => {
    const areaMap = buildAreaMap([areaOf(1, DISTRICT)]);
    fc.assert(fc.property(fc.string({ unit: 'binary' }), (text) => shardOfCell(areaMap, text) === undefined));
    expect(shardOfCell(areaMap, DISTRICT.toUpperCase())).toBeUndefined();
    expect(shardOfCell(areaMap, 'f'.repeat(10_000_000))).toBeUndefined();
  });

  it.each(['', DISTRICT.toUpperCase(), `0${DISTRICT}`, `${DISTRICT} `, '8'.padEnd(15, '0'), 'f'.repeat(15)])(
    'is not written %j',
    (text) => {
      expect(isCell(text)).toBe(false);
    },
  );
});

describe('I8: a place', () => {
  it('belongs to the shard that its tag leads to, anywhere on earth and whatever other areas there are', () => {
    const others = [areaOf(1, DISTRICT), areaOf(2, latLngToCell(60, 60, 3)), areaOf(3, latLngToCell(-60, -60, 14))];
    fc.assert(
      fc.property(lats, lngs, fc.integer({ min: 0, max: PLACE_RESOLUTION }), (lat, lng, resolution) => {
        const tagCell = cellOfPlace(lat, lng) ?? '';
        const area = areaOf(7, cellToParent(tagCell, resolution));
        const alone = buildAreaMap([area]);
        expect(shardOfPlace(alone, lat, lng)).toBe(7);
        expect(shardOfCell(alone, tagCell)).toBe(7);
        if (overlappingArea(buildAreaMap(others), area.cells)) return;
        expect(shardOfPlace(buildAreaMap([...others, area]), lat, lng)).toBe(7);
      }),
    );
  });

  it('near the border of two coarse areas belongs to the same one as its tag', () => {
    const areaMap = buildAreaMap(gridDisk(cellToParent(CENTRE, 5), 1).map((cell, shard) => areaOf(shard, cell)));
    for (let step = 0; step < 500; step++) {
      const [lat, lng] = [4.55 + step / 2500, -74.2 + step / 2500];
      expect(shardOfPlace(areaMap, lat, lng)).toBe(shardOfCell(areaMap, cellOfPlace(lat, lng) ?? ''));
    }
  });

  it('in an area drawn in finer cells than a tag has belongs to it', () => {
    const areaMap = buildAreaMap([areaOf(1, latLngToCell(4.65, -74.1, 11))]);
    expect(shardOfPlace(areaMap, 4.65, -74.1)).toBe(1);
    expect(shardOfCell(areaMap, CENTRE)).toBeUndefined();
  });

  it('on either side of the antimeridian belongs to the cell that spans it', () => {
    const cell = cellOfPlace(0.01, 180) ?? '';
    const areaMap = buildAreaMap([areaOf(1, cell)]);
    expect(shardOfPlace(areaMap, 0.01, 179.99999)).toBe(1);
    expect(shardOfPlace(areaMap, 0.01, -179.99999)).toBe(1);
  });

  it('in a pentagon belongs to it, and so do the pentagon’s children', () => {
    for (const pentagon of getPentagons(5)) {
      const areaMap = buildAreaMap([areaOf(1, pentagon)]);
      const [lat, lng] = cellToLatLng(pentagon);
      expect(shardOfPlace(areaMap, lat, lng)).toBe(1);
      for (const child of cellToChildren(pentagon, 7)) expect(shardOfCell(areaMap, child)).toBe(1);
    }
  });

  it.each([
    [Number.NaN, 0],
    [0, Number.NaN],
    [Infinity, 0],
    [90.001, 0],
    [-91, 0],
    [0, 180.001],
    [0, -Infinity],
  ])('at %d, %d is no place', (lat, lng) => {
    const everywhere = buildAreaMap([areaOf(1, ...getRes0Cells())]);
    expect(shardOfPlace(everywhere, lat, lng)).toBeUndefined();
    expect(cellOfPlace(lat, lng)).toBeUndefined();
  });

  it('is nowhere in a map without areas, or without cells', () => {
    expect(shardOfPlace(buildAreaMap([]), 0, 0)).toBeUndefined();
    expect(shardOfPlace(buildAreaMap([areaOf(1)]), 0, 0)).toBeUndefined();
  });
});

describe('I9: areas', () => {
  it.each([
    ['the same cell', [areaOf(1, DISTRICT), areaOf(2, DISTRICT)]],
    ['a cell and its descendant', [areaOf(1, DISTRICT), areaOf(2, CENTRE)]],
    ['a cell and its ancestor', [areaOf(1, CENTRE), areaOf(2, DISTRICT)]],
    ['one shard twice', [areaOf(1, DISTRICT), areaOf(1, ELSEWHERE)]],
    ['a shard out of range', [areaOf(4096, DISTRICT)]],
    ['a cell that is none', [areaOf(1, 'x')]],
  ])('with %s never make a map', (_, areas) => {
    expect(() => buildAreaMap(areas)).toThrow(RangeError);
  });

  it('are found by their shard', () => {
    const areaMap = buildAreaMap([areaOf(1, DISTRICT), areaOf(2)]);
    expect(areaOfShard(areaMap, 1)).toEqual(areaOf(1, DISTRICT));
    expect(areaOfShard(areaMap, 2)).toEqual(areaOf(2));
    expect(areaOfShard(areaMap, 3)).toBeUndefined();
  });

  it('do not change when the list they were built from does', () => {
    const cells = [DISTRICT];
    const areas = [areaOf(1), { shard: 2, name: 'two', cells }];
    const areaMap = buildAreaMap(areas);
    cells.push(ELSEWHERE);
    areas.pop();
    expect(areaOfShard(areaMap, 2)?.cells).toEqual([DISTRICT]);
  });

  it('overlap with a taken cell, with what lies in it and with what it lies in', () => {
    const areaMap = buildAreaMap([areaOf(1, DISTRICT), areaOf(2, ELSEWHERE)]);
    expect(overlappingArea(areaMap, [DISTRICT])?.shard).toBe(1);
    expect(overlappingArea(areaMap, [CENTRE])?.shard).toBe(1);
    expect(overlappingArea(areaMap, [cellToParent(ELSEWHERE, 4)])?.shard).toBe(2);
    expect(overlappingArea(areaMap, [latLngToCell(0, 0, 9), CENTRE])?.shard).toBe(1);
  });

  it('do not overlap with their neighbours, nor with nothing', () => {
    const areaMap = buildAreaMap([areaOf(1, DISTRICT)]);
    const neighbours = gridDisk(DISTRICT, 1).filter((cell) => cell !== DISTRICT);
    expect(overlappingArea(areaMap, neighbours)).toBeUndefined();
    expect(overlappingArea(areaMap, [])).toBeUndefined();
  });

  it('that are found free can be built, and that are found taken cannot', () => {
    const nearby = fc.constantFrom(...gridDisk(CENTRE, 2), ...gridDisk(DISTRICT, 1), cellToParent(CENTRE, 5));
    const cells = fc.array(nearby, { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(cells, cells, (taken, wanted) => {
        const build = () => buildAreaMap([areaOf(1, ...taken), areaOf(2, ...wanted)]);
        if (overlappingArea(buildAreaMap([areaOf(1, ...taken)]), wanted)) expect(build).toThrow(RangeError);
        else expect(build).not.toThrow();
      }),
    );
  });

  it('are not checked against text that is no cell', () => {
    expect(() => overlappingArea(buildAreaMap([]), ['x'])).toThrow(RangeError);
  });
});
