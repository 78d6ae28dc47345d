/** The command line as a person and a script meet it: the built program, in a process of its own. */
import { existsSync } from 'node:fs';
import { type MoveView } from '@borough/contracts';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { BoroughProcesses, build, CHECKOUT, hasPseudoTerminal, PATIENT, type Ended, type } from './borough-process.js';
import { FarSide } from './far-side.js';

const ESCAPE = '\u001b';

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

/** Runs a verb to its end, without a terminal. */
function borough(...args: string[]): Promise<Ended> {
  return processes.run(...args);
}

/** Requests that ask for a change, in the order of their arrival. */
function writes() {
  return farSide.received.filter(({ method }) => method === 'POST');
}

describe('status', () => {
  it('shows zones, routers, leader and running moves, and says that all is well', async () => {
    const { moveId } = farSide.begin({ kind: 'shards', shards: [0], to: 'c' });
    const { status, stdout, stderr } = await borough('status');

    expect([status, stderr]).toEqual([0, '']);
    expect(stdout).toContain('All is well');
    expect(stdout).toContain('leader coordinator-0 (term 4)');
    expect(stdout).toMatch(/^a +answers +ready +2 +b, c/m);
    expect(stdout).toMatch(/^router-1 +15 +420 ms ago +0$/m);
    expect(stdout).toContain(`borough move watch ${moveId}`);
    expect(stdout).not.toContain(ESCAPE);
  });

  it('says what is wrong, and with --check tells scripts so', async () => {
    farSide.leader = -1;

    expect(await borough('status')).toMatchObject({ status: 0 });
    const { status, stdout } = await borough('status', '--check', '--json');
    expect(status).toBe(1);
    expect(JSON.parse(stdout)).toMatchObject({ wrong: [expect.stringContaining('no coordinator leads')] });
  });
});

describe('a solo zone', () => {
  it('is what the status begins with', async () => {
    const solo = { zone: 'a', isDatabaseReachable: true, ownedShards: 3, waitsFor: [], isSolo: true, problems: [] };
    farSide.zones = { zones: [solo] };
    const { stdout } = await borough('status');

    expect(stdout.split('\n')[1]).toContain('zone a: it is SOLO');
    expect(stdout).toMatch(/^a +answers +– +3 +nobody: SOLO/m);
  });
});

describe('move apply', () => {
  const APPLY = ['move', 'apply', '0-2', '--to', 'b', '--why', 'test', '--yes'];

  it('shows the plan, then a line per change, and ends with 0 when all has moved', async () => {
    farSide.isSelfMoving = true;
    const { status, stdout, stderr } = await borough(...APPLY);

    expect([status, stderr]).toEqual([0, '']);
    expect(stdout).toContain('2 shards: 2 a → b');
    expect(stdout).toMatch(/^ *0 +North +a +b +1 → 2 +5$/m);
    expect(stdout).toContain('✓ heir-is-ready');
    expect(stdout.match(/shard 0 North {2}a → b {2}fenced/g)).toHaveLength(1);
    expect(stdout).toContain('Moved: 2 of 2 shards in 1.4 s');
    expect(stdout).toContain("back again:  borough move apply 0,2 --to a --why 'undo mov_");
    expect(stdout).not.toContain(ESCAPE);
    expect(writes().at(-1)?.body).toMatchObject({ why: 'test', requestedBy: expect.stringMatching(/.@./) as string });
  });

  it('--json prints one document, and the words elsewhere', async () => {
    farSide.isSelfMoving = true;
    const { status, stdout, stderr } = await borough(...APPLY, '--json');

    expect(status).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ state: 'ended', outcome: 'moved' });
    expect(stderr).toContain('Moved: 2 of 2 shards');
  });

  it('finds the leader wherever it is, and begins one move even when the answer is lost', async () => {
    farSide.leader = 1;
    farSide.answersToLose = 1;
    const { status, stdout } = await borough(...APPLY, '--detach', '--json');

    expect(status).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ moveId: farSide.moves[0]?.moveId, state: 'running' });
    expect(farSide.moves).toHaveLength(1);
    const begins = writes().filter(
      ({ body, coordinator }) => coordinator === 1 && !(body as { dryRun: boolean }).dryRun,
    );
    expect(begins).toHaveLength(2);
    expect(new Set(begins.map(({ key }) => key)).size).toBe(1);
  });

  it('ends with 1 when the move did not do all it was asked for', async () => {
    const running = processes.start(APPLY);
    await expect.poll(() => farSide.watchers, PATIENT).toBe(1);
    farSide.end(farSide.moves[0]?.moveId ?? '', 'reverted', 'zone b stopped answering');
    const { status, stdout } = await running.ended;

    expect(status).toBe(1);
    expect(stdout).toContain('Reverted: nothing moved');
    expect(stdout).toContain('zone b stopped answering');
  });

  it('shows which check blocks it, changes nothing, and ends with 4', async () => {
    farSide.failingCheck = { check: 'heir-has-caught-up', detail: 'b is 12 MB behind; wait' };
    const { status, stderr } = await borough(...APPLY);

    expect(status).toBe(4);
    expect(stderr).toContain('✗ heir-has-caught-up: b is 12 MB behind; wait');
    expect(farSide.moves).toEqual([]);
    const json = await borough(...APPLY, '--json');
    expect(JSON.parse(json.stdout)).toMatchObject({
      error: { code: 'move-blocked', plan: { isBlocked: true } },
      exitCode: 4,
    });
  });

  it('names the move that has the shard, and how to watch it', async () => {
    const { moveId } = farSide.begin({ kind: 'shards', shards: [0], to: 'c' });
    const { status, stdout, stderr } = await borough(...APPLY, '--json');

    expect(status).toBe(4);
    expect(stderr).toContain(`borough move watch ${moveId}`);
    expect(JSON.parse(stdout)).toMatchObject({ error: { code: 'shard-in-move', problem: { moveId } } });
  });

  it('names that move also when the plan only says that the shard is not serving', async () => {
    const { moveId } = farSide.begin({ kind: 'shards', shards: [0], to: 'c' });
    farSide.planOfMovingShard = 'blocked';
    const { status, stdout, stderr } = await borough(...APPLY, '--json');

    expect(status).toBe(4);
    expect(stderr).toContain(`borough move abort ${moveId}`);
    expect(JSON.parse(stdout)).toMatchObject({ error: { code: 'shard-in-move', moveId } });
  });

  it('is done when there is nothing to move', async () => {
    expect(await borough('move', 'apply', '1', '--to', 'b', '--why', 'test', '--yes')).toMatchObject({
      status: 0,
      stdout: expect.stringContaining('Nothing to move') as string,
    });
  });

  it('Ctrl-C stops the watching, not the move, and says how to go on', async () => {
    const running = processes.start(APPLY);
    await expect.poll(() => farSide.watchers, PATIENT).toBe(1);
    running.child.kill('SIGINT');
    const { status, stderr } = await running.ended;

    const [move] = farSide.moves;
    expect(status).toBe(130);
    expect(stderr).toContain('the move goes on');
    expect(stderr).toContain(`borough move watch ${move?.moveId ?? ''}`);
    expect(stderr).toContain(`borough move abort ${move?.moveId ?? ''}`);
    expect(move).toMatchObject({ state: 'running' });
    expect(move).not.toHaveProperty('abortRequestedBy');
  });
});

describe('without a terminal', () => {
  it.each([
    ['move apply without --yes', ['move', 'apply', '0', '--to', 'b', '--why', 'test'], '--yes'],
    ['zone drain without --yes', ['zone', 'drain', 'a', '--why', 'test'], '--yes'],
    ['zone undrain without --yes', ['zone', 'undrain', 'a', '--why', 'test'], '--yes'],
    ['zone drain without --why', ['zone', 'drain', 'a', '--yes'], '--why'],
  ])('%s is refused with 2, before anybody is asked', async (_, args, missing) => {
    const { status, stdout, stderr } = await borough(...args);

    expect([status, stdout]).toEqual([2, '']);
    expect(stderr).toContain(missing);
    expect(farSide.received).toEqual([]);
  });
});

describe('move watch', () => {
  it('--json prints the move each time it has changed, one a line, through the death of its coordinator', async () => {
    const { moveId } = farSide.begin({ kind: 'shards', shards: [0], to: 'c' });
    const running = processes.start(['move', 'watch', moveId, '--json']);
    await expect.poll(() => farSide.watchers, PATIENT).toBe(1);
    farSide.step(moveId);
    await expect.poll(() => running.stdout(), PATIENT).toContain('"intended"');
    farSide.kill(0);
    farSide.leader = 1;
    farSide.takeOver(moveId, 'coordinator-1');
    await expect.poll(() => farSide.watchers, PATIENT).toBe(1);
    while (farSide.step(moveId));
    farSide.end(moveId, 'moved');
    const { status, stdout, stderr } = await running.ended;

    expect(status).toBe(0);
    const views = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as MoveView);
    expect(views.map(({ version }) => version)).toEqual(
      [...new Set(views.map(({ version }) => version))].sort((a, b) => a - b),
    );
    expect(views.at(-1)).toMatchObject({ state: 'ended', outcome: 'moved' });
    expect(stderr).toContain('asking another coordinator');
    expect(stderr).toContain('coordinator coordinator-1 goes on with it');
  });

  it('ends with 4 for a move that is not there, and 2 for what is no move', async () => {
    const missing = await borough('move', 'watch', 'mov_01h455vb4pex5vsknk084sn02q', '--json');
    expect(missing.status).toBe(4);
    expect(JSON.parse(missing.stdout)).toMatchObject({ error: { code: 'move-not-found' } });
    expect(await borough('move', 'watch', 'ord_1')).toMatchObject({ status: 2 });
  });
});

describe('move abort', () => {
  it('waits until the move has ended, and is done when it stopped', async () => {
    const { moveId } = farSide.begin({ kind: 'shards', shards: [0], to: 'c' });
    const running = processes.start(['move', 'abort', moveId, '--by', 'ana@laptop']);
    await expect.poll(() => farSide.watchers, PATIENT).toBe(1);
    expect(farSide.moves[0]).toMatchObject({ abortRequestedBy: 'ana@laptop', state: 'running' });
    farSide.step(moveId, 'kept');
    farSide.end(moveId, 'aborted');
    const { status, stdout } = await running.ended;

    expect(status).toBe(0);
    expect(stdout).toContain('Stopped on request: 0 of 1 shard');
  });

  it('of a move that has ended is refused with 4, and says where to look', async () => {
    const { moveId } = farSide.begin({ kind: 'shards', shards: [0], to: 'c' });
    farSide.end(moveId, 'reverted');
    const { status, stderr } = await borough('move', 'abort', moveId);

    expect(status).toBe(4);
    expect(stderr).toContain(`borough move watch ${moveId}`);
  });
});

describe('explain', () => {
  it.each([
    ['a cell inside an area', 'geo:891f1559833ffff', 1, 'b'],
    ['a shard', 'shard:2', 2, 'a'],
    ['a place', '53.12523,8.75059', 1, 'b'],
  ])('leads %s to its shard and zone, and says why', async (_, tag, shard, owner) => {
    const { status, stdout } = await borough('explain', tag, '--json');

    expect(status).toBe(0);
    const explanation = JSON.parse(stdout) as { why: string[] };
    expect(explanation).toMatchObject({ shard, owner, state: 'serving', epoch: 1, tableVersion: 15, isServed: true });
    expect(explanation.why.join('\n')).toContain(`zone ${owner} owns it at epoch 1`);
  });

  it('names the move of a shard on its way', async () => {
    const { moveId } = farSide.begin({ kind: 'shards', shards: [0], to: 'c' });
    farSide.step(moveId);
    const { stdout } = await borough('explain', 'shard:0');

    expect(stdout).toMatch(/^heir +zone c$/m);
    expect(stdout).toContain(`borough move watch ${moveId}`);
  });

  it('ends with 4 where nobody delivers, south and west included, and with 2 for what is no tag', async () => {
    const nowhere = await borough('explain', '-33.92,-18.42');
    expect(nowhere.status).toBe(4);
    expect(nowhere.stdout).toContain('nobody delivers there');
    for (const text of ['geo:xyz', 'cus_01h455vb4pex5vsknk084sn02q', '95,8']) {
      expect(await borough('explain', text)).toMatchObject({ status: 2 });
    }
  });
});

describe('shards, move list and audit-log', () => {
  it('show what there is', async () => {
    const { moveId } = farSide.begin({ kind: 'shards', shards: [0], to: 'c' });
    const owned = await borough('shards', '--zone', 'a');
    expect(owned.stdout).toMatch(/^ *0 +North +a +serving +1 +mov_\w+ +alike$/m);
    expect(owned.stdout).toContain('2 shards');
    expect((await borough('move', 'list')).stdout).toMatch(new RegExp(`^${moveId} +running +shard 0 to c +0/1`, 'm'));
    expect((await borough('audit-log')).stdout).toMatch(new RegExp(`eve@elsewhere +move.requested +${moveId}`));
    const page = await borough('audit-log', '--json');
    expect(JSON.parse(page.stdout)).toMatchObject({ entries: [{ moveId }] });
  });
});

describe('when no coordinator answers', () => {
  it('ends with 3, says what each one did, and that orders go on', async () => {
    farSide.kill(0);
    farSide.kill(1);
    const { status, stdout, stderr } = await borough('status', '--timeout', '0.5', '--json');

    expect(status).toBe(3);
    expect(stderr).toContain('ECONNREFUSED');
    expect(JSON.parse(stdout)).toMatchObject({ error: { code: 'no-coordinator' }, exitCode: 3 });
  });

  it('ends with 3 when none leads', async () => {
    farSide.leader = -1;
    const args = ['zone', 'drain', 'a', '--why', 'test', '--yes', '--timeout', '0.5'];
    expect(await borough(...args)).toMatchObject({ status: 3 });
  });
});

describe('the command line', () => {
  it.each([
    [[], 2],
    [['move'], 2],
    [['stat'], 2],
    [['move', 'apply', '0', '--yes', '--why', 'x'], 2],
    [['move', 'plan', 'x', '--to', 'b'], 2],
    [['move', 'plan', '4096', '--to', 'b'], 2],
    [['audit-log', '--limit', '0'], 2],
    [['status', '--coordinator', 'localhost'], 2],
    [['zone', 'drain', 'Z!', '--yes', '--why', 'x'], 2],
    [['--help'], 0],
    [['zone', '--help'], 0],
  ])('%j ends with %i and asks nobody', async (args, expected) => {
    expect(await borough(...args)).toMatchObject({ status: expected });
    expect(farSide.received).toEqual([]);
  });

  const VERBS = ['status', 'shards', 'explain', 'move plan', 'move apply', 'move watch', 'move abort', 'move list'];
  it.each([...VERBS, 'zone drain', 'zone undrain', 'audit-log'])(
    '%s --help has examples, exit codes, and names a page that is there',
    async (verb) => {
      const { status, stdout } = await borough(...verb.split(' '), '--help');

      expect(status).toBe(0);
      expect(stdout).toContain(`  borough ${verb}`);
      expect(stdout).toContain('130  interrupted');
      const page = /infra\/runbooks\/([\w-]+)\.md/.exec(stdout)?.[1];
      expect(page).toBe(verb.replace(' ', '-'));
      expect(existsSync(`${CHECKOUT}infra/runbooks/${page ?? ''}.md`)).toBe(true);
    },
  );
});

describe('plan', () => {
  it('changes nothing, and ends with 4 when it is blocked', async () => {
    const { status, stdout } = await borough('move', 'plan', '0', '2', '--to', 'b', '--json');
    expect(status).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ isBlocked: false, shards: [{ shard: 0 }, { shard: 2 }] });
    farSide.failingCheck = { check: 'heir-is-ready', detail: 'it is not' };
    expect(await borough('zone', 'drain', 'a', '--dry-run')).toMatchObject({
      status: 4,
      stdout: expect.stringContaining('✗ heir-is-ready: it is not') as string,
    });
    expect(farSide.moves).toEqual([]);
  });
});

describe.skipIf(!hasPseudoTerminal)('on a terminal', () => {
  it('a drain wants the zone’s name typed; anything else changes nothing', async () => {
    const running = processes.atTerminal('zone drain a --why test');
    await expect.poll(() => running.stdout(), PATIENT).toContain('Type a to go on:');
    type(running, 'yes\r');
    const { status, stdout } = await running.ended;

    expect(status).toBe(2);
    expect(stdout).toContain('Not confirmed: nothing was changed');
    expect(farSide.moves).toEqual([]);
  });

  it('a drain confirmed by name asks why, runs, is redrawn in place, and tells the way back', async () => {
    farSide.isSelfMoving = true;
    const running = processes.atTerminal('zone drain a --to c');
    await expect.poll(() => running.stdout(), PATIENT).toContain('Why (for the audit log): ');
    type(running, 'kernel update\r');
    await expect.poll(() => running.stdout(), PATIENT).toContain('Type a to go on:');
    type(running, 'a\r');
    const { status, stdout } = await running.ended;

    expect(status).toBe(0);
    expect(farSide.moves).toMatchObject([{ why: 'kernel update', target: { kind: 'drain', zone: 'a', to: 'c' } }]);
    expect(stdout).toContain(`${ESCAPE}[4A`);
    expect(stdout).toContain('Moved: 2 of 2 shards');
    expect(stdout).toContain('borough zone undrain a');
  });

  it('a move of several shards wants the word move, one of a single shard none', async () => {
    farSide.isSelfMoving = true;
    const several = processes.atTerminal('move apply 0,2 --to b --why test');
    await expect.poll(() => several.stdout(), PATIENT).toContain('Type move to go on:');
    type(several, 'move\r');
    expect(await several.ended).toMatchObject({ status: 0 });
    expect(await processes.atTerminal('move apply 0 --to c --why test').ended).toMatchObject({ status: 0 });
  });

  it('Ctrl-C at a question ends with 130, and nothing was changed', async () => {
    const running = processes.atTerminal('zone drain a --why test');
    await expect.poll(() => running.stdout(), PATIENT).toContain('Type a to go on:');
    type(running, '\u0003');
    const { status, stdout } = await running.ended;

    expect(status).toBe(130);
    expect(stdout).toContain('nothing was changed');
    expect(farSide.moves).toEqual([]);
  });

  it('NO_COLOR is honoured', async () => {
    const coloured = await processes.atTerminal('status').ended;
    const plain = await processes.atTerminal('status', 'NO_COLOR=1').ended;

    expect(coloured.stdout).toContain(`${ESCAPE}[32m`);
    expect(plain.stdout).not.toContain(ESCAPE);
  });
});
