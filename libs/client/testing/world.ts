/** For specs: a cluster of three zones with a router each, and clients that find them. */
import { cellOfPlace } from '@borough/topology';
import { type DeliveryClient, type DeliveryClientOptions, type Storage, createDeliveryClient } from '../src/index.js';
import { FakeCluster, FakeRouter, freshId } from './fake-router.js';

/** In shard 1, which zone `a` serves; the place's own cell is the whole area. */
export const PLACE = { latitude: 4.6, longitude: -74.1 };
/** In shard 2, of zone `b`. */
export const OTHER_PLACE = { latitude: 3.4, longitude: -76.5 };

export class World {
  private readonly clients: DeliveryClient[] = [];

  private constructor(
    readonly cluster: FakeCluster,
    readonly a: FakeRouter,
    readonly b: FakeRouter,
    readonly c: FakeRouter,
  ) {}

  /** Three routers; zone `a` has shard 1, zone `b` shard 2. Each router's public address is in the table. */
  static async start(): Promise<World> {
    const cluster = new FakeCluster();
    const [a, b, c] = await Promise.all([
      new FakeRouter(cluster, 'a').start(),
      new FakeRouter(cluster, 'b').start(),
      new FakeRouter(cluster, 'c').start(),
    ]);
    cluster.addArea(1, cellOfPlace(PLACE.latitude, PLACE.longitude) ?? '', 'a');
    cluster.addArea(2, cellOfPlace(OTHER_PLACE.latitude, OTHER_PLACE.longitude) ?? '', 'b');
    cluster.routers = { a: a.url, b: b.url, c: c.url };
    return new World(cluster, a, b, c);
  }

  get routers(): readonly FakeRouter[] {
    return [this.a, this.b, this.c];
  }

  /** A client that was given the routers of `c` and `b`, in that order, unless told otherwise. */
  client(options: Partial<DeliveryClientOptions> = {}): DeliveryClient {
    const client = createDeliveryClient({ routerUrls: [this.c.url, this.b.url], ...options });
    this.clients.push(client);
    return client;
  }

  /** The same, with its table. */
  async readyClient(options: Partial<DeliveryClientOptions> = {}): Promise<DeliveryClient> {
    const client = this.client(options);
    await client.ready();
    return client;
  }

  /** Which routers got calls, in the order of the alphabet. */
  get called(): string {
    return this.routers.flatMap(({ zone, calls }) => calls.map(() => zone)).join('');
  }

  async stop(): Promise<void> {
    await Promise.all(this.clients.map((client) => client.close()));
    await Promise.all(this.routers.map((router) => router.kill()));
  }
}

/** An order at a store of this shard. */
export function orderAt(shard = 1) {
  return {
    storeId: freshId('store', shard),
    customerId: freshId('customer'),
    items: [{ name: 'arepa', quantity: 2 }],
    dropOff: PLACE,
  };
}

/** A store of texts that several clients share, as the tabs of a browser do; each answer comes a turn later. */
export class MemoryStorage implements Storage {
  readonly texts = new Map<string, string>();

  async get(key: string): Promise<string | undefined> {
    await Promise.resolve();
    return this.texts.get(key);
  }

  async set(key: string, value: string): Promise<void> {
    await Promise.resolve();
    this.texts.set(key, value);
  }

  async remove(key: string): Promise<void> {
    await Promise.resolve();
    this.texts.delete(key);
  }

  async keys(): Promise<string[]> {
    await Promise.resolve();
    return [...this.texts.keys()];
  }

  /** What is there of pending calls. */
  get pending(): string[] {
    return [...this.texts.keys()].filter((key) => key.startsWith('borough/pending/'));
  }
}
