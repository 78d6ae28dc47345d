import { expect, test } from 'vitest';
import { coordinatorEnvironment, ownServices, routerEnvironment, zoneEnvironment } from './apps.js';
import { addressesOf } from './cluster-addresses.js';
import { layoutOf } from './layout.js';
import { planPorts } from './ports.js';

const secrets = {
  postgresSuperuser: 'ps',
  owner: 'po',
  api: 'pa',
  control: 'pc',
  replication: 'pr',
  audit: 'pu',
  nats: 'pn',
  redis: 'pd',
};
const addresses = addressesOf(planPorts(14_000, ['a', 'b']), secrets, 'nats://n', ['redis://ra', 'redis://rb']);

test('a zone gets its own databases, and all zones but itself as peers, as the replication role', () => {
  const [zone] = addresses.zones;
  if (zone === undefined) throw new Error('no zone');
  expect(zoneEnvironment(zone, addresses.zones)).toEqual({
    ZONE_ID: 'a',
    API_DATABASE_URL: 'postgres://borough_api:pa@127.0.0.1:14011/borough',
    OWNER_DATABASE_URL: 'postgres://borough_owner:po@127.0.0.1:14011/borough',
    PEER_DATABASE_URLS: 'b=postgres://borough_replication:pr@127.0.0.1:14021/borough',
    REDIS_URL: 'redis://ra',
  });
});

test('a coordinator gets every zone as a voter, and the router every zone API, by name', () => {
  expect(coordinatorEnvironment(addresses)['VOTER_DATABASE_URLS']).toBe(
    'a=postgres://borough_control:pc@127.0.0.1:14011/borough,b=postgres://borough_control:pc@127.0.0.1:14021/borough',
  );
  expect(routerEnvironment(addresses)).toEqual({
    ROUTER_ID: 'router-1',
    COORDINATOR_URLS: 'http://127.0.0.1:14001',
    NATS_URL: 'nats://n',
    ZONE_URLS: 'a=http://127.0.0.1:14010,b=http://127.0.0.1:14020',
  });
});

test('coordinators give a lost zone up by themselves unless they are told to leave that to people', () => {
  const policies = (failoverPolicy?: 'automatic' | 'manual') =>
    ownServices(
      addresses,
      layoutOf('/somewhere'),
      failoverPolicy === undefined ? {} : { failoverPolicy },
    ).coordinators.map(({ command }) => command.environment?.['FAILOVER_POLICY']);
  expect(policies()).toEqual(['automatic']);
  expect(policies('manual')).toEqual(['manual']);
});

test('what stands between two services is what they are told to connect to; a zone reaches its own servers directly', () => {
  const [zone] = addresses.zones;
  if (zone === undefined) throw new Error('no zone');
  const addressFor = (from: string, to: string, url: string): string => {
    const between = new URL(url);
    between.host = `${from}.${to}:1`;
    return between.href;
  };
  expect(zoneEnvironment(zone, addresses.zones, addressFor)).toMatchObject({
    API_DATABASE_URL: 'postgres://borough_api:pa@127.0.0.1:14011/borough',
    PEER_DATABASE_URLS: 'b=postgres://borough_replication:pr@zone-a.postgres-b:1/borough',
  });
  expect(coordinatorEnvironment(addresses, 1, addressFor)).toMatchObject({
    VOTER_DATABASE_URLS:
      'a=postgres://borough_control:pc@coordinator-2.postgres-a:1/borough,b=postgres://borough_control:pc@coordinator-2.postgres-b:1/borough',
    ZONE_URLS: 'a=http://coordinator-2.zone-a:1/,b=http://coordinator-2.zone-b:1/',
  });
  expect(routerEnvironment(addresses, 0, addressFor)).toMatchObject({
    COORDINATOR_URLS: 'http://router.coordinator:1/',
    ZONE_URLS: 'a=http://router.zone-a:1/,b=http://router.zone-b:1/',
  });
});

test('of several routers each is the router of a zone, and knows every coordinator', () => {
  const many = addressesOf(planPorts(14_000, ['a', 'b'], 2, 2), secrets, 'nats://n', ['redis://ra', 'redis://rb']);
  expect(routerEnvironment(many, 1)).toMatchObject({
    ROUTER_ID: 'router-2',
    COORDINATOR_URLS: 'http://127.0.0.1:14001,http://127.0.0.1:14006',
    ROUTER_URLS: 'a=http://127.0.0.1:14000,b=http://127.0.0.1:14003',
  });
  expect(coordinatorEnvironment(many, 1)).toMatchObject({ COORDINATOR_ID: '2' });
});
