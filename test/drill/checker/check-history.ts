import { grouped } from './grouped.js';
/**
 * Does a history keep the promises? Each check is named after what it looks for; none of them knows how the system works.
 */
import { type EventRow, type History, type OrderRow, type RequestRecord, type ZoneRows } from './history.js';

/** What can be wrong with a history. */
export const BREACH_KINDS = [
  /** A request was answered with anything but what it asked for. */
  'failed-request',
  /** An acknowledged order or change is not in a zone, or not with the acknowledged content. */
  'lost-write',
  /** One key, or one order, had more than one effect; or one key two different answers. */
  'duplicated-write',
  /** An order was changed while its shard was locked. */
  'locked-change',
  /** Writes of two epochs of one shard overlap, or one epoch was written by two zones. */
  'overlapping-epochs',
  /** Two zones hold different rows. */
  'zones-differ',
  /** A read showed less than was acknowledged before it was sent. */
  'stale-read',
  /** There is nothing in it that could have been wrong. */
  'empty-history',
] as const;
export type BreachKind = (typeof BREACH_KINDS)[number];

export interface Breach {
  readonly kind: BreachKind;
  /** For people: what, where, which ids. */
  readonly detail: string;
}

/** Every breach found, in the order of the kinds; none is right. */
export function checkHistory(history: History): Breach[] {
  return [
    ...failedRequests(history),
    ...lostWrites(history),
    ...duplicatedWrites(history),
    ...lockedChanges(history),
    ...overlappingEpochs(history),
    ...zonesThatDiffer(history),
    ...staleReads(history),
    ...emptiness(history),
  ];
}

/** How many breaches of each kind there are. */
export function countBreaches(breaches: readonly Breach[]): Record<BreachKind, number> {
  const counts = Object.fromEntries(BREACH_KINDS.map((kind) => [kind, 0])) as Record<BreachKind, number>;
  for (const { kind } of breaches) counts[kind] += 1;
  return counts;
}

function* failedRequests({ requests }: History): Generator<Breach> {
  for (const { kind, client, isOk, failure, shard, key, orderId } of requests) {
    if (isOk) continue;
    const what = `${kind} of shard ${shard} by ${client} (${key ?? orderId ?? '-'})`;
    yield { kind: 'failed-request', detail: `${what}: ${failure ?? 'no reason recorded'}` };
  }
}

function* lostWrites({ requests, zones }: History): Generator<Breach> {
  for (const zone of zones) {
    const orders = byId(zone.orders);
    const events = new Map(zone.events.map((event) => [eventKey(event.orderId, event.orderVersion), event]));
    for (const request of acknowledgedWrites(requests)) {
      const fault = faultOf(request, orders, events);
      if (fault !== undefined) yield { kind: 'lost-write', detail: `zone ${zone.zone}: ${fault}` };
    }
  }
}

function faultOf(
  { kind, answer, content, change, key }: RequestRecord,
  orders: ReadonlyMap<string, OrderRow>,
  events: ReadonlyMap<string, EventRow>,
): string | undefined {
  if (answer === undefined) return `the answer to ${key ?? '-'} names no order`;
  const { orderId, version } = answer;
  const row = orders.get(orderId);
  if (row === undefined) return `order ${orderId} was acknowledged and is not there`;
  if (row.version < version) return `order ${orderId} is at version ${row.version}, ${version} was acknowledged`;
  const wanted = kind === 'place' ? content : answer.content;
  if (row.content !== wanted || answer.content !== wanted) {
    return `order ${orderId} says "${row.content}", "${wanted ?? ''}" was asked for and "${answer.content}" acknowledged`;
  }
  const event = events.get(eventKey(orderId, version));
  if (event === undefined) return `order ${orderId} has no record of its version ${version}`;
  if (kind === 'change' && event.kind !== change) {
    return `version ${version} of order ${orderId} is "${event.kind}", "${change ?? ''}" was acknowledged`;
  }
  // The last change of a row says what the row says.
  if (row.version === version && row.status !== answer.status) {
    return `order ${orderId} is ${row.status} at version ${version}, ${answer.status} was acknowledged`;
  }
  return undefined;
}

function* duplicatedWrites({ requests, zones }: History): Generator<Breach> {
  const answers = new Map<string, RequestRecord>();
  for (const request of acknowledgedWrites(requests)) {
    const { key, answer } = request;
    if (key === undefined || answer === undefined) continue;
    const first = answers.get(key)?.answer;
    if (first === undefined) answers.set(key, request);
    else if (!isSameAnswer(first, answer)) {
      yield {
        kind: 'duplicated-write',
        detail: `key ${key} was answered with ${describe(first)} and with ${describe(answer)}`,
      };
    }
  }
  for (const zone of zones) {
    for (const [content, count] of counted(zone.orders.map((order) => order.content))) {
      if (count > 1) yield { kind: 'duplicated-write', detail: `zone ${zone.zone}: "${content}" is ${count} orders` };
    }
    for (const [key, count] of counted(zone.keys.map((row) => row.key))) {
      if (count > 1) yield { kind: 'duplicated-write', detail: `zone ${zone.zone}: key ${key} has ${count} effects` };
    }
    const changes = zone.events.map(({ orderId, orderVersion }) => eventKey(orderId, orderVersion));
    for (const [change, count] of counted(changes)) {
      if (count > 1)
        yield { kind: 'duplicated-write', detail: `zone ${zone.zone}: ${change} came about ${count} times` };
    }
    const versions = counted(zone.events.map(({ orderId }) => orderId));
    for (const { orderId, version } of zone.orders) {
      const changed = versions.get(orderId) ?? 0;
      if (changed === version) continue;
      yield {
        kind: changed < version ? 'lost-write' : 'duplicated-write',
        detail: `zone ${zone.zone}: order ${orderId} is at version ${version} after ${changed} changes`,
      };
    }
  }
}

function isSameAnswer(a: { orderId: string; version: number; status: string }, b: typeof a): boolean {
  return a.orderId === b.orderId && a.version === b.version && a.status === b.status;
}

function describe({ orderId, version, status }: { orderId: string; version: number; status: string }): string {
  return `${orderId} version ${version} (${status})`;
}

/** A change whose request was sent after the lock stood and answered before it was given up happened in between. */
function* lockedChanges({ requests, locks }: History): Generator<Breach> {
  const byShard = grouped(locks, ({ shard }) => shard);
  for (const request of acknowledgedWrites(requests)) {
    if (request.isReplay === true) continue; // the effect is older than this request
    for (const { fencedAt, servedAt, moveId } of byShard.get(request.shard) ?? []) {
      if (request.sentAt < fencedAt || request.answeredAt > servedAt) continue;
      yield {
        kind: 'locked-change',
        detail: `${request.kind} ${request.key ?? ''} of shard ${request.shard} was made while move ${moveId} had it locked`,
      };
    }
  }
}

function* overlappingEpochs(history: History): Generator<Breach> {
  yield* epochsThatOverlap(history);
  yield* writesAfterTheirEpoch(history);
  yield* epochsOfTwoZones(history);
}

interface Span {
  readonly shard: number;
  readonly epoch: number;
  readonly sentAt: number;
  readonly answeredAt: number;
}

/** In which span each acknowledged write came about: from the first request with its key to the first answer. */
function spansOf({ requests, zones }: History): Span[] {
  const epochs = epochsOf(zones);
  const withKey = requests.filter(({ key }) => key !== undefined);
  return [...grouped(withKey, ({ key }) => key).values()].flatMap((tries) => {
    const answered = tries.filter(({ isOk }) => isOk);
    const answer = answered.find((request) => request.answer !== undefined)?.answer;
    const epoch = answer === undefined ? undefined : epochs.get(eventKey(answer.orderId, answer.version));
    if (epoch === undefined || answered[0] === undefined) return [];
    return {
      shard: answered[0].shard,
      epoch,
      sentAt: Math.min(...tries.map(({ sentAt }) => sentAt)),
      answeredAt: Math.min(...answered.map(({ answeredAt }) => answeredAt)),
    };
  });
}

/** The epoch under which each version of each order was written. */
function epochsOf(zones: readonly ZoneRows[]): Map<string, number> {
  return new Map(
    zones.flatMap(({ events }) =>
      events.map(({ orderId, orderVersion, epoch }): [string, number] => [eventKey(orderId, orderVersion), epoch]),
    ),
  );
}

/** No write of an epoch was begun after a write of a later one had been acknowledged. */
function* epochsThatOverlap(history: History): Generator<Breach> {
  for (const [shard, spans] of grouped(spansOf(history), (span) => span.shard)) {
    // From the last epoch backwards: the earliest answer of all later ones is what no earlier write may begin after.
    let earliest = { answeredAt: Infinity, epoch: 0 };
    for (const [epoch, writes] of [...grouped(spans, (span) => span.epoch)].sort(([x], [y]) => y - x)) {
      for (const { sentAt } of writes) {
        if (sentAt <= earliest.answeredAt) continue;
        yield {
          kind: 'overlapping-epochs',
          detail: `shard ${shard}: a write of epoch ${epoch} began after one of epoch ${earliest.epoch} was acknowledged`,
        };
      }
      for (const { answeredAt } of writes) if (answeredAt < earliest.answeredAt) earliest = { answeredAt, epoch };
    }
  }
}

/** No row of an ended epoch came about after the next owner may have begun. */
function* writesAfterTheirEpoch({ zones, locks }: History): Generator<Breach> {
  const ends = grouped(locks, ({ shard }) => shard);
  const [zone] = zones;
  for (const { orderId, orderVersion, shard, epoch, occurredAt } of zone?.events ?? []) {
    for (const end of ends.get(shard) ?? []) {
      if (epoch > end.epoch || occurredAt <= end.servedAt) continue;
      yield {
        kind: 'overlapping-epochs',
        detail: `shard ${shard}: version ${orderVersion} of order ${orderId} has epoch ${epoch}, which had ended`,
      };
    }
  }
}

/** Whoever answered a write of an epoch was its one owner. */
function* epochsOfTwoZones({ requests, zones }: History): Generator<Breach> {
  const epochs = epochsOf(zones);
  const owners = new Map<string, string>();
  for (const { answer, zone, isReplay, shard } of acknowledgedWrites(requests)) {
    if (answer === undefined || zone === undefined || isReplay === true) continue;
    const epoch = epochs.get(eventKey(answer.orderId, answer.version));
    if (epoch === undefined) continue;
    const owner = owners.get(`${shard}@${epoch}`) ?? zone;
    owners.set(`${shard}@${epoch}`, owner);
    if (owner === zone) continue;
    yield {
      kind: 'overlapping-epochs',
      detail: `shard ${shard}: zones ${owner} and ${zone} both wrote epoch ${epoch}`,
    };
  }
}

function* zonesThatDiffer({ zones }: History): Generator<Breach> {
  const [first, ...others] = zones;
  if (first === undefined) return;
  const wanted = linesOf(first);
  for (const other of others) {
    const lines = linesOf(other);
    for (const [id, line] of wanted) {
      const found = lines.get(id);
      if (found === line) continue;
      yield { kind: 'zones-differ', detail: `${id}: ${first.zone} has ${line}, ${other.zone} ${found ?? 'nothing'}` };
    }
    for (const id of lines.keys()) {
      if (!wanted.has(id)) yield { kind: 'zones-differ', detail: `${id}: only zone ${other.zone} has it` };
    }
  }
}

function linesOf({ orders, events, keys }: ZoneRows): Map<string, string> {
  const lines = new Map<string, string>();
  for (const row of orders) {
    lines.set(`order ${row.orderId}`, [row.shard, row.epoch, row.version, row.status, row.content].join(' '));
  }
  for (const row of events) {
    lines.set(eventKey(row.orderId, row.orderVersion), [row.shard, row.epoch, row.kind, row.occurredAt].join(' '));
  }
  for (const row of keys) lines.set(`key ${row.key}`, `${row.shard} ${row.epoch}`);
  return lines;
}

function* staleReads({ requests }: History): Generator<Breach> {
  const acknowledged = grouped(
    acknowledgedWrites(requests).flatMap(({ answer, answeredAt }) =>
      answer === undefined ? [] : [{ ...answer, answeredAt }],
    ),
    ({ orderId }) => orderId,
  );
  for (const { kind, isOk, orderId, answer, sentAt } of requests) {
    if (kind !== 'read' || !isOk || orderId === undefined) continue;
    const known = (acknowledged.get(orderId) ?? []).filter(({ answeredAt }) => answeredAt < sentAt);
    const version = Math.max(0, ...known.map((write) => write.version));
    const content = known[0]?.content ?? answer?.content;
    if (answer !== undefined && answer.orderId === orderId && answer.version >= version && answer.content === content)
      continue;
    yield {
      kind: 'stale-read',
      detail: `order ${orderId} was read at version ${answer?.version ?? 'none'} after ${version} was acknowledged`,
    };
  }
}

/** A check of nothing proves nothing. */
function* emptiness({ requests, zones, locks }: History): Generator<Breach> {
  if (acknowledgedWrites(requests).length === 0) yield { kind: 'empty-history', detail: 'no write was acknowledged' };
  if (zones.length < 2) yield { kind: 'empty-history', detail: 'the rows of two zones or more are needed' };
  if (locks.length === 0) yield { kind: 'empty-history', detail: 'no shard was ever locked' };
}

function acknowledgedWrites(requests: readonly RequestRecord[]): RequestRecord[] {
  return requests.filter(({ kind, isOk }) => kind !== 'read' && isOk);
}

function byId(orders: readonly OrderRow[]): Map<string, OrderRow> {
  return new Map(orders.map((order) => [order.orderId, order]));
}

function eventKey(orderId: string, version: number): string {
  return `version ${version} of order ${orderId}`;
}

function counted(values: readonly string[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return counts;
}
