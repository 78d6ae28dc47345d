/** One effect for each key, with one answer, and no effect that nobody asked for. */
import { type Breach } from './breach.js';
import { type Evidence, versionKey } from './evidence.js';
import { counted, grouped } from './grouped.js';
import { type OrderAnswer, type RequestRecord, type ZoneRows } from './history.js';

export function* duplicatedWrites(evidence: Evidence): Generator<Breach> {
  yield* keysWithTwoAnswers(evidence);
  yield* effectsOfTwoKeys(evidence);
  const asked = askedFor(evidence.history.requests);
  for (const zone of evidence.history.zones) {
    yield* rowsThereTwice(zone);
    yield* effectsNobodyAskedFor(zone, asked);
  }
}

function* keysWithTwoAnswers({ writes }: Evidence): Generator<Breach> {
  const answers = new Map<string, OrderAnswer>();
  for (const { key, answer } of writes) {
    if (key === undefined) continue;
    const first = answers.get(key);
    if (first === undefined) answers.set(key, answer);
    else if (!isSame(first, answer)) {
      yield duplicated(`key ${key} was answered with ${describe(first)} and with ${describe(answer)}`);
    }
  }
}

function isSame(a: OrderAnswer, b: OrderAnswer): boolean {
  return (
    a.orderId === b.orderId &&
    a.version === b.version &&
    a.status === b.status &&
    a.content === b.content &&
    a.digest === b.digest
  );
}

/** Two keys that were both told of one change: one of them had no effect of its own. */
function* effectsOfTwoKeys({ effects }: Evidence): Generator<Breach> {
  const byVersion = grouped(effects, ({ answer }) => versionKey(answer.orderId, answer.version));
  for (const [version, [first, ...others]] of byVersion) {
    for (const { key } of others) yield duplicated(`keys ${first?.key ?? '-'} and ${key} were both told of ${version}`);
  }
}

function* rowsThereTwice({ zone, orders, events, keys }: ZoneRows): Generator<Breach> {
  const versions = events.map(({ orderId, orderVersion }) => versionKey(orderId, orderVersion));
  yield* moreThanOnce(`zone ${zone}: the content of orders`, counted(orders.map(({ content }) => content)));
  yield* moreThanOnce(`zone ${zone}: order`, counted(orders.map(({ orderId }) => orderId)));
  yield* moreThanOnce(`zone ${zone}: key`, counted(keys.map(({ key }) => key)));
  yield* moreThanOnce(`zone ${zone}: the change to`, counted(versions));
}

function* moreThanOnce(what: string, counts: ReadonlyMap<string, number>): Generator<Breach> {
  for (const [value, count] of counts) {
    if (count > 1) yield duplicated(`${what} "${value}" is there ${count} times`);
  }
}

interface Asked {
  /** What orders were to say. */
  readonly contents: ReadonlySet<string>;
  /** How many keys asked for a change of an order, by order and change; also those whose request failed. */
  readonly changes: ReadonlyMap<string, number>;
}

function askedFor(requests: readonly RequestRecord[]): Asked {
  const contents = new Set<string>();
  const keys = new Map<string, Set<string>>();
  for (const { kind, content, orderId, effect, key } of requests) {
    if (kind === 'place' && content !== undefined) contents.add(content);
    if (kind !== 'change' || orderId === undefined || effect === undefined || key === undefined) continue;
    const change = `${effect} of order ${orderId}`;
    const known = keys.get(change);
    if (known === undefined) keys.set(change, new Set([key]));
    else known.add(key);
  }
  return { contents, changes: new Map([...keys].map(([change, { size }]) => [change, size])) };
}

function* effectsNobodyAskedFor({ zone, orders, events }: ZoneRows, asked: Asked): Generator<Breach> {
  for (const { orderId, content } of orders) {
    if (!asked.contents.has(content))
      yield duplicated(`zone ${zone}: nobody asked for order ${orderId}, which says "${content}"`);
  }
  const versions = new Map(orders.map(({ orderId, version }) => [orderId, version]));
  for (const { orderId, orderVersion } of events) {
    const version = versions.get(orderId) ?? 0;
    if (orderVersion <= version) continue;
    yield duplicated(
      `zone ${zone}: order ${orderId} has a change to version ${orderVersion}, and is at version ${version}`,
    );
  }
  const changes = events.filter(({ orderVersion }) => orderVersion > 1);
  for (const [change, count] of counted(changes.map(({ kind, orderId }) => `${kind} of order ${orderId}`))) {
    const keys = asked.changes.get(change) ?? 0;
    if (count > keys)
      yield duplicated(`zone ${zone}: ${change} came about ${count} times and was asked for ${keys} times`);
  }
}

function duplicated(detail: string): Breach {
  return { kind: 'duplicated-write', detail };
}

function describe({ orderId, version, status, digest }: OrderAnswer): string {
  return `${orderId} version ${version} (${status}, ${digest})`;
}
