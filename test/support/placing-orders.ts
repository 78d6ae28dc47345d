import { type TestCluster } from './cluster.js';

/** What happened to one order somebody tried to place. */
export interface Attempt {
  readonly key: string;
  readonly zoneId: string;
  readonly storeId: string;
  readonly status: number;
  /** `ord_…` when it was acknowledged. */
  readonly orderId: string | undefined;
  /** Problem code when it was refused, or the transport's error. */
  readonly refusal: string | undefined;
}

let placed = 0;

/** Places one order in the area of a zone, through the router. */
export async function placeOrder(
  cluster: TestCluster,
  zoneId: string,
  key = `order-${(placed += 1)}`,
): Promise<Attempt> {
  const storeId = cluster.stores.get(zoneId)?.storeId ?? '';
  const attempt = { key, zoneId, storeId };
  try {
    const answer = await fetch(`${cluster.addresses.routerUrl}/v1/orders`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'traffic-tag': storeId, 'idempotency-key': key },
      body: JSON.stringify({
        storeId,
        customerId: 'cus_01h455vb4pex5vsknk084sn02q',
        items: [{ name: `bread for ${key}`, quantity: 1 }],
        dropOff: { latitude: 1, longitude: 2 },
      }),
    });
    const body = (await answer.json()) as { id?: string; code?: string };
    return { ...attempt, status: answer.status, orderId: answer.ok ? body.id : undefined, refusal: body.code };
  } catch (error) {
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause.message : String(error);
    return { ...attempt, status: 0, orderId: undefined, refusal: cause };
  }
}

/** Keeps placing orders in all zones, `clients` at a time, until it is stopped. */
export class OrderStream {
  private isStopped = false;
  private readonly clients: Promise<void>[];
  readonly attempts: Attempt[] = [];

  constructor(cluster: TestCluster, zoneIds: readonly string[], clients = 4) {
    this.clients = Array.from({ length: clients }, async (_, client) => {
      for (let n = client; !this.isStopped; n += 1) {
        const zoneId = zoneIds[n % zoneIds.length];
        if (zoneId !== undefined) this.attempts.push(await placeOrder(cluster, zoneId));
      }
    });
  }

  get acknowledged(): Attempt[] {
    return this.attempts.filter((attempt) => attempt.orderId !== undefined);
  }

  get refused(): Attempt[] {
    return this.attempts.filter((attempt) => attempt.orderId === undefined);
  }

  async stop(): Promise<void> {
    this.isStopped = true;
    await Promise.all(this.clients);
  }
}
