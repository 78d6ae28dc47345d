import { expect, it } from 'vitest';
import { Readiness } from './readiness.js';

it('a process that waits for nothing is ready', () => {
  expect(new Readiness().isReady).toBe(true);
});

it('a process is ready once everything it waits for is done, in any order, and says meanwhile what is missing', () => {
  const readiness = new Readiness();
  readiness.wait('routing', 'no table yet');
  readiness.wait('mesh', 'zone b is away');
  expect(readiness.isReady).toBe(false);
  expect(readiness.waitingFor).toEqual({ routing: 'no table yet', mesh: 'zone b is away' });

  readiness.done('mesh');
  expect(readiness.isReady).toBe(false);
  expect(readiness.waitingFor).toEqual({ routing: 'no table yet' });

  readiness.done('routing');
  expect(readiness.isReady).toBe(true);
  expect(readiness.waitingFor).toEqual({});
});

it('a process may come to wait again, and shows the latest reason', () => {
  const readiness = new Readiness();
  readiness.wait('mesh', 'first');
  readiness.wait('mesh', 'second');
  expect(readiness.waitingFor).toEqual({ mesh: 'second' });

  readiness.done('mesh');
  readiness.wait('mesh', 'third');
  expect(readiness.isReady).toBe(false);
});

it('what was never waited for may be done', () => {
  const readiness = new Readiness();
  readiness.done('mesh');
  expect(readiness.isReady).toBe(true);
});
