/** Failing a zone over, and following one that comes back: the built program, in a process of its own. */
import { existsSync } from 'node:fs';
import { type ZoneStatus } from '@borough/contracts';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { BoroughProcesses, build, CHECKOUT, hasPseudoTerminal, PATIENT, type } from './borough-process.js';
import { FarSide } from './far-side.js';

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

function begun(): unknown[] {
  return farSide.received
    .filter(({ method, body }) => method === 'POST' && (body as { dryRun?: boolean }).dryRun === false)
    .map(({ body }) => (body as { target: unknown }).target);
}

describe('zone failover', () => {
  const FAILOVER = ['zone', 'failover', 'a', '--why', 'its host is gone'];

  it('shows the plan and follows the move to its end', async () => {
    farSide.isSelfMoving = true;
    const { status, stdout } = await processes.run(...FAILOVER, '--yes');

    expect(status).toBe(0);
    expect(stdout).toContain('Plan: failover of zone a');
    expect(stdout).toContain('✓ Moved: 2 of 2 shards');
    expect(begun()).toEqual([{ kind: 'failover', zone: 'a' }]);
  });

  it('of a zone without a recorded member that answers is blocked, and says what --declare-lost would mean', async () => {
    farSide.failingCheck = { check: 'recorded-member', detail: 'zone a waited for nobody: it was solo' };
    const { status, stderr } = await processes.run(...FAILOVER, '--yes');

    expect(status).toBe(4);
    expect(stderr).toContain('✗ recorded-member: zone a waited for nobody');
    expect(stderr).toContain('borough zone failover a --declare-lost');
    expect(stderr).toContain('held until each was looked at');
    expect(begun()).toEqual([]);
    const { stdout } = await processes.run('zone', 'failover', 'a', '--dry-run');
    expect(stdout).toContain('borough zone failover a --declare-lost');
  });

  it('that another check blocks says nothing of a loss', async () => {
    farSide.failingCheck = { check: 'majority-of-voters', detail: '1 of 3 voters answer' };
    const { status, stderr } = await processes.run(...FAILOVER, '--yes');

    expect(status).toBe(4);
    expect(stderr).not.toContain('--declare-lost');
  });

  it('--declare-lost by a script has to name the zone once more', async () => {
    farSide.isSelfMoving = true;
    for (const confirm of [[], ['--confirm', 'b']]) {
      const refused = await processes.run(...FAILOVER, '--declare-lost', '--yes', ...confirm);
      expect([refused.status, refused.stderr.includes('--confirm a')]).toEqual([2, true]);
    }
    expect(farSide.received).toEqual([]);

    const { status, stdout } = await processes.run(...FAILOVER, '--declare-lost', '--yes', '--confirm', 'a');
    expect(status).toBe(0);
    expect(stdout).toContain('failover of zone a, which is declared lost');
    expect(begun()).toEqual([{ kind: 'failover', zone: 'a', declareLost: true }]);
  });

  it.skipIf(!hasPseudoTerminal)(
    'wants the name of the zone typed, after the plan; anything else does nothing',
    async () => {
      farSide.isSelfMoving = true;
      for (const flag of ['', '--declare-lost']) {
        const refused = processes.atTerminal(`zone failover a --why test ${flag}`);
        await expect.poll(() => refused.stdout(), PATIENT).toContain('Type a to go on:');
        expect(refused.stdout()).toContain('Steps');
        type(refused, 'yes\r');
        expect(await refused.ended).toMatchObject({ status: 2 });
      }
      expect(begun()).toEqual([]);

      const running = processes.atTerminal('zone failover a --why test --declare-lost');
      await expect.poll(() => running.stdout(), PATIENT).toContain('Type a to go on:');
      type(running, 'a\r');
      expect(await running.ended).toMatchObject({ status: 0 });
      expect(begun()).toEqual([{ kind: 'failover', zone: 'a', declareLost: true }]);
    },
  );
});

const ZONE: ZoneStatus = {
  zone: 'b',
  isDatabaseReachable: true,
  isVoting: true,
  isApiReady: true,
  ownedShards: 1,
  recordedMembers: ['a', 'c'],
  problems: [],
};
const A: ZoneStatus = { ...ZONE, zone: 'a', ownedShards: 0, recordedMembers: ['b', 'c'] };
const B: ZoneStatus = { ...ZONE, recordedMembers: ['a', 'c'] };
const C: ZoneStatus = { ...ZONE, zone: 'c', recordedMembers: ['a', 'b'] };
const SEALED: ZoneStatus = { ...A, sealedOffBy: ['b', 'c'] };
const WITHOUT_A = [
  { ...B, recordedMembers: ['c'] },
  { ...C, recordedMembers: ['b'] },
];
const healing = (rowsDone: number): ZoneStatus => ({
  ...SEALED,
  healing: [{ from: 'b', rowsDone, rowsTotal: 1000, taken: 3, receipts: 2 }],
  rejoinWaitsFor: 'zone a heals 2 shards',
});

describe('zone rejoin', () => {
  it('tells each step as it is done, and ends with 0 when the zone is a full member', async () => {
    farSide.zones = { zones: [{ ...SEALED, isDatabaseReachable: false, isApiReady: false }, ...WITHOUT_A] };
    const running = processes.start(['zone', 'rejoin', 'a']);
    await expect.poll(() => running.stdout(), PATIENT).toContain('→ its database answers: it does not answer');
    farSide.zones = { zones: [healing(400), ...WITHOUT_A] };
    await expect.poll(() => running.stdout(), PATIENT).toContain('40 % its rows are those of their owners');
    expect(running.stdout()).toContain('✓ it knows what it lost');
    expect(running.stdout()).toContain('waits for: zone a heals 2 shards');
    farSide.zones = { zones: [A, ...WITHOUT_A] };
    await expect
      .poll(() => running.stdout(), PATIENT)
      .toContain('→ every other zone counts on it: zone b does not yet');
    farSide.zones = { zones: [A, B, C] };
    const { status, stdout } = await running.ended;

    expect(status).toBe(0);
    expect(stdout).toContain('✓ Zone a is a full member');
    expect(stdout).toContain('borough receipts list --zone a');
  });

  it('ends with 1 when the time is over, says what it waits for, and that it goes on', async () => {
    farSide.zones = { zones: [healing(400), ...WITHOUT_A] };
    const { status, stdout, stderr } = await processes.run('zone', 'rejoin', 'a', '--within', '0.1', '--json');

    expect(status).toBe(1);
    expect(JSON.parse(stdout)).toMatchObject({
      zone: 'a',
      isFullMember: false,
      waitsFor: 'zone a heals 2 shards',
      steps: [{ state: 'done' }, { state: 'done' }, { state: 'done' }, { step: 'rows', state: 'doing' }, {}, {}, {}],
    });
    expect(stderr).toContain('it goes on by itself');
    expect(stderr).toContain('it waits for: zone a heals 2 shards');
  });

  it('asks on while no coordinator answers for a while', async () => {
    farSide.zones = { zones: [healing(100), ...WITHOUT_A] };
    const running = processes.start(['zone', 'rejoin', 'a', '--timeout', '0.3']);
    await expect.poll(() => running.stdout(), PATIENT).toContain('10 %');
    farSide.isSilent = true;
    await expect.poll(() => running.stdout(), PATIENT).toContain('no coordinator answers; asking again');
    farSide.zones = { zones: [A, B, C] };
    farSide.isSilent = false;

    expect(await running.ended).toMatchObject({ status: 0 });
  });

  it('Ctrl-C stops the watching, and says that the zone goes on', async () => {
    farSide.zones = { zones: [healing(400), ...WITHOUT_A] };
    const running = processes.start(['zone', 'rejoin', 'a']);
    await expect.poll(() => running.stdout(), PATIENT).toContain('40 %');
    running.child.kill('SIGINT');
    const { status, stderr } = await running.ended;

    expect(status).toBe(130);
    expect(stderr).toContain('zone a goes on by itself');
    expect(stderr).toContain('borough zone rejoin a');
  });

  it('of a zone that nobody knows ends with 4', async () => {
    const { status, stderr } = await processes.run('zone', 'rejoin', 'd');
    expect(status).toBe(4);
    expect(stderr).toContain('borough zone add d');
  });

  it.skipIf(!hasPseudoTerminal)('is redrawn in place on a terminal, with a bar', async () => {
    farSide.zones = { zones: [healing(500), ...WITHOUT_A] };
    const running = processes.atTerminal('zone rejoin a');
    await expect.poll(() => running.stdout(), PATIENT).toContain('[██████████░░░░░░░░░░] 50 %');
    farSide.zones = { zones: [A, B, C] };
    const { status, stdout } = await running.ended;

    expect(status).toBe(0);
    expect(stdout).toContain('\u001b[9A');
  });
});

describe('zone seed', () => {
  it('follows a new disk from where it has no say yet', async () => {
    const fresh: ZoneStatus = { ...A, isVoting: false, isApiReady: false };
    farSide.zones = { zones: [fresh, ...WITHOUT_A] };
    const running = processes.start(['zone', 'seed', 'a']);
    await expect.poll(() => running.stdout(), PATIENT).toContain('its disk is new: it learns from every other zone');
    expect(running.stdout()).not.toContain('Its disk is not new');
    farSide.zones = { zones: [A, B, C] };
    expect(await running.ended).toMatchObject({ status: 0 });
  });

  it('says that there is nothing to seed where the disk is not new, and how rows that differ are healed', async () => {
    farSide.zones = { zones: [A, B, C] };
    const { status, stdout } = await processes.run('zone', 'seed', 'a');

    expect(status).toBe(0);
    expect(stdout).toContain('Its disk is not new: there is nothing to seed');
    expect(stdout).toContain('borough audit --heal');
  });
});

describe('zone add', () => {
  it('of a zone that the coordinators do not know says what to set, in order, and ends with 4', async () => {
    const { status, stderr, stdout } = await processes.run('zone', 'add', 'd', '--json');

    expect(status).toBe(4);
    const places = ['ZONE_ID=d', 'd=<URL> to its PEER_DATABASE_URLS', 'VOTER_DATABASE_URLS'].map((words) =>
      stderr.indexOf(words),
    );
    expect(places.every((place) => place > 0)).toBe(true);
    expect([...places].sort((a, b) => a - b)).toEqual(places);
    expect(JSON.parse(stdout)).toMatchObject({ error: { code: 'zone-not-found' }, exitCode: 4 });
    expect(begun()).toEqual([]);
  });

  it('of one that they know follows it to its end', async () => {
    farSide.zones = { zones: [A, B, C] };
    expect(await processes.run('zone', 'add', 'a')).toMatchObject({
      status: 0,
      stdout: expect.stringContaining('✓ Zone a is a full member') as string,
    });
  });
});

const VERBS = ['zone failover', 'zone rejoin', 'zone seed', 'zone add'];
const PAGES = new Map([
  ['orders held', 'orders-held'],
  ['orders release', 'orders-held'],
  ['receipts list', 'receipts'],
  ['receipts show', 'receipts'],
]);

it.each([...VERBS, ...PAGES.keys()])('%s --help has examples and names its page', async (verb) => {
  const { status, stdout } = await processes.run(...verb.split(' '), '--help');

  expect(status).toBe(0);
  expect(stdout).toContain(`  borough ${verb}`);
  const page = `infra/runbooks/${PAGES.get(verb) ?? verb.replace(' ', '-')}.md`;
  expect(stdout).toContain(`Runbook: ${page}`);
  expect(existsSync(`${CHECKOUT}${page}`)).toBe(true);
});
