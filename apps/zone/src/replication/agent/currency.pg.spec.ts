/** What a zone may show as what is (SPEC.md R5): with real zones, streams and votes. */
import { createLogger, PostgresSession } from '@borough/server-kit';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type ReplicatedZone, ReplicatedZones } from '../../../../../test/support/replicated-zones.js';
import { Currency } from './currency.js';

/** Owned by a, which is another zone, and by b, whose reads these are. */
const THEIRS = 7;
const OURS = 8;
const EPOCH = 2;
const SOON = { timeout: 10_000, interval: 20 };

const logger = createLogger('test', 'silent');
let cluster: ReplicatedZones;
let a: ReplicatedZone;
let b: ReplicatedZone;
let currencies: Currency[];
let beats: NodeJS.Timeout;
let beaten: Promise<unknown>;

beforeEach(async () => {
  currencies = [];
  cluster = new ReplicatedZones();
  const [first, second] = await cluster.start(2);
  if (first === undefined || second === undefined) throw new Error('two zones were asked for');
  [a, b] = [first, second];
  await cluster.serve(THEIRS, a, EPOCH);
  await cluster.serve(OURS, b, EPOCH);
  await record(1, [b.zoneId]);
  beaten = Promise.resolve();
  // As the agent of a does: what comes in shows that a lives.
  beats = setInterval(() => {
    beaten = beaten.then(() => a.asOwner.session.query('SELECT control.beat_zone()')).catch(() => undefined);
  }, 100);
});

afterEach(async () => {
  clearInterval(beats);
  await beaten;
  for (const currency of currencies) await currency.stop();
  await cluster.stop();
});

/** Whom the commits of a wait for, accepted by both voters under this ballot. */
async function record(ballot: number, members: readonly string[]): Promise<void> {
  for (const zone of cluster.zones) {
    await zone.query(
      `INSERT INTO control.in_sync (zone, promised, ballot, members, version) VALUES ($1, $2, $2, $3, $2)
       ON CONFLICT (zone) DO UPDATE SET promised = $2, ballot = $2, members = $3, version = $2`,
      [a.zoneId, ballot, members],
    );
  }
}

function currencyOfB(peerUrl = a.replicationUrl): Currency {
  const session = (url: string): PostgresSession => new PostgresSession(url, { name: 'test', logger });
  const currency = new Currency({
    zoneId: b.zoneId,
    own: session(b.ownerUrl),
    peers: [{ zoneId: a.zoneId, session: session(peerUrl) }],
    logger,
  });
  currencies.push(currency);
  currency.start();
  return currency;
}

async function current(): Promise<Currency> {
  const currency = currencyOfB();
  await expect.poll(() => [currency.staleForMs(THEIRS), currency.staleForMs(OURS)], SOON).toEqual([0, 0]);
  return currency;
}

describe('a zone is current', () => {
  it('of its own shards, of those of a zone that counts on it, and of a shard that nobody owns yet', async () => {
    const currency = await current();
    expect(currency.staleForMs(9)).toBe(0);
    expect(currency.staleForMs(undefined)).toBe(0);
  });

  it('of nothing before it has asked', () => {
    const currency = new Currency({
      zoneId: b.zoneId,
      own: new PostgresSession(b.ownerUrl, { name: 'test', logger }),
      peers: [],
      logger,
    });
    currencies.push(currency);
    expect(currency.staleForMs(OURS)).toBeGreaterThan(0);
    expect(currency.staleForMs(9)).toBeGreaterThan(0);
  });
});

describe('a zone is not current', () => {
  it('of the shards of a zone that does not count on it any more; its own it still shows', async () => {
    const currency = await current();
    await record(2, []);

    await expect.poll(() => currency.staleForMs(THEIRS), SOON).toBeGreaterThan(0);
    expect(currency.staleForMs(OURS)).toBe(0);
    expect(currency.staleForMs(undefined)).toBeGreaterThan(0);
    await record(3, [b.zoneId]);
    await expect.poll(() => currency.staleForMs(THEIRS), SOON).toBe(0);
  });

  it('of the shards of a zone whose changes do not come in', async () => {
    const currency = await current();
    await b.stopStreamFrom(a);

    await expect.poll(() => currency.staleForMs(THEIRS), SOON).toBeGreaterThan(0);
    expect(currency.staleForMs(OURS)).toBe(0);
    await b.startStreamFrom(a);
    await expect.poll(() => currency.staleForMs(THEIRS), SOON).toBe(0);
  });

  it('of its own shards when another voter knows a later owner', async () => {
    const currency = await current();
    await a.own(OURS, { owner: a.zoneId, epoch: EPOCH + 1 });

    await expect.poll(() => currency.staleForMs(OURS), SOON).toBe(0);
    // It belongs to a now, of whose shards this zone is current; what it believes to own itself may have moved as well.
    await b.own(10, { owner: b.zoneId, epoch: EPOCH });
    await a.own(10, { owner: b.zoneId, epoch: EPOCH });
    await expect.poll(() => currency.staleForMs(10), SOON).toBeGreaterThan(0);
  });

  it('of anything once no majority has answered for a moment, and says for how long', async () => {
    const currency = await current();
    // No query gets through at b: as when its own database is frozen, so that nothing more is heard.
    await b.query('BEGIN');
    await b.query('LOCK control.ownership, control.in_sync IN ACCESS EXCLUSIVE MODE');
    await expect.poll(() => currency.staleForMs(OURS), SOON).toBeGreaterThan(450);
    const before = currency.staleForMs(THEIRS);
    await expect.poll(() => currency.staleForMs(THEIRS), SOON).toBeGreaterThan(before);
    await b.query('COMMIT');
    await expect.poll(() => [currency.staleForMs(OURS), currency.staleForMs(THEIRS)], SOON).toEqual([0, 0]);
  });

  it('where it reaches no other voter', async () => {
    const gone = new URL(a.replicationUrl);
    gone.port = '1';
    const away = currencyOfB(gone.href);
    const near = await current();
    // The other one has been current all along; this one was asked as often.
    expect(near.staleForMs(OURS)).toBe(0);
    expect(away.staleForMs(OURS)).toBeGreaterThan(0);
    expect(away.staleForMs(9)).toBeGreaterThan(0);
  });
});
