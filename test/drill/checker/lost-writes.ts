/** Every acknowledged order and change is in every zone, with the acknowledged content, or with what came after it. */
import { type Breach } from './breach.js';
import { type Acknowledged, type Evidence, versionKey } from './evidence.js';
import { type EventRow, type OrderRow, type RequestRecord, type ZoneRows } from './history.js';

export function* lostWrites({ history, writes, reads, effects }: Evidence): Generator<Breach> {
  for (const request of history.requests) {
    if (request.isOk && request.answer === undefined) yield lost(`the answer to ${nameOf(request)} names no order`);
  }
  for (const zone of history.zones) {
    const rows = byVersion(zone);
    const keys = new Map(zone.keys.map((row) => [row.key, row]));
    const say = (fault: string): Breach => lost(`zone ${zone.zone}: ${fault}`);
    for (const request of writes) {
      const fault = faultOfWrite(request, rows);
      if (fault !== undefined) yield say(fault);
    }
    for (const { key, shard } of effects) {
      const row = keys.get(key);
      if (row === undefined) yield say(`key ${key} was acknowledged and is not there`);
      else if (row.shard !== shard) yield say(`key ${key} of shard ${shard} stands in shard ${row.shard}`);
    }
    for (const { answer } of reads) {
      const version = rows.orders.get(answer.orderId)?.version ?? 0;
      if (version >= answer.version) continue;
      yield say(`order ${answer.orderId} was read at version ${answer.version} and is at version ${version}`);
    }
    yield* versionsWithoutChange(zone);
  }
}

interface RowsOfZone {
  readonly orders: ReadonlyMap<string, OrderRow>;
  readonly events: ReadonlyMap<string, EventRow>;
}

function byVersion({ orders, events }: ZoneRows): RowsOfZone {
  return {
    orders: new Map(orders.map((order) => [order.orderId, order])),
    events: new Map(events.map((event) => [versionKey(event.orderId, event.orderVersion), event])),
  };
}

function faultOfWrite(request: Acknowledged, { orders, events }: RowsOfZone): string | undefined {
  const { kind, shard, answer, content, effect } = request;
  const { orderId, version } = answer;
  if (kind === 'change' && request.orderId !== orderId) return `${nameOf(request)} was answered with order ${orderId}`;
  const row = orders.get(orderId);
  if (row === undefined) return `order ${orderId} was acknowledged and is not there`;
  if (row.shard !== shard) return `order ${orderId} of shard ${shard} stands in shard ${row.shard}`;
  if (row.version < version) return `order ${orderId} is at version ${row.version}, ${version} was acknowledged`;
  const wanted = kind === 'place' ? content : answer.content;
  if (row.content !== wanted || answer.content !== wanted) {
    return `order ${orderId} says "${row.content}", "${wanted ?? ''}" was asked for and "${answer.content}" acknowledged`;
  }
  const event = events.get(versionKey(orderId, version));
  if (event === undefined) return `order ${orderId} has no record of its version ${version}`;
  if (event.kind !== effect) {
    return `version ${version} of order ${orderId} is "${event.kind}", "${effect ?? ''}" was acknowledged`;
  }
  // The last change of a row says what the row says.
  if (row.version === version && row.status !== answer.status) {
    return `order ${orderId} is ${row.status} at version ${version}, ${answer.status} was acknowledged`;
  }
  return undefined;
}

/** An order at version n has n changes, from the first to the nth. */
function* versionsWithoutChange({ zone, orders, events }: ZoneRows): Generator<Breach> {
  const there = new Set(events.map(({ orderId, orderVersion }) => versionKey(orderId, orderVersion)));
  for (const { orderId, version } of orders) {
    for (let each = 1; each <= version; each += 1) {
      if (!there.has(versionKey(orderId, each))) {
        yield lost(`zone ${zone}: order ${orderId} is at version ${version} and has no record of version ${each}`);
      }
    }
  }
}

function lost(detail: string): Breach {
  return { kind: 'lost-write', detail };
}

function nameOf({ kind, key, orderId }: RequestRecord): string {
  return `${kind} ${key ?? orderId ?? '-'}`;
}
