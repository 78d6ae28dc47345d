import { createLogger, PostgresSession } from '@borough/server-kit';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createZoneDatabase, type ZoneDatabase } from '../../../../test/support/databases.js';
import { Mesh } from './mesh.js';

const logger = createLogger('test', 'silent');

let ours: ZoneDatabase;
let theirs: ZoneDatabase;
let mesh: Mesh;

beforeEach(async () => {
  ours = await createZoneDatabase();
  theirs = await createZoneDatabase();
  await ours.claim('a');
  await theirs.claim('b');
  mesh = meshTo('b');
});

afterEach(async () => {
  await mesh.end();
  await ours.drop();
  await theirs.drop();
});

describe('a zone does not join', () => {
  it('beside a zone that takes writes already, with a fresh disk: older rows would be missing for ever', async () => {
    await theirs.openTables();
    expect(await mesh.repair()).toEqual([expect.stringMatching(/^zone b: .*must be seeded anew/)]);
    expect(
      await ours.query(
        'SELECT 1 FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid AND d.datname = current_database()',
      ),
    ).toEqual([]);
    expect(await theirs.query('SELECT 1 FROM pg_replication_slots s WHERE s.database = current_database()')).toEqual(
      [],
    );
  });

  it('beside a zone that has thrown its slot away, even with rows of its own', async () => {
    await ours.openTables();
    await theirs.openTables();
    expect(await mesh.repair()).toEqual([expect.stringMatching(/must be seeded anew/)]);
  });

  it('to a database that was made for another zone than it is called', async () => {
    await mesh.end();
    mesh = meshTo('c');
    expect(await mesh.repair()).toEqual([expect.stringMatching(/names it c, but that database was made for zone b/)]);
  });
});

function meshTo(peerId: string): Mesh {
  const peer = {
    zoneId: peerId,
    url: theirs.replicationUrl,
    session: new PostgresSession(theirs.replicationUrl, { name: 'test', logger }),
  };
  return new Mesh('a', new PostgresSession(ours.ownerUrl, { name: 'test', logger }), [peer], logger);
}
