import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { type ClusterAddresses } from './cluster-addresses.js';

/**
 * Three neighbouring H3 cells of resolution 5 around Bremen, where no real data of ours lies; the location of each store is the
 * middle of its cell. Each is an area of its own, in a zone of its own.
 */
export const PLACES = [
  { name: 'Demo north', cell: '851f1553fffffff', latitude: 53.25477, longitude: 8.85522 },
  { name: 'Demo centre', cell: '851f155bfffffff', latitude: 53.12523, longitude: 8.75059 },
  { name: 'Demo south', cell: '851f1097fffffff', latitude: 52.9954, longitude: 8.64643 },
] as const;

const CUSTOMER = 'cus_01h455vb4pex5vsknk084sn02q';

/** How long the news of a new area may take to reach the router. */
const SETTLED_WITHIN_MS = 10_000;

export interface DemoStore {
  id: string;
  name: string;
  cell: string;
  latitude: number;
  longitude: number;
}

/** Makes an area and a store in each zone, over HTTP as anyone would. Made once: later calls find the same ones. */
export async function makeDemoData(addresses: ClusterAddresses): Promise<DemoStore[]> {
  const stores: DemoStore[] = [];
  for (const [index, place] of PLACES.entries()) {
    const { name, cell, latitude, longitude } = place;
    const zone = addresses.zones[index % addresses.zones.length]?.id;
    await post(addresses.coordinatorUrls, '/ops/v1/areas', {}, { name, cells: [cell], zone }, z.unknown());
    const headers = { 'Traffic-Tag': `geo:${cell}`, 'Idempotency-Key': `demo-store-${index + 1}` };
    const body = { name, location: { latitude, longitude } };
    const { id } = await post(addresses.routerUrls, '/v1/stores', headers, body, z.object({ id: z.string() }));
    stores.push({ id, ...place });
  }
  return stores;
}

/** Three things to try, each a comment line and a command that works when pasted into a shell. */
export function thingsToTry(routerUrl: string, store: DemoStore, idempotencyKey: string): string[] {
  const order = {
    storeId: store.id,
    customerId: CUSTOMER,
    items: [{ name: 'Rye bread', quantity: 2 }],
    dropOff: { latitude: store.latitude, longitude: store.longitude },
  };
  return [
    `# place an order at the store "${store.name}"; pasted twice it is still one order`,
    `curl -sS ${routerUrl}/v1/orders -H 'Content-Type: application/json' -H 'Traffic-Tag: ${store.id}' ` +
      `-H 'Idempotency-Key: ${idempotencyKey}' -d '${JSON.stringify(order)}'`,
    "# the customer's orders, from the zone that serves the place",
    `curl -sS ${routerUrl}/v1/customers/${CUSTOMER}/orders -H 'Traffic-Tag: geo:${store.cell}'`,
    '# the store: its id carries its shard, so it needs no tag',
    `curl -sS ${routerUrl}/v1/stores/${store.id}`,
  ];
}

/** To the first of the servers that takes it: of several coordinators one leads. */
async function post<T>(
  urls: readonly string[],
  path: string,
  headers: Record<string, string>,
  body: unknown,
  shape: z.ZodType<T>,
): Promise<T> {
  const until = Date.now() + SETTLED_WITHIN_MS;
  for (let tried = 0; ; tried += 1) {
    const url = `${urls[tried % urls.length] ?? ''}${path}`;
    const response = await fetch(url, {
      method: 'POST',
      headers: { ...headers, 'Content-Type': 'application/json' },
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(SETTLED_WITHIN_MS),
    });
    const text = await response.text();
    if (response.ok) return shape.parse(JSON.parse(text));
    // The router does not know the area yet, or the zone not that it owns the shard.
    const isSettling = [404, 421, 503].includes(response.status);
    if (!isSettling || Date.now() >= until) throw new Error(`POST ${url} answered ${response.status}: ${text}`);
    await sleep(50);
  }
}
