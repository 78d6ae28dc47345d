/** What came of the orders sent: acknowledgements with their content, latencies, and errors by code. */
import { parseId, type ShardNumber } from '@borough/topology';
import { build } from 'hdr-histogram-js';
import { errorCode, type Answer } from './http-endpoint.js';
import { type ExpectedOrder } from './order-content.js';
import { type OrderRequest } from './order-requests.js';

export interface AcknowledgedOrder {
  readonly uuid: string;
  readonly shard: ShardNumber;
  /** The zone that answered. */
  readonly zoneId: string;
  readonly request: OrderRequest;
}

export interface LatencyMs {
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
  readonly max: number;
}

const LONGEST_LATENCY_US = 60 * 60 * 1_000_000;

export class PlacementRecord {
  readonly acknowledged: AcknowledgedOrder[] = [];
  readonly errorsByCode = new Map<string, number>();
  errors = 0;
  readonly #latenciesUs = build({
    bitBucketSize: 32,
    highestTrackableValue: LONGEST_LATENCY_US,
    numberOfSignificantValueDigits: 3,
  });

  /** @param latencyMs from the instant the order was due to its whole answer */
  take(request: OrderRequest, answer: Answer, latencyMs: number): void {
    if (answer.kind !== 'ok') {
      this.#count(errorCode(answer));
      return;
    }
    const id = orderIdIn(answer.body);
    if (id === undefined) {
      this.#count(`http ${answer.status} without an order id`);
      return;
    }
    this.acknowledged.push({ ...id, zoneId: answer.zoneId ?? 'unknown', request });
    this.#latenciesUs.recordValue(Math.min(Math.max(Math.round(latencyMs * 1000), 1), LONGEST_LATENCY_US));
  }

  /** Of the acknowledged orders; all 0 when there are none. */
  latencyMs(): LatencyMs {
    const at = (percentile: number) => this.#latenciesUs.getValueAtPercentile(percentile) / 1000;
    return { p50: at(50), p95: at(95), p99: at(99), max: this.#latenciesUs.maxValue / 1000 };
  }

  #count(code: string): void {
    this.errors += 1;
    this.errorsByCode.set(code, (this.errorsByCode.get(code) ?? 0) + 1);
  }
}

/** The acknowledged orders as the databases must have them. */
export function expectedOrders(acknowledged: readonly AcknowledgedOrder[]): ExpectedOrder[] {
  return acknowledged.map(({ uuid, shard, request }) => ({
    uuid,
    shard,
    storeUuid: parseId(request.storeId)?.uuid ?? '',
    customerUuid: parseId(request.customerId)?.uuid ?? '',
    items: request.items,
  }));
}

function orderIdIn(body: unknown): { uuid: string; shard: ShardNumber } | undefined {
  if (typeof body !== 'object' || body === null || !('id' in body) || typeof body.id !== 'string') return undefined;
  const id = parseId(body.id);
  return id?.kind === 'order' ? { uuid: id.uuid, shard: id.shard } : undefined;
}
