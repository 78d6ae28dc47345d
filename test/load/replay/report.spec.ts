import { describe, expect, it } from 'vitest';
import { countPerShard, countPerZone, formatReport, verdictOf, type ReplayReport } from './report.js';

const ZONE_ORDERS = { found: 3, missing: 0, altered: 0, inOtherShard: 0, twice: 0, unacknowledged: 0 };
const PASSED: ReplayReport = {
  runId: 'run1',
  startedAt: '2026-01-01T00:00:00.000Z',
  source: 'made-up day, seed 1',
  pace: { kind: 'max' },
  inFlightMax: 64,
  cities: [{ city: 'alderton', orders: 3, stores: 2, couriers: 1 }],
  areas: 1,
  skippedRows: [],
  ordersDue: 3,
  ordersPlaced: 3,
  errors: 0,
  errorsByCode: {},
  placingSeconds: 1.5,
  ordersPerSecond: 2,
  latencyMs: { p50: 1.234, p95: 20, p99: 30, max: 40 },
  clientCpuMicrosPerOrder: 61.4,
  ordersPerZone: { a: 3 },
  ordersPerShard: [{ shard: 7, area: 'alderton 85…', zoneId: 'a', orders: 3 }],
  completeness: {
    zonesEqual: true,
    ordersComplete: true,
    waitedMs: 120,
    tables: [
      {
        table: 'public.orders',
        isEqual: true,
        zones: [
          { zoneId: 'a', rows: 3, digest: '-12' },
          { zoneId: 'b', rows: 3, digest: '-12' },
        ],
      },
    ],
    orders: [
      { zoneId: 'a', ...ZONE_ORDERS },
      { zoneId: 'b', ...ZONE_ORDERS },
    ],
    faults: [],
  },
  zonesEqual: true,
  interrupted: false,
};

describe('the verdict', () => {
  it('is a pass only when all was placed, found and equal', () => {
    expect(verdictOf(PASSED)).toEqual({
      exitCode: 0,
      line: 'PASSED: 3 of 3 orders placed, every one in every zone, all zones equal',
    });
  });

  it.each([
    ['errors', { errors: 2, ordersPlaced: 1 }, 'FAILED: 2 orders met an error (1 of 3 orders placed)'],
    [
      'zones that differ',
      { completeness: { ...PASSED.completeness, zonesEqual: false } },
      'FAILED: the zones are not equal (3 of 3 orders placed)',
    ],
    [
      'an acknowledged order that is not in place',
      { completeness: { ...PASSED.completeness, ordersComplete: false } },
      'FAILED: acknowledged orders are not all in place (3 of 3 orders placed)',
    ],
    ['nothing placed', { ordersPlaced: 0 }, 'FAILED: no order was placed (0 of 3 orders placed)'],
  ])('with %s is a failure that says so', (_what, change, line) => {
    expect(verdictOf({ ...PASSED, ...change })).toEqual({ exitCode: 1, line });
  });

  it('of an interrupted run is neither', () => {
    expect(verdictOf({ ...PASSED, interrupted: true, ordersPlaced: 2 })).toEqual({
      exitCode: 130,
      line: 'INTERRUPTED: 2 of 3 orders placed',
    });
  });
});

describe('the text of the report', () => {
  it('says what happened, and ends with the verdict', () => {
    const lines = formatReport(PASSED).split('\n');
    expect(lines).toContain('orders placed  3 of 3 in 1.5 s');
    expect(lines).toContain('rate           2.0 orders/s');
    expect(lines).toContain('latency        p50 1.23 ms  p95 20.0 ms  p99 30.0 ms  max 40.0 ms');
    expect(lines).toContain('    7  a     alderton 85…       3');
    expect(lines).toContain('public.orders  a        3  -12     equal');
    expect(lines.at(-1)).toBe(verdictOf(PASSED).line);
  });

  it('names the errors by code, and what the check found', () => {
    const text = formatReport({
      ...PASSED,
      errors: 5,
      errorsByCode: { 'http 503 zone-unavailable': 4, ECONNRESET: 1 },
      completeness: { ...PASSED.completeness, faults: ['zone b: acknowledged order x is missing'] },
    });
    expect(text).toContain('errors         5\n  4 × http 503 zone-unavailable\n  1 × ECONNRESET\n');
    expect(text).toContain('  ! zone b: acknowledged order x is missing');
  });

  it('names the first 20 malformed rows and counts the rest', () => {
    const skippedRows = Array.from({ length: 25 }, (_, index) => ({ file: 'f.csv', line: index + 2, reason: 'odd' }));
    const text = formatReport({ ...PASSED, skippedRows });
    expect(text).toContain('25 malformed rows left out:\n  f.csv:2: odd\n');
    expect(text).toContain('  f.csv:21: odd\n  … and 5 more');
    expect(text).not.toContain('f.csv:22');
  });
});

describe('orders per shard and zone', () => {
  const request = { placedAtMs: 0, idempotencyKey: '', storeId: '', customerId: '', items: [], json: '' };
  const areas = [
    { name: 'x', cell: 'x', shard: 1, orders: 1, couriers: 0 },
    { name: 'y', cell: 'y', shard: 2, orders: 3, couriers: 0 },
  ];

  it('are counted under the zone that answered', () => {
    const answered = [
      { uuid: '1', shard: 2, zoneId: 'b', request },
      { uuid: '2', shard: 2, zoneId: 'b', request },
      { uuid: '3', shard: 2, zoneId: 'c', request },
      { uuid: '4', shard: 1, zoneId: 'a', request },
    ];
    const perShard = countPerShard(answered, areas);
    expect(perShard).toEqual([
      { shard: 2, area: 'y', zoneId: 'b', orders: 2 },
      { shard: 1, area: 'x', zoneId: 'a', orders: 1 },
      { shard: 2, area: 'y', zoneId: 'c', orders: 1 },
    ]);
    expect(countPerZone(perShard)).toEqual({ a: 1, b: 2, c: 1 });
  });
});
