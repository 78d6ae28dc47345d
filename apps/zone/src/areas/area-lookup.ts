import { Injectable } from '@nestjs/common';
import { type Place } from '@borough/contracts';
import { JoinedRefresh, Problem } from '@borough/server-kit';
import { type Area, type AreaMap, buildAreaMap, shardOfPlace, type ShardNumber } from '@borough/topology';
import { DataSource } from 'typeorm';

/** Shortest time between two reads of the area map after a miss, in ms: a stream of wrong places costs one read. */
const MISS_REREAD_MS = 100;

/**
 * Which shard a place lies in, by this zone's copy of the area map.
 *
 * Areas are only ever added, so a hit needs no fresh map; a miss reads the map again before it is believed.
 */
@Injectable()
export class AreaLookup {
  private map: AreaMap = buildAreaMap([]);
  private readonly reading = new JoinedRefresh(() => this.read(), MISS_REREAD_MS);

  constructor(private readonly source: DataSource) {}

  /** @throws Problem `area-not-served` when no area covers the place */
  async shardOf(place: Place): Promise<ShardNumber> {
    const known = shardOfPlace(this.map, place.latitude, place.longitude);
    if (known !== undefined) return known;
    await this.reading.now();
    const found = shardOfPlace(this.map, place.latitude, place.longitude);
    if (found === undefined) {
      throw new Problem('area-not-served', { detail: `No area covers ${place.latitude}, ${place.longitude}.` });
    }
    return found;
  }

  private async read(): Promise<void> {
    this.map = buildAreaMap(await this.source.query<Area[]>('SELECT a.shard, a.name, a.cells FROM control.area a'));
  }
}
