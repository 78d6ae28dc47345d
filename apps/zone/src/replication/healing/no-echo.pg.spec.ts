import { afterEach, beforeEach, expect, it } from 'vitest';
import { healFrom } from './heal-from.js';
import {
  orderRow,
  type ReplicatedZone,
  ReplicatedZones,
  untilArrived,
  write,
} from '../../../../../test/support/replicated-zones.js';

const OF_A = 7;
const OF_B = 8;

let cluster: ReplicatedZones;
let a: ReplicatedZone;
let b: ReplicatedZone;
let c: ReplicatedZone;

beforeEach(async () => {
  cluster = new ReplicatedZones();
  const [first, second, third] = await cluster.start(3);
  if (first === undefined || second === undefined || third === undefined) throw new Error('three zones were asked for');
  [a, b, c] = [first, second, third];
  await cluster.serve(OF_A, a, 1);
  await cluster.serve(OF_B, b, 1);
});

afterEach(() => cluster.stop());

it('what is healed echoes to no third zone, nor what the guard moves away', async () => {
  await b.stopStreamFrom(a);
  await c.stopStreamFrom(a);
  const orders = Array.from({ length: 20 }, () => orderRow({ shard: OF_A, epoch: 1 }));
  await write(a, 'orders', ...orders);
  await b.plant('orders', { ...orders[0], epoch: 1, version: 1, note: 'damaged' });
  await healFrom(a.asReader, b.asOwner, [{ shard: OF_A, epoch: 1 }]);
  const own = orderRow({ shard: OF_B, epoch: 1 });
  await write(b, 'orders', own);
  await untilArrived(b, c);
  await untilArrived(b, a);

  expect(await b.query('SELECT 1 FROM orders')).toHaveLength(21);
  expect(await c.query('SELECT id FROM orders')).toEqual([{ id: own.id }]);
  expect(await a.query('SELECT 1 FROM orders')).toHaveLength(21);
  expect((await a.faultsFrom(b)) + (await c.faultsFrom(b))).toBe(0);

  await b.startStreamFrom(a);
  await c.startStreamFrom(a);
  await untilArrived(a, b);
  await untilArrived(a, c);
  expect(await c.query('SELECT 1 FROM orders')).toHaveLength(21);
  expect((await b.faultsFrom(a)) + (await c.faultsFrom(a))).toBe(0);
});
