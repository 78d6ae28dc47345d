import { createLogger, type Logger, metrics, PostgresSession } from '@borough/server-kit';
import { afterEach, beforeEach, describe, expect, it, type MockInstance, vi } from 'vitest';
import {
  eventRow,
  type ReplicatedZone,
  ReplicatedZones,
  untilTrue,
  write,
} from '../../../../../test/support/replicated-zones.js';
import { ReplicationHealth } from './replication-health.js';

const SHARD = 7;

let cluster: ReplicatedZones;
let a: ReplicatedZone;
let b: ReplicatedZone;
let health: ReplicationHealth;
let errors: MockInstance<Logger['error']>;

beforeEach(async () => {
  cluster = new ReplicatedZones();
  const [first, second] = await cluster.start(2);
  if (first === undefined || second === undefined) throw new Error('two zones were asked for');
  [a, b] = [first, second];
  await cluster.serve(SHARD, a, 2);
  const logger = createLogger('test', 'silent');
  errors = vi.spyOn(logger, 'error').mockReturnValue(undefined);
  health = new ReplicationHealth(
    b.zoneId,
    [a.zoneId],
    new PostgresSession(b.ownerUrl, { name: 'test', logger }),
    logger,
  );
});

afterEach(async () => {
  await health.end();
  await cluster.stop();
});

describe('the metrics of a zone’s agent', () => {
  it('show both ends of its links, whom it waits for, and whom it has sealed off', async () => {
    await a.asOwner.session.query('SELECT control.beat_zone()');
    await untilTrue(async () => {
      await health.round();
      return (await valueOf('borough_replication_link_up', { from: a.zoneId, to: b.zoneId })) === 1;
    });
    await untilTrue(async () => {
      await health.round();
      const age = await valueOf('borough_replication_beat_age_seconds', { from: a.zoneId, to: b.zoneId });
      return age !== undefined && age < 60;
    });

    expect(await valueOf('borough_replication_apply_errors', { from: a.zoneId, to: b.zoneId })).toBe(0);
    expect(await valueOf('borough_replication_lag_bytes', { from: b.zoneId, to: a.zoneId })).toBeGreaterThanOrEqual(0);
    expect(await valueOf('borough_replication_slot_log_left_bytes', { from: b.zoneId, to: a.zoneId })).toBeGreaterThan(
      1_000_000,
    );
    expect(await valueOf('borough_in_sync_members', { zone: b.zoneId })).toBe(0);
    expect(await valueOf('borough_zone_is_solo', { zone: b.zoneId })).toBe(1);
    expect(await valueOf('borough_seals', { zone: b.zoneId })).toBe(0);
  });

  it('show a stopped link and a seal', async () => {
    await b.stopStreamFrom(a);
    await b.query(
      "INSERT INTO control.seal (zone, move_id, term_number, term_coordinator) VALUES ($1, 'mov_test', 1, 'test')",
      [a.zoneId],
    );
    await health.round();

    expect(await valueOf('borough_replication_link_up', { from: a.zoneId, to: b.zoneId })).toBe(0);
    expect(await valueOf('borough_seals', { zone: b.zoneId })).toBe(1);
  });

  it('count what does not apply, and the log says so once', async () => {
    const here = eventRow({ shard: SHARD, epoch: 2 });
    await b.plant('order_events', here);
    await health.round();
    await write(a, 'order_events', eventRow({ shard: SHARD, epoch: 2 }, { order_id: here.order_id }));
    await untilTrue(async () => {
      await health.round();
      return ((await valueOf('borough_replication_apply_errors', { from: a.zoneId, to: b.zoneId })) ?? 0) > 0;
    });

    await untilTrue(() => Promise.resolve(errors.mock.calls.length >= 2));
    expect(new Set(errors.mock.calls.map(([, text]) => text))).toEqual(
      new Set([
        `changes of zone ${a.zoneId} met other rows than they should`,
        `changes of zone ${a.zoneId} do not apply: PostgreSQL's log says which and why`,
      ]),
    );
    await b.uproot('order_events', `t.id = '${here.id}'`);
  });

  it('are gone once another process is the agent', async () => {
    await health.round();
    expect(await valueOf('borough_seals', { zone: b.zoneId })).toBe(0);

    health.clear();

    expect(await valueOf('borough_seals', { zone: b.zoneId })).toBeUndefined();
  });
});

async function valueOf(name: string, labels: Readonly<Record<string, string>>): Promise<number | undefined> {
  const found = (await metrics.getMetricsAsJSON()).find((metric) => metric.name === name);
  return found?.values.find((value) =>
    Object.entries(labels).every(([label, wanted]) => value.labels[label] === wanted),
  )?.value;
}
