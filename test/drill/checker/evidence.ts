/** The history as the checks look at it: read once, so that 300,000 requests take seconds. */
import { grouped } from './grouped.js';
import { type EventRow, type History, type OrderAnswer, type RequestRecord, type ZoneRows } from './history.js';

/** A request that was answered with what it asked for. */
export type Acknowledged = RequestRecord & { readonly answer: OrderAnswer };

/** All requests with one key, of which one at least was acknowledged: its effect came about within `sentAt` to `answeredAt`. */
export interface Effect {
  readonly key: string;
  readonly kind: 'place' | 'change';
  readonly shard: number;
  readonly answer: OrderAnswer;
  /** Of the first request with the key. */
  readonly sentAt: number;
  /** Of the first answer. */
  readonly answeredAt: number;
}

export interface Evidence {
  readonly history: History;
  /** Orders placed and changed, as acknowledged; a key that was sent twice stands here twice. */
  readonly writes: readonly Acknowledged[];
  readonly reads: readonly Acknowledged[];
  /** One for each acknowledged key. */
  readonly effects: readonly Effect[];
  /** What some zone's rows say of each version of each order; see `versionKey`. */
  readonly events: ReadonlyMap<string, EventRow>;
}

export function evidenceOf(history: History): Evidence {
  const answered = history.requests.filter(isAcknowledged);
  const writes = answered.filter(({ kind }) => kind !== 'read');
  return {
    history,
    writes,
    reads: answered.filter(({ kind }) => kind === 'read'),
    effects: effectsOf(history.requests),
    events: eventsOf(history.zones),
  };
}

/** Names one version of one order. */
export function versionKey(orderId: string, version: number): string {
  return `version ${version} of order ${orderId}`;
}

function isAcknowledged(request: RequestRecord): request is Acknowledged {
  return request.isOk && request.answer !== undefined;
}

function effectsOf(requests: readonly RequestRecord[]): Effect[] {
  const withKey = requests.filter(({ key }) => key !== undefined);
  return [...grouped(withKey, ({ key }) => key ?? '')].flatMap(([key, tries]) => {
    let sentAt = Infinity;
    let first: Acknowledged | undefined;
    for (const request of tries) {
      sentAt = Math.min(sentAt, request.sentAt);
      if (!isAcknowledged(request)) continue;
      if (first === undefined || request.answeredAt < first.answeredAt) first = request;
    }
    if (first === undefined || first.kind === 'read') return [];
    const { kind, shard, answer, answeredAt } = first;
    return [{ key, kind, shard, answer, sentAt, answeredAt }];
  });
}

function eventsOf(zones: readonly ZoneRows[]): Map<string, EventRow> {
  const events = new Map<string, EventRow>();
  for (const zone of zones) {
    for (const event of zone.events) events.set(versionKey(event.orderId, event.orderVersion), event);
  }
  return events;
}
