import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BREACH_KINDS, type BreachKind, countBreaches } from './breach.js';
import { checkHistory } from './check-history.js';
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
    const answer = digested({ orderId, version, status: write.kind, content });
    orders.set(write.order, digested({ ...answer, shard: SHARD, epoch: write.epoch }));
    events.push(
      digested({
        orderId,
        orderVersion: version,
        shard: SHARD,
        epoch: write.epoch,
        kind: write.kind,
        occurredAt: write.sentAt + 2,
      }),
    );
    const isPlace = write.kind === 'placed';
    requests.push({
      client: at % 2 === 0 ? 'plain' : 'sdk',
      kind: isPlace ? 'place' : 'change',
      shard: SHARD,
      key: `key-${at}`,
      effect: write.kind,
      ...(isPlace ? { content } : { orderId }),
      scheduledAt: write.sentAt,
      sentAt: write.sentAt,
      answeredAt,
      isOk: true,
      answer,
      zone: ZONES[write.epoch % 3] ?? '',
    });
    requests.push({
      client: 'plain',
      kind: 'read',
      shard: SHARD,
      orderId,
      scheduledAt: answeredAt + 1,
      sentAt: answeredAt + 1,
      answeredAt: answeredAt + 2,
      isOk: true,
      answer,
    });
  }
  const keys = writes.map(({ epoch }, at) => digested({ key: `key-${at}`, shard: SHARD, epoch }));
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
    clockErrorMs: 1,
  };
}

/** With the digest of all the rest. */
function digested<Row extends object>(row: Row): Row & { digest: string } {
  return { ...row, digest: JSON.stringify({ ...row, digest: undefined }) };
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
        const breaches = checkHistory(historyOf(writes, EPOCHS));
        // By chance nothing is changed, or one epoch writes all.
        expect(breaches.filter(({ kind }) => kind !== 'empty-history')).toEqual([]);
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

describe('a zone that was asked itself', () => {
  it('may refuse: that is no failed request', () => {
    const { answer, ...request } = GOOD.requests[write(1)] ?? ({} as RequestRecord);
    expect(answer).toBeDefined();
    const refused: RequestRecord = {
      ...request,
      client: 'direct',
      key: 'direct-1',
      isOk: false,
      failure: 'wrong-zone',
    };
    expect(checkHistory({ ...GOOD, requests: [...GOOD.requests, refused] })).toEqual([]);
  });

  it('may show what is old when it says so, and not when it does not', () => {
    const old = withAnswer(read(4), { version: 2, status: 'accepted' }).requests[read(4)];
    if (old === undefined) throw new Error('no read');
    const asked = (more: Partial<RequestRecord>): History => ({
      ...GOOD,
      requests: [...GOOD.requests, { ...old, client: 'direct', ...more }],
    });
    expect(checkHistory(asked({ staleMs: 1_500 }))).toEqual([]);
    expect(kindsOf(asked({}))).toEqual(new Set(['stale-read']));
  });

  it('loses what it acknowledges after another took its place', () => {
    const late: RequestRecord = {
      ...(GOOD.requests[write(1)] ?? ({} as RequestRecord)),
      client: 'direct',
      key: 'direct-1',
      content: 'bread direct',
      answer: { orderId: 'ord_9', version: 1, status: 'placed', content: 'bread direct', digest: 'x' },
    };
    expect(kindsOf({ ...GOOD, requests: [...GOOD.requests, late] })).toContain('lost-write');
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
    ['a key that is not there', 'lost-write', inAllZones((rows) => ({ ...rows, keys: rows.keys.slice(1) }))],
    ['a key of another shard', 'lost-write', inAllZones(keyWith(1, { shard: 8 }))],
    ['an order of another shard', 'lost-write', inAllZones(orderWith(2, { shard: 8 }))],
    ['a version between that nothing tells of', 'lost-write', inAllZones(withoutEvent(1, 2))],
    ['an answer without an order', 'lost-write', withoutAnswer(write(1))],
    ['a change answered with another order', 'lost-write', withRequest(write(2), { orderId: 'ord_2' })],
    ['a read of a version that is not there', 'lost-write', withAnswer(read(5), { version: 3 })],
    ['two keys told of one change', 'duplicated-write', withTwoKeysOfOneChange()],
    ['an order that nobody asked for', 'duplicated-write', inAllZones(withUnaskedOrder())],
    ['a change that nobody asked for', 'duplicated-write', withRequest(write(5), { effect: 'cancelled' })],
    ['one key with two bodies', 'duplicated-write', withSecondAnswer({ digest: 'another' })],
    ['one key as two orders', 'duplicated-write', inAllZones(twice(2))],
    [
      'one key as two rows',
      'duplicated-write',
      inAllZones((rows) => ({ ...rows, keys: [...rows.keys, ...rows.keys.slice(0, 1)] })),
    ],
    ['one key with two answers', 'duplicated-write', withSecondAnswer({ orderId: 'ord_2' })],
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
    ['a row from while the shard was locked', 'locked-change', inAllZones(eventWith(2, 1, { occurredAt: 1_950 }))],
    [
      'a row of an epoch whose lock nobody saw end',
      'locked-change',
      { ...withoutServed(), zones: inAllZones(eventWith(2, 1, { occurredAt: 1_950 })).zones },
    ],
    ['an epoch that goes back', 'overlapping-epochs', inAllZones(eventWith(1, 3, { epoch: 1 }))],
    ['an epoch of two zones', 'overlapping-epochs', withRequest(write(1), { zone: 'c' })],
    ['a row that one zone has otherwise', 'zones-differ', withZone('b', eventWith(2, 1, { occurredAt: 1_023 }))],
    [
      'a row that only one zone has',
      'zones-differ',
      withZone('b', (rows) => ({ ...rows, keys: [...rows.keys, digested({ key: 'x', shard: 7, epoch: 1 })] })),
    ],
    [
      'a table that one zone has otherwise',
      'zones-differ',
      withZone('b', (rows) => ({ ...rows, tables: { stores: '2 rows, 7' } })),
    ],
    [
      'a table with other rows',
      'zones-differ',
      {
        ...GOOD,
        zones: GOOD.zones.map((rows, at) => ({ ...rows, tables: { stores: `2 rows, ${at === 1 ? 8 : 7}` } })),
      },
    ],
    ['a read of less than was acknowledged', 'stale-read', withAnswer(read(4), { version: 2, status: 'accepted' })],
    ['a read of another status', 'stale-read', withAnswer(read(4), { status: 'placed' })],
    ['a read of another content', 'stale-read', withAnswer(read(4), { content: 'cake' })],
    ['a read of another order', 'stale-read', withAnswer(read(4), { orderId: 'ord_2' })],
    ['no request', 'empty-history', { ...GOOD, requests: [] }],
    ['no place', 'empty-history', withoutKind('place')],
    ['no change', 'empty-history', withoutKind('change')],
    ['no read', 'empty-history', withoutKind('read')],
    ['one owner all the time', 'empty-history', ofOneEpoch()],
    ['no zone', 'empty-history', { ...GOOD, zones: [] }],
    ['no move', 'empty-history', { ...GOOD, locks: [] }],
  ])('%s', (_what, kind, history) => {
    expect(kindsOf(history)).toContain(kind);
  });

  it('and counted by kind', () => {
    const counts = countBreaches([
      { kind: 'lost-write', detail: 'one' },
      { kind: 'lost-write', detail: 'two' },
    ]);
    expect(counts).toEqual({ ...Object.fromEntries(BREACH_KINDS.map((kind) => [kind, 0])), 'lost-write': 2 });
  });
});

it('clocks that are a little apart are no breach', () => {
  const history = inAllZones(eventWith(2, 1, { occurredAt: 1_902 }));
  expect(kindsOf(history)).toEqual(new Set(['locked-change']));
  expect(checkHistory({ ...history, clockErrorMs: 3 })).toEqual([]);
});

it('looks through 100,000 requests in seconds, not minutes', () => {
  const writes = Array.from({ length: 50_000 }, (_, order): Write => {
    const epoch = 1 + (order % EPOCHS);
    return { order, kind: 'placed', epoch, sentAt: epoch * EPOCH_MS + (order % 800) };
  }).sort((a, b) => a.sentAt - b.sentAt);
  expect(checkHistory(historyOf(writes, EPOCHS))).toEqual([{ kind: 'empty-history', detail: 'no order was changed' }]);
});

function without(order: number): (rows: ZoneRows) => ZoneRows {
  return (rows) => ({ ...rows, orders: rows.orders.filter(({ orderId }) => orderId !== `ord_${order}`) });
}

function orderWith(order: number, change: Partial<OrderRow>): (rows: ZoneRows) => ZoneRows {
  return (rows) => ({
    ...rows,
    orders: rows.orders.map((row) => (row.orderId === `ord_${order}` ? digested({ ...row, ...change }) : row)),
  });
}

function eventWith(order: number, version: number, change: Partial<EventRow>): (rows: ZoneRows) => ZoneRows {
  return (rows) => ({
    ...rows,
    events: rows.events.map((row) =>
      row.orderId === `ord_${order}` && row.orderVersion === version ? digested({ ...row, ...change }) : row,
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

function withSecondAnswer(change: Partial<NonNullable<RequestRecord['answer']>>): History {
  const first = GOOD.requests[write(0)];
  if (first?.answer === undefined) throw new Error('no request');
  const second = { ...first, sentAt: 1_100, answeredAt: 1_105, answer: { ...first.answer, ...change } };
  return { ...GOOD, requests: [...GOOD.requests, second] };
}

function withoutAnswer(at: number): History {
  return {
    ...GOOD,
    requests: GOOD.requests.map((request, n) => {
      if (n !== at) return request;
      const { answer, ...rest } = request;
      expect(answer).toBeDefined();
      return rest;
    }),
  };
}

function keyWith(at: number, change: { shard: number }): (rows: ZoneRows) => ZoneRows {
  return (rows) => ({ ...rows, keys: rows.keys.map((row, n) => (n === at ? { ...row, ...change } : row)) });
}

function withTwoKeysOfOneChange(): History {
  const first = GOOD.requests[write(2)];
  if (first === undefined) throw new Error('no request');
  return { ...GOOD, requests: [...GOOD.requests, { ...first, key: 'another' }] };
}

function withUnaskedOrder(): (rows: ZoneRows) => ZoneRows {
  return (rows) => ({
    ...rows,
    orders: rows.orders.flatMap((row) =>
      row.orderId === 'ord_2' ? [row, digested({ ...row, orderId: 'ord_9', content: 'bread 9', version: 0 })] : [row],
    ),
  });
}

function withoutServed(): History {
  return {
    ...GOOD,
    locks: GOOD.locks.map(({ shard, epoch, fencedAt, moveId }) => ({ shard, epoch, fencedAt, moveId })),
  };
}

function withoutKind(kind: RequestRecord['kind']): History {
  return { ...GOOD, requests: GOOD.requests.filter((request) => request.kind !== kind) };
}

function ofOneEpoch(): History {
  return inAllZones((rows) => ({ ...rows, events: rows.events.map((row) => digested({ ...row, epoch: 1 })) }));
}
