import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type BreachKind, checkHistory } from './check-history.js';
import { type EventRow, type History, type OrderRow, type RequestRecord, type ZoneRows } from './history.js';

/** What really happened to an order, told in writes: the system under test as it should be. */
interface Write {
  readonly order: number;
  readonly kind: 'placed' | 'accepted' | 'cancelled';
  readonly epoch: number;
  readonly sentAt: number;
}

const ZONES = ['a', 'b', 'c'];
const SHARD = 7;
/** Epoch n is written from 1000 n on; its lock stands for the last 100 ms. */
const EPOCH_MS = 1_000;
const LOCK_MS = 100;

/** A correct history of these writes, each order placed once and changed in order. */
function historyOf(writes: readonly Write[], epochs: number): History {
  const versions = new Map<number, number>();
  const requests: RequestRecord[] = [];
  const events: EventRow[] = [];
  const orders = new Map<number, OrderRow>();
  for (const [at, write] of writes.entries()) {
    const version = (versions.get(write.order) ?? 0) + 1;
    versions.set(write.order, version);
    const orderId = `ord_${write.order}`;
    const content = `bread ${write.order}`;
    const answeredAt = write.sentAt + 5;
    orders.set(write.order, { orderId, shard: SHARD, epoch: write.epoch, version, status: write.kind, content });
    events.push({
      orderId,
      orderVersion: version,
      shard: SHARD,
      epoch: write.epoch,
      kind: write.kind,
      occurredAt: write.sentAt + 2,
    });
    const isPlace = write.kind === 'placed';
    requests.push({
      client: at % 2 === 0 ? 'plain' : 'sdk',
      kind: isPlace ? 'place' : 'change',
      shard: SHARD,
      key: `key-${at}`,
      ...(isPlace ? { content } : { change: write.kind, orderId }),
      sentAt: write.sentAt,
      answeredAt,
      isOk: true,
      answer: { orderId, version, status: write.kind, content },
      zone: ZONES[write.epoch % 3] ?? '',
    });
    requests.push({
      client: 'plain',
      kind: 'read',
      shard: SHARD,
      orderId,
      sentAt: answeredAt + 1,
      answeredAt: answeredAt + 2,
      isOk: true,
      answer: { orderId, version, status: write.kind, content },
    });
  }
  const keys = writes.map(({ epoch }, at) => ({ key: `key-${at}`, shard: SHARD, epoch }));
  return {
    requests,
    zones: ZONES.map((zone) => ({ zone, orders: [...orders.values()], events, keys })),
    locks: Array.from({ length: epochs }, (_, at) => ({
      shard: SHARD,
      epoch: at + 1,
      fencedAt: (at + 2) * EPOCH_MS - LOCK_MS,
      servedAt: (at + 2) * EPOCH_MS,
      moveId: `mov_${at + 1}`,
    })),
  };
}

const EPOCHS = 4;

/** Orders of random shape: each placed in some epoch, and changed in the same or later ones. */
const someWrites: fc.Arbitrary<Write[]> = fc
  .array(
    fc.record({
      start: fc.integer({ min: 1, max: EPOCHS }),
      changes: fc.integer({ min: 0, max: 2 }),
      gaps: fc.array(fc.integer({ min: 0, max: 1 }), { minLength: 2, maxLength: 2 }),
    }),
    { minLength: 1, maxLength: 30 },
  )
  .map((shapes) =>
    shapes
      .flatMap(({ start, changes, gaps }, order) => {
        const kinds = (['placed', 'accepted', 'cancelled'] as const).slice(0, changes + 1);
        let epoch = start;
        return kinds.map((kind, step) => {
          epoch = Math.min(EPOCHS, epoch + (step === 0 ? 0 : (gaps[step - 1] ?? 0)));
          return { order, kind, epoch, sentAt: epoch * EPOCH_MS + 20 * step + (order % 20) };
        });
      })
      .sort((a, b) => a.sentAt - b.sentAt),
  );

/** Three orders, each in its own way: the ground in which breaches are planted. */
const GOOD = historyOf(
  [
    { order: 1, kind: 'placed', epoch: 1, sentAt: 1_010 },
    { order: 2, kind: 'placed', epoch: 1, sentAt: 1_020 },
    { order: 1, kind: 'accepted', epoch: 2, sentAt: 2_010 },
    { order: 3, kind: 'placed', epoch: 2, sentAt: 2_020 },
    { order: 1, kind: 'cancelled', epoch: 3, sentAt: 3_010 },
    { order: 3, kind: 'accepted', epoch: 3, sentAt: 3_020 },
  ],
  EPOCHS,
);

function kindsOf(history: History): Set<BreachKind> {
  return new Set(checkHistory(history).map(({ kind }) => kind));
}

function withRequest(at: number, change: Partial<RequestRecord>): History {
  return { ...GOOD, requests: GOOD.requests.map((request, n) => (n === at ? { ...request, ...change } : request)) };
}

function withZone(zone: string, change: (rows: ZoneRows) => ZoneRows): History {
  return { ...GOOD, zones: GOOD.zones.map((rows) => (rows.zone === zone ? change(rows) : rows)) };
}

function inAllZones(change: (rows: ZoneRows) => ZoneRows): History {
  return { ...GOOD, zones: GOOD.zones.map(change) };
}

/** The request of the nth write; each is followed by its read. */
const write = (n: number): number => 2 * n;
const read = (n: number): number => 2 * n + 1;

describe('a correct history', () => {
  it('passes', () => {
    expect(checkHistory(GOOD)).toEqual([]);
  });

  it('of any shape passes', () => {
    fc.assert(
      fc.property(someWrites, (writes) => {
        expect(checkHistory(historyOf(writes, EPOCHS))).toEqual([]);
      }),
    );
  });

  it('with an order whose request failed for the client, but that is there, is only a failed request', () => {
    const { answer, ...request } = GOOD.requests[write(1)] ?? ({} as RequestRecord);
    expect(answer).toBeDefined();
    const requests = GOOD.requests.with(write(1), { ...request, isOk: false, failure: 'outcome-unknown' });
    expect(kindsOf({ ...GOOD, requests })).toEqual(new Set(['failed-request']));
  });

  it('with a key answered twice alike passes, also when the second answer comes in a later epoch', () => {
    const first = GOOD.requests[write(0)];
    if (first === undefined) throw new Error('no request');
    const again = { ...first, sentAt: 3_500, answeredAt: 3_505, isReplay: true, zone: 'b' };
    expect(checkHistory({ ...GOOD, requests: [...GOOD.requests, again] })).toEqual([]);
  });
});

describe('a planted breach is found', () => {
  it.each<[string, BreachKind, History]>([
    ['a request that failed', 'failed-request', withRequest(write(1), { isOk: false, failure: 'hold-timeout' })],
    ['a read that failed', 'failed-request', withRequest(read(1), { isOk: false, failure: 'ECONNRESET' })],
    ['an order missing in every zone', 'lost-write', inAllZones(without(2))],
    ['an order missing in one zone', 'lost-write', withZone('c', without(2))],
    ['an order with another content', 'lost-write', inAllZones(orderWith(2, { content: 'cake' }))],
    ['an order with another status', 'lost-write', inAllZones(orderWith(3, { status: 'placed' }))],
    ['an order at an older version', 'lost-write', inAllZones(orderWith(3, { version: 1 }))],
    ['a change that nothing tells of', 'lost-write', inAllZones(withoutEvent(3, 2))],
    ['a change that became another', 'lost-write', inAllZones(eventWith(3, 2, { kind: 'cancelled' }))],
    ['an answer with another content', 'lost-write', withAnswer(write(1), { content: 'cake' })],
    ['an answer of another order', 'lost-write', withAnswer(write(1), { orderId: 'ord_9' })],
    ['one key as two orders', 'duplicated-write', inAllZones(twice(2))],
    [
      'one key as two rows',
      'duplicated-write',
      inAllZones((rows) => ({ ...rows, keys: [...rows.keys, ...rows.keys.slice(0, 1)] })),
    ],
    ['one key with two answers', 'duplicated-write', withSecondAnswer()],
    [
      'one change twice',
      'duplicated-write',
      inAllZones((rows) => ({ ...rows, events: [...rows.events, ...rows.events.slice(0, 1)] })),
    ],
    ['a change that no version counts', 'duplicated-write', inAllZones(withExtraEvent())],
    [
      'a change while the shard was locked',
      'locked-change',
      withRequest(write(2), { sentAt: 1_910, answeredAt: 1_990 }),
    ],
    [
      'a write of an old epoch after one of the next',
      'overlapping-epochs',
      withRequest(write(1), { sentAt: 2_100, answeredAt: 2_105 }),
    ],
    ['a row of an epoch that had ended', 'overlapping-epochs', inAllZones(eventWith(2, 1, { occurredAt: 2_001 }))],
    ['an epoch of two zones', 'overlapping-epochs', withRequest(write(1), { zone: 'c' })],
    ['a row that one zone has otherwise', 'zones-differ', withZone('b', eventWith(2, 1, { occurredAt: 1_023 }))],
    [
      'a row that only one zone has',
      'zones-differ',
      withZone('b', (rows) => ({ ...rows, keys: [...rows.keys, { key: 'x', shard: 7, epoch: 1 }] })),
    ],
    ['a read of less than was acknowledged', 'stale-read', withAnswer(read(4), { version: 2, status: 'accepted' })],
    ['a read of another order', 'stale-read', withAnswer(read(4), { orderId: 'ord_2' })],
    ['no request', 'empty-history', { ...GOOD, requests: [] }],
    ['no zone', 'empty-history', { ...GOOD, zones: [] }],
    ['no move', 'empty-history', { ...GOOD, locks: [] }],
  ])('%s', (_what, kind, history) => {
    expect(kindsOf(history)).toContain(kind);
  });
});

it('looks through 100,000 requests in seconds, not minutes', () => {
  const writes = Array.from({ length: 50_000 }, (_, order): Write => {
    const epoch = 1 + (order % EPOCHS);
    return { order, kind: 'placed', epoch, sentAt: epoch * EPOCH_MS + (order % 800) };
  }).sort((a, b) => a.sentAt - b.sentAt);
  expect(checkHistory(historyOf(writes, EPOCHS))).toEqual([]);
});

function without(order: number): (rows: ZoneRows) => ZoneRows {
  return (rows) => ({ ...rows, orders: rows.orders.filter(({ orderId }) => orderId !== `ord_${order}`) });
}

function orderWith(order: number, change: Partial<OrderRow>): (rows: ZoneRows) => ZoneRows {
  return (rows) => ({
    ...rows,
    orders: rows.orders.map((row) => (row.orderId === `ord_${order}` ? { ...row, ...change } : row)),
  });
}

function eventWith(order: number, version: number, change: Partial<EventRow>): (rows: ZoneRows) => ZoneRows {
  return (rows) => ({
    ...rows,
    events: rows.events.map((row) =>
      row.orderId === `ord_${order}` && row.orderVersion === version ? { ...row, ...change } : row,
    ),
  });
}

function withoutEvent(order: number, version: number): (rows: ZoneRows) => ZoneRows {
  return (rows) => ({
    ...rows,
    events: rows.events.filter((row) => row.orderId !== `ord_${order}` || row.orderVersion !== version),
  });
}

function withExtraEvent(): (rows: ZoneRows) => ZoneRows {
  return (rows) => {
    const [event] = rows.events;
    return event === undefined ? rows : { ...rows, events: [...rows.events, { ...event, orderVersion: 9 }] };
  };
}

function twice(order: number): (rows: ZoneRows) => ZoneRows {
  return (rows) => ({
    ...rows,
    orders: rows.orders.flatMap((row) =>
      row.orderId === `ord_${order}` ? [row, { ...row, orderId: 'ord_again' }] : [row],
    ),
  });
}

function withAnswer(at: number, change: Partial<NonNullable<RequestRecord['answer']>>): History {
  const answer = GOOD.requests[at]?.answer;
  if (answer === undefined) throw new Error('no answer there');
  return withRequest(at, { answer: { ...answer, ...change } });
}

function withSecondAnswer(): History {
  const first = GOOD.requests[write(0)];
  if (first?.answer === undefined) throw new Error('no request');
  const second = { ...first, sentAt: 1_100, answeredAt: 1_105, answer: { ...first.answer, orderId: 'ord_2' } };
  return { ...GOOD, requests: [...GOOD.requests, second] };
}
