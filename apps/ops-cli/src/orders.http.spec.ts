/** Held orders on the command line: the built program, in a process of its own. */
import { randomBytes } from 'node:crypto';
import { type HeldOrder } from '@borough/contracts';
import { newUuid, toId } from '@borough/topology';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { BoroughProcesses, build, hasPseudoTerminal, PATIENT, type } from './borough-process.js';
import { FarSide } from './far-side.js';

const newId = (): string =>
  toId(
    'order',
    newUuid(0, Date.now(), () => randomBytes(16)),
  );

const LOST: HeldOrder = {
  orderId: newId(),
  shard: 0,
  zone: 'b',
  status: 'accepted',
  placedAt: '2026-11-23T09:00:00.000Z',
  reason: 'declared-loss',
  since: '2026-11-23T10:00:00.000Z',
};
const RUNNING: HeldOrder = { ...LOST, orderId: newId(), reason: 'failover' };

let farSide: FarSide;
const processes = new BoroughProcesses(() => farSide.urls);

beforeAll(() => {
  expect(build()).toBe('');
});

beforeEach(async () => {
  farSide = await FarSide.start(2);
});

afterEach(async () => {
  processes.killAll();
  await farSide.close();
});

describe('orders held', () => {
  it('shows each order, why it is held, and how either kind is released', async () => {
    farSide.heldOrders = [LOST, RUNNING];
    const { status, stdout, stderr } = await processes.run('orders', 'held');

    expect([status, stderr]).toEqual([0, '']);
    expect(stdout).toMatch(/^ord_\w{26} +0 +b +accepted +declared-loss +2026-11-23 10:00:00Z +2026-11-23 09:00:00Z$/m);
    expect(stdout).toContain('2 orders held');
    expect(stdout).toContain('borough orders release <order>');
    expect(stdout).toContain('failover: its move releases them by itself');
  });

  it('says how many more there are than it shows', async () => {
    farSide.heldOrders = [LOST, RUNNING];
    const { stdout } = await processes.run('orders', 'held', '--limit', '1');

    expect(stdout).toContain('2 orders held, the first 1 shown');
    expect(stdout).not.toContain(RUNNING.orderId);
  });

  it('says that none is held; and not so when a zone did not answer', async () => {
    expect((await processes.run('orders', 'held')).stdout).toBe('✓ No order is held\n');
    farSide.unanswered = ['c'];
    const { stdout } = await processes.run('orders', 'held');
    expect(stdout).toContain('No order is held by a zone that answered');
    expect(stdout).toContain('✗ zone c did not answer');
  });

  it('--json prints the view, and no words', async () => {
    farSide.heldOrders = [LOST];
    const { stdout, stderr } = await processes.run('orders', 'held', '--json');

    expect(JSON.parse(stdout)).toEqual({ total: 1, orders: [LOST], unanswered: [] });
    expect(stderr).toBe('');
  });
});

describe('orders release', () => {
  it('asks the leader, for a reason and in a name, and says which zone has it', async () => {
    farSide.heldOrders = [LOST, RUNNING];
    farSide.leader = 1;
    const { status, stdout } = await processes.run(
      ...['orders', 'release', LOST.orderId, '--why', 'asked the store', '--by', 'ana@laptop'],
    );

    expect(status).toBe(0);
    expect(stdout).toContain(`✓ Released: ${LOST.orderId} may be changed again, at zone b`);
    expect(farSide.heldOrders).toEqual([RUNNING]);
    expect(farSide.received.at(-1)).toMatchObject({
      coordinator: 1,
      body: { why: 'asked the store', requestedBy: 'ana@laptop' },
    });
  });

  it.each([
    ['that is held by a failover', RUNNING.orderId, 'order-not-held'],
    ['that there is not', newId(), 'order-not-found'],
  ])('of an order %s ends with 4', async (_, orderId, code) => {
    farSide.heldOrders = [RUNNING];
    const { status, stdout, stderr } = await processes.run('orders', 'release', orderId, '--why', 'x', '--json');

    expect(status).toBe(4);
    expect(JSON.parse(stdout)).toMatchObject({ error: { code }, exitCode: 4 });
    expect(stderr).toContain('borough orders held');
  });

  it.each([
    ['without a reason', [LOST.orderId], '--why'],
    ['of what is no order', ['str_01h455vb4pex5vsknk084sn02q', '--why', 'x'], 'is no order'],
  ])('%s ends with 2 and asks nobody', async (_, args, words) => {
    const { status, stderr } = await processes.run('orders', 'release', ...args);

    expect(status).toBe(2);
    expect(stderr).toContain(words);
    expect(farSide.received).toEqual([]);
  });

  it.skipIf(!hasPseudoTerminal)('asks why on a terminal', async () => {
    farSide.heldOrders = [LOST];
    const running = processes.atTerminal(`orders release ${LOST.orderId}`);
    await expect.poll(() => running.stdout(), PATIENT).toContain('Why (for the record of the release): ');
    type(running, 'asked the store\r');

    expect(await running.ended).toMatchObject({ status: 0 });
    expect(farSide.received.at(-1)).toMatchObject({ body: { why: 'asked the store' } });
  });
});
