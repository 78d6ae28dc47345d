import { createLogger, type PostgresSession, PostgresSession as Session, StartRefused } from '@borough/server-kit';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createZoneDatabase, type ZoneDatabase } from '../../../../test/support/databases.js';
import { claimZone, requireGuards, requireServer } from './preflight.js';

const logger = createLogger('test', 'silent');

let database: ZoneDatabase;
let owner: PostgresSession;

beforeEach(async () => {
  database = await createZoneDatabase();
  owner = new Session(database.ownerUrl, { name: 'test', logger });
});

afterEach(async () => {
  await owner.end();
  await database.drop();
});

describe('a zone starts', () => {
  it('on the server that infra/postgres sets up', async () => {
    await requireServer(owner, 2);
    await requireGuards(owner);
  });

  it('again on the database it was made for', async () => {
    await claimZone(owner, 'a');
    await claimZone(owner, 'a');
  });
});

describe('a zone refuses to start', () => {
  it('on a server older than 16', async () => {
    // The one answer of a server that need not be installed to be refused.
    const old = { query: () => Promise.resolve([{ number: '150018', text: '15.18' }]) } as unknown as PostgresSession;
    await expect(requireServer(old, 2)).rejects.toThrow(/PostgreSQL 15\.18 is too old.*16 or newer/s);
  });

  it('on wrong settings, naming each one and the line that fixes it', async () => {
    const options = encodeURIComponent('-c synchronous_commit=off -c default_transaction_isolation=serializable');
    const wrong = new Session(`${database.ownerUrl}?options=${options}`, { name: 'test', logger });
    const refusal = await requireServer(wrong, 30).catch((error: unknown) => error);
    await wrong.end();
    expect(refusal).toBeInstanceOf(StartRefused);
    const message = refusal instanceof Error ? refusal.message : '';
    expect(message).toMatch(/synchronous_commit is off; put this line into postgresql\.conf: synchronous_commit = on/);
    expect(message).toMatch(/default_transaction_isolation is serializable/);
    expect(message).toMatch(/max_wal_senders is \d+; put this line into postgresql\.conf: max_wal_senders = 62/);
  });

  it('on a database that was made for another zone, naming both', async () => {
    await claimZone(owner, 'b');
    await expect(claimZone(owner, 'a')).rejects.toThrow(/made for zone "b", not for zone "a"/);
  });

  it('while a sharded table could be written around the fence', async () => {
    await database.query('DROP TRIGGER borough_updated ON orders');
    await expect(requireGuards(owner)).rejects.toThrow(/orders: trigger borough_updated/);
  });
});
