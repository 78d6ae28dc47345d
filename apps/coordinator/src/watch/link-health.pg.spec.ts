/** Real faults of real streams, as they show in the watch: within 10 s, each in its own way. */
import { readFileSync } from 'node:fs';
import { type LinkStatus } from '@borough/contracts';
import { createLogger } from '@borough/server-kit';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { infraFile } from '../../../../infra/local/checkout.js';
import {
  eventRow,
  orderRow,
  type ReplicatedZone,
  ReplicatedZones,
  untilArrived,
  untilDropped,
  untilTrue,
  write,
} from '../../../../test/support/replicated-zones.js';
import { linkName } from '../../../zone/src/replication/links.js';
import { type LinkFacts, Voter } from '../voters/voter.js';
import { LinkHealthWatch } from './link-health-watch.js';
import { type LinkReport } from './link-health.js';

const SHARD = 7;
const SOON = { timeout: 10_000, interval: 200 };
const logger = createLogger('test', 'silent');

let cluster: ReplicatedZones;
let a: ReplicatedZone;
let b: ReplicatedZone;
let voters: Voter[];
let watch: LinkHealthWatch;

beforeEach(async () => {
  cluster = new ReplicatedZones();
  const [first, second] = await cluster.start(2);
  if (first === undefined || second === undefined) throw new Error('two zones were asked for');
  [a, b] = [first, second];
  await cluster.serve(SHARD, a, 2);
  voters = [a, b].map((zone) => new Voter(zone.zoneId, zone.controlUrl, { name: 'test', logger }));
  watch = watchOf([a.zoneId, b.zoneId]);
});

afterEach(async () => {
  for (const voter of voters) await voter.end();
  await cluster.stop();
});

describe('the link from a zone shows as', () => {
  it('streaming, with its figures', async () => {
    await expect.poll(stateAtB, SOON).toBe('streaming');

    expect(watch.linksOf(b.zoneId)).toEqual([
      {
        status: {
          from: a.zoneId,
          state: 'streaming',
          lagBytes: expect.any(Number) as number,
          beatAgeMs: expect.any(Number) as number,
          applyErrors: 0,
          conflicts: 0,
          logLeftBytes: expect.any(Number) as number,
        },
        problems: [],
      },
    ]);
    expect(watch.commitProblems(b.zoneId)).toEqual([]);
  });

  it('stopped, when it was disabled', async () => {
    await b.stopStreamFrom(a);

    await expect.poll(stateAtB, SOON).toBe('stopped');
    expect(await problemsAtB()).toEqual([expect.stringContaining('the subscription is disabled')]);

    await b.startStreamFrom(a);
    await expect.poll(stateAtB, SOON).toBe('streaming');
  });

  it('failing, when a row collides with another one, and streaming again once that is out of the way', async () => {
    await expect.poll(stateAtB, SOON).toBe('streaming');
    const here = eventRow({ shard: SHARD, epoch: 2 });
    await b.plant('order_events', here);
    await write(a, 'order_events', eventRow({ shard: SHARD, epoch: 2 }, { order_id: here.order_id }));

    await expect.poll(stateAtB, SOON).toBe('failing');
    expect(await problemsAtB()).toEqual([expect.stringContaining('do not apply')]);

    await b.asOwner.session.query(repairOfRunbook().replaceAll('<id of the row in b>', here.id));
    await expect.poll(stateAtB, SOON).toBe('streaming');
    expect(await b.query('SELECT r.table_name, r.row_key FROM control.receipt r')).toEqual([
      { table_name: 'order_events', row_key: { id: here.id } },
    ]);
    expect(watch.linksOf(a.zoneId).map(({ status }) => status.state)).toEqual(['streaming']);
  });

  it('slot-lost, when the slot is gone at the publisher', async () => {
    await b.stopStreamFrom(a);
    await untilDropped(a, linkName(b.zoneId, a.zoneId));

    await expect.poll(stateAtB, SOON).toBe('slot-lost');
    await a.query("SELECT pg_create_logical_replication_slot($1, 'pgoutput')", [linkName(b.zoneId, a.zoneId)]);
  });

  it('sealed, and nothing is wrong with the link, when a failover left the zone', async () => {
    await b.query(
      "INSERT INTO control.seal (zone, move_id, term_number, term_coordinator) VALUES ($1, 'mov_test', 1, 'test')",
      [a.zoneId],
    );
    await b.stopStreamFrom(a);

    await expect.poll(stateAtB, SOON).toBe('sealed');
    expect(await problemsAtB()).toEqual([]);
  });

  it('missing, when there is no subscription', async () => {
    watch = watchOf([a.zoneId, b.zoneId, 'z-away']);

    await expect
      .poll(async () => (await lookAtB()).map(({ status }) => [status.from, status.state]), SOON)
      .toEqual([
        [a.zoneId, 'streaming'],
        ['z-away', 'missing'],
      ]);
  });
});

describe('conflicts in normal work', () => {
  it('are none for new rows and their changes, and for rows that came by healing before', async () => {
    await b.stopStreamFrom(a);
    const order = orderRow({ shard: SHARD, epoch: 2 });
    await write(a, 'orders', order, orderRow({ shard: SHARD, epoch: 2 }));
    await a.query("UPDATE orders SET status = 'accepted'");
    await b.plant('orders', { ...order, version: 2, status: 'accepted' });
    await b.startStreamFrom(a);
    await untilArrived(a, b);

    expect(await conflictsAtB()).toEqual([]);
  });

  it('are changes of rows that healing wrote, or an owner before: counted, applied, and no news', async () => {
    await b.stopStreamFrom(a);
    const order = orderRow({ shard: SHARD, epoch: 2 });
    await write(a, 'orders', order);
    await b.plant('orders', order);
    await b.startStreamFrom(a);
    await untilArrived(a, b);
    await expect.poll(stateAtB, SOON).toBe('streaming');
    await a.query("UPDATE orders SET status = 'accepted'");
    await untilArrived(a, b);

    // A worker reports its counters now and then.
    await untilTrue(async () => (await conflictsAtB()).length > 0, 25_000);
    expect(await conflictsAtB()).toEqual([['update_origin_differs', 1]]);
    expect(await b.query('SELECT status FROM orders')).toEqual([{ status: 'accepted' }]);
    expect(await problemsAtB()).toEqual([]);
  });

  it('are not changes of rows that are missing at a member: PostgreSQL skips them, and it is told', async () => {
    watch = watchOf([a.zoneId, b.zoneId], { areMembers: true });
    await write(a, 'orders', orderRow({ shard: SHARD, epoch: 2 }));
    await untilArrived(a, b);
    await lookAtB();
    await b.uproot('orders', 'true');
    await a.query("UPDATE orders SET status = 'accepted'");

    await expect
      .poll(problemsAtB, SOON)
      .toEqual([expect.stringMatching(/met other rows than they should: 1 update missing/)]);
  });

  it('are not changes of rows that are missing at a zone nobody waits for, which is healed: counted, and no news', async () => {
    await write(a, 'orders', orderRow({ shard: SHARD, epoch: 2 }));
    await untilArrived(a, b);
    await lookAtB();
    await b.uproot('orders', 'true');
    await a.query("UPDATE orders SET status = 'accepted'");
    await untilArrived(a, b);

    await untilTrue(async () => (await conflictsAtB()).length > 0);
    expect(await conflictsAtB()).toEqual([['update_missing', 1]]);
    // Nobody counts on this zone, so it is healed and compared before anybody does.
    expect(await problemsAtB()).toEqual([]);
  });
});

/** The lines that the runbook tells people to type. */
function repairOfRunbook(): string {
  const page = readFileSync(infraFile('runbooks/replication-failing.md'), 'utf8');
  const [, sql] = /```sql\n([\s\S]*?)```/.exec(page) ?? [];
  if (sql === undefined) throw new Error('the runbook has no lines of SQL');
  return sql;
}

/** @param areMembers as if each waited for the other: the servers are shared with other tests, whose commits would wait too */
function watchOf(zones: readonly string[], { areMembers = false } = {}): LinkHealthWatch {
  const factsOf = async (voter: Voter): Promise<LinkFacts> => {
    const facts = await voter.linkFacts(zones);
    return areMembers ? { ...facts, outgoing: facts.outgoing.map((link) => ({ ...link, isCounted: true })) } : facts;
  };
  return new LinkHealthWatch({
    facts: async () =>
      new Map(await Promise.all(voters.map(async (voter) => [voter.zoneId, await factsOf(voter)] as const))),
    logger,
  });
}

async function lookAtB(): Promise<LinkReport[]> {
  for (const zone of [a, b]) await zone.asOwner.session.query('SELECT control.beat_zone()');
  await watch.sample();
  return watch.linksOf(b.zoneId);
}

async function stateAtB(): Promise<LinkStatus['state'] | undefined> {
  return (await lookAtB())[0]?.status.state;
}

async function problemsAtB(): Promise<readonly string[]> {
  return (await lookAtB()).flatMap(({ problems }) => problems);
}

/** Kinds that were counted, with how often. */
async function conflictsAtB(): Promise<[string, number][]> {
  const facts = await voters[1]?.linkFacts([a.zoneId]);
  return Object.entries(facts?.incoming[0]?.conflicts ?? {}).filter(([, count]) => count > 0);
}
