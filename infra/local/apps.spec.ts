import { expect, test } from 'vitest';
import { coordinatorEnvironment, routerEnvironment, zoneEnvironment } from './apps.js';
import { addressesOf } from './cluster-addresses.js';
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

test('of several routers each is the router of a zone, and knows every coordinator', () => {
  const many = addressesOf(planPorts(14_000, ['a', 'b'], 2, 2), secrets, 'nats://n', ['redis://ra', 'redis://rb']);
  expect(routerEnvironment(many, 1)).toMatchObject({
    ROUTER_ID: 'router-2',
    COORDINATOR_URLS: 'http://127.0.0.1:14001,http://127.0.0.1:14006',
    ROUTER_URLS: 'a=http://127.0.0.1:14000,b=http://127.0.0.1:14003',
  });
  expect(coordinatorEnvironment(many, 1)).toMatchObject({ COORDINATOR_ID: '2' });
});
