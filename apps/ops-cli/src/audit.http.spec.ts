/** Audits on the command line: the built program, in a process of its own. */
import { auditView, type AuditView } from '@borough/contracts';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { BoroughProcesses, build, PATIENT } from './borough-process.js';
import { FarSide } from './far-side.js';

const ID = '019ab02d-9ab7-7000-8c5d-15e1d1f2a04c';
const PAIR = {
  owner: 'a',
  copy: 'b',
  rowsCompared: 1_000,
  rowsRead: 4,
  differing: [],
  undecided: 0,
  isComplete: true,
  taken: 0,
  receipts: 0,
};
const EQUAL: AuditView = auditView.parse({
  auditId: ID,
  state: 'ended',
  request: { heal: false },
  requestedBy: 'ana@laptop',
  requestedAt: '2026-11-23T10:00:00.000Z',
  endedAt: '2026-11-23T10:00:05.000Z',
  isCancelled: false,
  zones: ['a', 'b', 'c'].map((zone) => ({ zone, state: 'ended' })),
  unanswered: [],
  pairs: [PAIR],
  rowsCompared: 1_000,
  rowsRead: 4,
  differing: 0,
  undecided: 0,
  isEqual: true,
});
const differences = (count: number): AuditView['pairs'][number]['differing'] =>
  Array.from({ length: count }, (_, n) => ({
    table: 'orders',
    key: [`order-${n}`],
    shard: 7,
    owner: { epoch: 2, version: 3 },
  }));
const differing = (count: number): AuditView => ({
  ...EQUAL,
  pairs: [{ ...PAIR, differing: differences(count) }],
  differing: count,
  isEqual: false,
});

let farSide: FarSide;
const processes = new BoroughProcesses(() => farSide.urls);

beforeAll(() => {
  expect(build()).toBe('');
});

beforeEach(async () => {
  farSide = await FarSide.start(2);
  farSide.audits = [EQUAL];
});

afterEach(async () => {
  processes.killAll();
  await farSide.close();
});

const asked = (): unknown =>
  farSide.received.find(({ path, method }) => method === 'POST' && path === '/ops/v1/audits')?.body;

describe('audit', () => {
  it('is followed to its end, and says that all copies are equal', async () => {
    farSide.looksUntilAuditsEnd = 3;
    const { status, stdout, stderr } = await processes.run('audit');

    expect([status, stderr]).toEqual([0, '']);
    expect(stdout).toContain(`audit ${ID} runs`);
    expect(stdout).toMatch(/^b +a +1000 +4 +0 +0 +0 +0$/m);
    expect(stdout).toContain('✓ Every copy is what its owner has: 1000 rows compared');
    expect(asked()).toMatchObject({ heal: false, auditId: expect.any(String) as unknown });
  });

  it('is asked for as it was said', async () => {
    const before = Date.now();
    await processes.run(
      ...['audit', '--table', 'orders', '--table', 'stores', '--zones', 'a,b', '--since', '2h', '--heal'],
      ...['--why', 'a new disk', '--by', 'ana@laptop'],
    );
    const body = asked() as { since: string };
    expect(body).toMatchObject({
      tables: ['orders', 'stores'],
      zones: ['a', 'b'],
      heal: true,
      why: 'a new disk',
      requestedBy: 'ana@laptop',
    });
    expect(Date.parse(body.since)).toBeGreaterThanOrEqual(before - 7_200_000);
    expect(Date.parse(body.since)).toBeLessThanOrEqual(Date.now() - 7_200_000);
  });

  it('that found something ends with 1, names the rows and says what to do', async () => {
    farSide.audits = [differing(1)];
    const { status, stdout } = await processes.run('audit');

    expect(status).toBe(1);
    expect(stdout).toMatch(/^b +orders +order-0 +7 +epoch 2, version 3 +no such row$/m);
    expect(stdout).toContain('✗ 1 row differs. Bring the copies up from their owners:  borough audit --heal');
  });

  it('shows the first fifty rows, and all of them with --json', async () => {
    farSide.audits = [differing(60)];
    const { stdout } = await processes.run('audit');
    expect(stdout).toContain('order-49');
    expect(stdout).not.toContain('order-50');
    expect(stdout).toContain('and 10 more: --json shows all');

    const { status, stdout: document } = await processes.run('audit', '--json');
    expect(status).toBe(1);
    expect(JSON.parse(document)).toEqual(differing(60));
  });

  it.each<[string, AuditView, string]>([
    [
      'a zone that did not answer',
      { ...EQUAL, zones: EQUAL.zones.slice(0, 2), unanswered: ['c'], isEqual: false },
      '✗ zone c does not answer, or was not asked: what it holds is not known',
    ],
    [
      'rows of which nobody can tell',
      { ...EQUAL, pairs: [{ ...PAIR, undecided: 2, problem: 'its stream is held up' }], undecided: 2, isEqual: false },
      '✗ zone b, what it holds of zone a: its stream is held up',
    ],
    [
      'that it was cancelled',
      { ...EQUAL, isCancelled: true, isEqual: false },
      'Cancelled: what was not compared is not known',
    ],
  ])('says %s, and ends with 1', async (_what, view, words) => {
    farSide.audits = [view];
    const { status, stdout } = await processes.run('audit');
    expect(status).toBe(1);
    expect(stdout).toContain(words);
  });

  it('goes on when the coordinator that answered dies', async () => {
    farSide.looksUntilAuditsEnd = 4;
    const running = processes.run('audit', '--json');
    await expect.poll(() => farSide.received.length, { timeout: 10_000 }).toBeGreaterThan(1);
    farSide.leader = 1;
    farSide.kill(0);
    const { status, stdout } = await running;
    expect([status, JSON.parse(stdout)]).toEqual([0, EQUAL]);
  });

  it('does not take a zone that is late for one that says nothing', async () => {
    farSide.looksUntilAuditsEnd = 2;
    farSide.looksWithLateZone = 2;
    const { status, stdout } = await processes.run('audit', '--json');
    expect([status, JSON.parse(stdout)]).toEqual([0, EQUAL]);
    expect(farSide.looksWithLateZone).toBe(0);
  });

  it('is cancelled by Ctrl-C, and says so', async () => {
    farSide.looksUntilAuditsEnd = 1_000;
    const running = processes.start(['audit']);
    await expect.poll(() => running.stdout(), PATIENT).toContain(`audit ${ID} runs`);
    running.child.kill('SIGINT');
    const { status, stderr } = await running.ended;

    expect(status).toBe(130);
    expect(stderr).toContain('the audit is cancelled; what it healed stays');
    expect(stderr).toContain(`borough audit show ${ID}`);
    expect(farSide.received.map(({ path }) => path)).toContain(`/ops/v1/audits/${ID}/cancel`);
  });

  it('heals nothing without a reason, and asks nobody', async () => {
    const { status, stderr } = await processes.run('audit', '--heal');
    expect(status).toBe(2);
    expect(stderr).toContain('--why is needed');
    expect(farSide.received).toEqual([]);
  });

  it('is not waited for with --detach', async () => {
    farSide.looksUntilAuditsEnd = 1_000;
    const { status, stdout } = await processes.run('audit', '--detach');
    expect(status).toBe(0);
    expect(stdout).toContain(`borough audit show ${ID}`);
  });

  it.each([
    ['--zones', 'a'],
    ['--zones', 'a,B!'],
    ['--since', 'yesterday'],
    ['--since', '2999-01-01T00:00:00Z'],
  ])('with %s %s ends with 2 and asks nobody', async (...args) => {
    expect(await processes.run('audit', ...args)).toMatchObject({ status: 2 });
    expect(farSide.received).toEqual([]);
  });
});

describe('audit list and audit show', () => {
  it('lists them, and says which a zone made by itself', async () => {
    const own = {
      ...differing(2),
      auditId: ID.replace('04c', '04d'),
      requestedBy: 'schedule',
      zones: [{ zone: 'b', state: 'ended' as const }],
    };
    farSide.audits = [own, EQUAL];
    const { status, stdout } = await processes.run('audit', 'list');
    expect(status).toBe(0);
    expect(stdout).toMatch(/zone b by itself +ended +1000 +2 +0$/m);
    expect(stdout).toMatch(/ana@laptop +ended +1000 +0 +0$/m);
    expect(JSON.parse((await processes.run('audit', 'list', '--limit', '1', '--json')).stdout)).toEqual({
      audits: [own],
    });
  });

  it('shows one that runs, and refuses one that is not there', async () => {
    farSide.looksUntilAuditsEnd = 1;
    const { stdout } = await processes.run('audit', 'show', ID);
    expect(stdout).toContain('zone a: begins');
    expect(stdout).toContain('It still runs.');
    expect(await processes.run('audit', 'show', ID.replace('04c', '04e'))).toMatchObject({ status: 4 });
    expect(await processes.run('audit', 'show', 'x')).toMatchObject({ status: 2 });
  });
});
