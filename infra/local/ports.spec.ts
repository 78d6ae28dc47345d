import { createServer } from 'node:net';
import { expect, test } from 'vitest';
import { planPorts, portBaseFromEnvironment, refuseTakenPorts } from './ports.js';

test('every service has a port of its own, all within 40 of the base', () => {
  const plan = planPorts(14_000, ['a', 'b', 'c']);
  const ports = [
    ...plan.routers,
    ...plan.coordinators,
    plan.nats,
    ...plan.zones.flatMap(({ api, postgres, redis }) => [api, postgres, redis]),
  ];
  expect(ports).toEqual([
    14_000, 14_001, 14_002, 14_010, 14_011, 14_012, 14_020, 14_021, 14_022, 14_030, 14_031, 14_032,
  ]);
});

test('more routers and coordinators have ports of their own below those of the zones', () => {
  const { routers, coordinators } = planPorts(14_000, ['a'], 4, 4);
  expect([routers, coordinators]).toEqual([
    [14_000, 14_003, 14_004, 14_005],
    [14_001, 14_006, 14_007, 14_008],
  ]);
  expect(() => planPorts(14_000, ['a'], 5)).toThrow(/routers must be from 1 to 4, not 5/);
  expect(() => planPorts(14_000, ['a'], 1, 0)).toThrow(/coordinators must be from 1 to 4, not 0/);
});

test('a base that reaches into the ports the system gives out is refused', () => {
  expect(planPorts(32_727, ['a', 'b', 'c']).routers).toEqual([32_727]);
  expect(() => planPorts(32_728, ['a', 'b', 'c'])).toThrow(/from 1024 to 32727, not 32728/);
  expect(() => planPorts(80, ['a'])).toThrow(/not 80/);
});

test('the base comes from BOROUGH_PORT_BASE, and must be a number', () => {
  expect(portBaseFromEnvironment({})).toBe(14_000);
  expect(portBaseFromEnvironment({ BOROUGH_PORT_BASE: '' })).toBe(14_000);
  expect(portBaseFromEnvironment({ BOROUGH_PORT_BASE: ' 15000 ' })).toBe(15_000);
  expect(() => portBaseFromEnvironment({ BOROUGH_PORT_BASE: '15k' })).toThrow(/whole number, not "15k"/);
});

test('a port in use is named with its service and with a command that would work', async () => {
  const stranger = createServer();
  const port = await new Promise<number>((resolve, reject) => {
    stranger.listen(0, '127.0.0.1', () => {
      const address = stranger.address();
      if (address === null || typeof address === 'string') reject(new Error('no port'));
      else resolve(address.port);
    });
  });
  try {
    const refusal = refuseTakenPorts([{ service: 'Redis of zone b', port }], 14_000);
    await expect(refusal).rejects.toThrow(`Port ${port}, meant for Redis of zone b, is in use`);
    await expect(refusal).rejects.toThrow(/BOROUGH_PORT_BASE=1\d\d00 npm start/);
  } finally {
    stranger.close();
  }
});
