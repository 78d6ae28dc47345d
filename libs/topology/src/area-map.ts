/**
 * The area map: which shard delivers at which place (SPEC.md I7–I9).
 *
 * An area is a set of H3 cells, of mixed resolutions once compacted, and has one shard. A cell belongs to the area that
 * holds it or one of its ancestors. Areas never overlap, so the answer does not depend on the order of the search.
 * The shapes of cells (pentagons, poles, the antimeridian) are H3's business: only ancestry is used here.
 */
import { cellToParent, getResolution, isValidCell, latLngToCell } from 'h3-js';
import { isShardNumber, type ShardNumber } from './ids.js';

/** A delivery area: a city, or a district of a big one. `cells` are H3 cells as 15 lower-case hex digits. */
export type Area = { shard: ShardNumber; name: string; cells: readonly string[] };

/** All areas, ready for look-ups. Made by `buildAreaMap`, never changed: a new set of areas is a new map. */
export type AreaMap = {
  readonly areas: ReadonlyMap<ShardNumber, Area>;
  readonly shardByCell: ReadonlyMap<string, ShardNumber>;
  /** The resolutions that some area uses, finest first. A look-up tries these and no others. */
  readonly resolutions: readonly number[];
};

/**
 * The H3 resolution at which a place is put into a cell (about 0.1 km²), by clients for their tag and by zones for a
 * store or a courier.
 *
 * One number for both on purpose. H3 children only roughly fill their parent: the cell of a place at resolution 5, and
 * the ancestor at 5 of its cell at 9, differ for 6 % of places. The first draft took the finest resolution that any
 * area used; a tag then led to one shard, and the place itself to its neighbour.
 */
export const PLACE_RESOLUTION = 9;

// A cell index has mode 1 and a clear top bit, so its text is an 8 and 14 digits. H3 itself also takes upper case and
// leading zeros, which would give one cell two texts.
const CELL_PATTERN = /^8[0-9a-f]{14}$/;

/** Is this the one text of an H3 cell (15 lower-case hex digits)? Safe on any text of any length. */
export function isCell(text: string): boolean {
  return CELL_PATTERN.test(text) && isValidCell(text);
}

/**
 * Builds the map from all areas there are.
 *
 * @param areas in any order; an area may have no cells (it is then reached by `shard:` and by ids only)
 * @throws RangeError when a shard number is out of range or used twice, a cell is no cell, or two areas overlap. Areas
 *   are checked with `overlappingArea` before they are stored, so this is a fault in the store: keep the map you have.
 */
export function buildAreaMap(areas: readonly Area[]): AreaMap {
  const areaByShard = new Map<ShardNumber, Area>();
  const shardByCell = new Map<string, ShardNumber>();
  for (const area of areas) {
    if (!isShardNumber(area.shard)) throw new RangeError(`area ${area.name}: not a shard number: ${area.shard}`);
    if (areaByShard.has(area.shard)) throw new RangeError(`area ${area.name}: shard ${area.shard} is taken`);
    areaByShard.set(area.shard, { ...area, cells: [...area.cells] });
    for (const cell of area.cells) {
      const taken = shardByCell.get(requireCell(cell));
      if (taken !== undefined && taken !== area.shard) throw overlap(cell, taken, area.shard);
      shardByCell.set(cell, area.shard);
    }
  }
  const resolutions = [...new Set([...shardByCell.keys()].map((cell) => getResolution(cell)))].sort((a, b) => b - a);
  const areaMap: AreaMap = { areas: areaByShard, shardByCell, resolutions };
  // Every overlap of unequal cells is seen from its finer cell, whose ancestor is then taken.
  for (const [cell, shard] of shardByCell) {
    const taken = shardOfAncestor(areaMap, cell);
    if (taken !== undefined && taken !== shard) throw overlap(cell, taken, shard);
  }
  return areaMap;
}

/**
 * The shard that delivers in a cell.
 *
 * @param cell any text; only an H3 cell is ever served
 * @returns undefined when no area holds the cell or an ancestor of it. A cell coarser than the area's own cells is not
 *   served: it does not say which of several areas is meant.
 */
export function shardOfCell(areaMap: AreaMap, cell: string): ShardNumber | undefined {
  const exact = areaMap.shardByCell.get(cell);
  if (exact !== undefined) return exact;
  return isCell(cell) ? shardOfAncestor(areaMap, cell) : undefined;
}

/**
 * The cell that stands for a place in a tag: `geo:<this cell>`.
 *
 * @param latDegrees -90 to 90
 * @param lngDegrees -180 to 180
 * @returns the cell at `PLACE_RESOLUTION`, or undefined when it is no place (NaN, out of range)
 */
export function cellOfPlace(latDegrees: number, lngDegrees: number): string | undefined {
  return isPlace(latDegrees, lngDegrees) ? latLngToCell(latDegrees, lngDegrees, PLACE_RESOLUTION) : undefined;
}

/**
 * The shard that delivers at a place: the one of its cell at `PLACE_RESOLUTION`, so that a place and its tag agree.
 *
 * Where areas are drawn in finer cells than that, and no area holds the place's own cell, the finer resolutions in use
 * are tried, coarsest first.
 *
 * @param latDegrees -90 to 90
 * @param lngDegrees -180 to 180
 * @returns undefined when no area covers the place, or when it is no place (NaN, out of range)
 */
export function shardOfPlace(areaMap: AreaMap, latDegrees: number, lngDegrees: number): ShardNumber | undefined {
  if (!isPlace(latDegrees, lngDegrees)) return undefined;
  const finer = areaMap.resolutions.filter((resolution) => resolution > PLACE_RESOLUTION).reverse();
  for (const resolution of [PLACE_RESOLUTION, ...finer]) {
    const shard = shardOfCell(areaMap, latLngToCell(latDegrees, lngDegrees, resolution));
    if (shard !== undefined) return shard;
  }
  return undefined;
}

/** The area a shard delivers in, or undefined when no area has this shard. */
export function areaOfShard(areaMap: AreaMap, shard: ShardNumber): Area | undefined {
  return areaMap.areas.get(shard);
}

/**
 * An area that already delivers in part of these cells: it holds one of them, an ancestor or a descendant.
 *
 * For the check before a new area is stored; slow (it may look at every taken cell), so not for the request path.
 *
 * @returns any one such area when there are several; undefined when the cells are free
 * @throws RangeError when one of `cells` is no cell: check text from outside with `isCell` first
 */
export function overlappingArea(areaMap: AreaMap, cells: readonly string[]): Area | undefined {
  const wanted = new Set(cells.map(requireCell));
  const taken = [...wanted].map((cell) => shardOfCell(areaMap, cell)).find((shard) => shard !== undefined);
  const shard = taken ?? shardOfDescendant(areaMap, wanted);
  return shard === undefined ? undefined : areaOfShard(areaMap, shard);
}

function shardOfAncestor(areaMap: AreaMap, cell: string): ShardNumber | undefined {
  const own = getResolution(cell);
  for (const resolution of areaMap.resolutions) {
    if (resolution >= own) continue;
    const shard = areaMap.shardByCell.get(cellToParent(cell, resolution));
    if (shard !== undefined) return shard;
  }
  return undefined;
}

function shardOfDescendant(areaMap: AreaMap, ancestors: ReadonlySet<string>): ShardNumber | undefined {
  const resolutions = [...new Set([...ancestors].map((cell) => getResolution(cell)))];
  for (const [cell, shard] of areaMap.shardByCell) {
    const own = getResolution(cell);
    const isBelow = (resolution: number) => resolution < own && ancestors.has(cellToParent(cell, resolution));
    if (resolutions.some(isBelow)) return shard;
  }
  return undefined;
}

// Written so that NaN fails. H3 itself wraps 91 degrees around the pole.
function isPlace(latDegrees: number, lngDegrees: number): boolean {
  return Math.abs(latDegrees) <= 90 && Math.abs(lngDegrees) <= 180;
}

function requireCell(cell: string): string {
  if (!isCell(cell)) throw new RangeError(`not an H3 cell: ${cell.slice(0, 40)}`);
  return cell;
}

function overlap(cell: string, taken: ShardNumber, wanted: ShardNumber): RangeError {
  return new RangeError(`cell ${cell} lies in shard ${taken} and in shard ${wanted}`);
}
