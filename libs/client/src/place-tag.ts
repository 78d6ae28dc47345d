import { type Place } from '@borough/contracts';
import { cellOfPlace, shardOfCell, shardOfPlace, type AreaMap } from '@borough/topology';

/**
 * The traffic tag of a place: its cell at the one resolution that all parts use (SPEC.md I8).
 *
 * Where areas are drawn in finer cells than that, the cell says too little, and the shard itself is the tag; without an
 * area map the cell has to do.
 *
 * @param place valid: latitude -90 to 90, longitude -180 to 180
 */
export function tagOfPlace({ latitude, longitude }: Place, areaMap: AreaMap | undefined): string {
  const cell = cellOfPlace(latitude, longitude) ?? '';
  if (areaMap === undefined || shardOfCell(areaMap, cell) !== undefined) return `geo:${cell}`;
  const shard = shardOfPlace(areaMap, latitude, longitude);
  return shard === undefined ? `geo:${cell}` : `shard:${shard}`;
}
