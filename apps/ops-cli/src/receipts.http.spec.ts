/** Receipts on the command line: the built program, in a process of its own. */
import { type WholeReceipt } from '@borough/contracts';
import { toId } from '@borough/topology';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { BoroughProcesses, build } from './borough-process.js';
import { FarSide } from './far-side.js';

const REPLACED: WholeReceipt = {
  zone: 'a',
  id: 12,
  table: 'orders',
  key: { id: '019a' },
  shard: 0,
  epoch: 3,
  version: 2,
  foundAt: '2026-11-23T10:00:00.000Z',
  foundBy: 'healing',
  document: { id: '019a', status: 'placed', note: null, items: [{ name: 'tea' }] },
  replacedBy: { id: '019a', status: 'accepted', note: 'ring \u001b[31mtwice', items: [{ name: 'tea' }] },
};
const GONE: WholeReceipt = { ...REPLACED, id: 11, table: 'stores', shard: 1, foundBy: 'guard', replacedBy: null };

let farSide: FarSide;
const processes = new BoroughProcesses(() => farSide.urls);

beforeAll(() => {
  expect(build()).toBe('');
});

beforeEach(async () => {
  farSide = await FarSide.start(1);
  farSide.receipts = [REPLACED, GONE];
});

afterEach(async () => {
  processes.killAll();
  await farSide.close();
});

describe('receipts list', () => {
  it('shows each receipt by its name, and whether another row took its place', async () => {
    const { status, stdout, stderr } = await processes.run('receipts', 'list');

    expect([status, stderr]).toEqual([0, '']);
    expect(stdout).toMatch(/^a\/12 +2026-11-23 10:00:00Z +healing +orders +019a +0 +3\/2 +yes$/m);
    expect(stdout).toMatch(/^a\/11 +2026-11-23 10:00:00Z +guard +stores +019a +1 +3\/2 +no$/m);
  });

  it('shows an id as it is known outside, and any other key as it stands', async () => {
    const uuid = '019ab02d-9ab7-7000-8c5d-15e1d1f2a04c';
    farSide.receipts = [
      { ...REPLACED, key: { id: uuid } },
      { ...REPLACED, id: 10, table: 'shard_holds', key: { shard: 0, held_epoch: 4 } },
    ];
    const { stdout } = await processes.run('receipts', 'list');

    expect(stdout).toContain(toId('order', uuid));
    expect(stdout).toMatch(/shard_holds +0 · 4 /);
  });

  it('can be narrowed, and names the command line of the next page with what it was narrowed by', async () => {
    farSide.receipts = [REPLACED, { ...REPLACED, id: 10 }, GONE];
    const narrowed = ['--zone', 'a', '--table', 'orders', '--shard', '0'];
    const { stdout } = await processes.run('receipts', 'list', ...narrowed, '--limit', '1');

    expect(stdout).not.toContain('a/11');
    expect(stdout).toContain('borough receipts list --zone a --table orders --shard 0 --before a/12');
  });

  it('says that there is none, and which zones did not answer', async () => {
    farSide.receipts = [];
    farSide.unanswered = ['c'];
    const { stdout } = await processes.run('receipts', 'list');

    expect(stdout).toBe('✓ No receipt\n✗ zone c did not answer: what it keeps is missing here\n');
  });
});

describe('receipts show', () => {
  it('lays the two rows side by side and marks what differs; what would paint the terminal does not', async () => {
    const { status, stdout } = await processes.run('receipts', 'show', 'a/12');

    expect(status).toBe(0);
    expect(stdout).toContain('shard 0, written at epoch 3, version 2; found 2026-11-23 10:00:00Z as the zone healed');
    expect(stdout).toMatch(/^ +id +019a +019a$/m);
    expect(stdout).toMatch(/^≠ +status +placed +accepted$/m);
    expect(stdout).toMatch(/^≠ +note +null +ring ·\[31mtwice$/m);
    expect(stdout).toMatch(/^ +items +\[{"name":"tea"}\] +\[{"name":"tea"}\]$/m);
    expect(stdout).toContain('2 of 4 columns differ: status, note');
    expect(stdout).not.toContain('\u001b');
  });

  it('says so where the owner has no such row', async () => {
    const { stdout } = await processes.run('receipts', 'show', 'a/11');

    expect(stdout).toContain('The owner has no such row');
    expect(stdout).not.toContain('≠');
  });

  it('--json prints both rows whole', async () => {
    const { stdout } = await processes.run('receipts', 'show', 'a/12', '--json');
    expect(JSON.parse(stdout)).toEqual(REPLACED);
  });

  it('of one that is not there ends with 4; of what is no receipt with 2, and asks nobody', async () => {
    expect(await processes.run('receipts', 'show', 'a/99')).toMatchObject({
      status: 4,
      stderr: expect.stringContaining('borough receipts list') as string,
    });
    const asked = farSide.received.length;
    for (const name of ['a', 'a/0', 'a/1/2', 'A/1']) {
      expect(await processes.run('receipts', 'show', name)).toMatchObject({ status: 2 });
    }
    expect(farSide.received).toHaveLength(asked);
  });
});
