import { createdArea, storeView } from '@borough/contracts';
import { cellToChildren, cellToLatLng } from 'h3-js';
import { type ClusterAddresses } from '../../infra/local/cluster-addresses.js';
import { askLeader } from '../support/coordinators.js';

/** A place far from any real data: each child cell of it becomes an area. */
const SEA = '83754efffffffff';
const SETTLED_WITHIN_MS = 20_000;

/** One area of the drill, with the store that its orders go to. */
export interface DrillArea {
  readonly shard: number;
  readonly storeId: string;
  readonly latitude: number;
  readonly longitude: number;
}

/** Makes the areas, spread over the zones in turn, and a store in each. */
export async function setUpAreas(addresses: ClusterAddresses, count: number): Promise<DrillArea[]> {
  const cells = cellToChildren(SEA, 6).slice(0, count);
  const areas: DrillArea[] = [];
  for (const [at, cell] of cells.entries()) {
    const zone = addresses.zones[at % addresses.zones.length]?.id;
    const name = `drill ${at + 1}`;
    const { status, body } = await askLeader(addresses.coordinatorUrls, '/ops/v1/areas', { name, cells: [cell], zone });
    if (status >= 300) throw new Error(`area ${name} was refused: ${JSON.stringify(body)}`);
    const { shard } = createdArea.parse(body);
    const [latitude, longitude] = cellToLatLng(cell);
    areas.push({
      shard,
      latitude,
      longitude,
      storeId: await openStore(addresses, cell, name, { latitude, longitude }),
    });
  }
  return areas;
}

async function openStore(
  { routerUrl }: ClusterAddresses,
  cell: string,
  name: string,
  location: { latitude: number; longitude: number },
): Promise<string> {
  const until = Date.now() + SETTLED_WITHIN_MS;
  for (;;) {
    const answer = await fetch(`${routerUrl}/v1/stores`, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        'traffic-tag': `geo:${cell}`,
        'idempotency-key': `store-${name.replace(' ', '-')}`,
      },
      body: JSON.stringify({ name, location }),
    });
    const text = await answer.text();
    if (answer.ok) return storeView.parse(JSON.parse(text)).id;
    // The router does not know the area yet, or the zone not that it owns the shard.
    if (Date.now() > until) throw new Error(`the store of ${name} was refused: ${text}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
