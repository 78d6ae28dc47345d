import { MOVE_OUTCOMES, MOVE_SHARD_STATES, type MoveShard, type MoveView } from '@borough/contracts';
import { describe, expect, it } from 'vitest';
import { PLAIN } from '../terminal/paint.js';
import { changeLines, pauseWords, progressLines, reportLines, wayBack } from './move-lines.js';

const MOVE_ID = 'mov_01h455vb4pex5vsknk084sn02q';

function shard(number: number, state: MoveShard['state'], pauseMs?: number): MoveShard {
  return { shard: number, from: 'a', to: 'b', epoch: 1, state, ...(pauseMs === undefined ? {} : { pauseMs }) };
}

function move(shards: MoveShard[], more: Partial<MoveView> = {}): MoveView {
  return {
    moveId: MOVE_ID,
    kind: 'handover',
    target: { kind: 'drain', zone: 'a' },
    why: 'test',
    requestedBy: 'ana@laptop',
    requestedAt: '2026-11-23T14:31:05.000Z',
    state: 'running',
    plan: { shards: [], steps: [], checks: [], isBlocked: false, expectedPauseMs: 18 },
    shards,
    coordinators: ['coordinator-1'],
    version: 1,
    ...more,
  };
}

describe('the progress block', () => {
  it('has every shard with its state and its pause while there is room', () => {
    const lines = progressLines(move([shard(1, 'moved', 8), shard(2, 'fenced'), shard(3, 'waiting')]), PLAIN, 20);

    expect(lines).toHaveLength(5);
    expect(lines[0]).toContain('drain of zone a');
    expect(lines[1]).toContain('1 of 3 moved, 1 on the way, 1 waiting');
    expect(lines[2]).toContain('shard 1  a → b  moved, writes paused 8 ms');
    expect(lines[3]).toContain('shard 2  a → b  fenced');
  });

  it('never has more lines than there is room for, shows what is under way first, and counts the rest', () => {
    const shards = Array.from({ length: 100 }, (_, number) => shard(number, number === 70 ? 'accepted' : 'waiting'));
    for (const room of [3, 5, 10, 50]) {
      const lines = progressLines(move(shards), PLAIN, room, 'lost it');

      expect(lines.length).toBeLessThanOrEqual(Math.max(room, 4));
      expect(lines.at(-1)).toBe('lost it');
      const shown = lines.filter((line) => line.includes('a → b')).length;
      expect(lines.join('\n')).toContain(`and ${100 - shown} more shards`);
      if (shown > 0) expect(lines[2]).toContain('shard 70');
    }
  });
});

describe('the lines of a change', () => {
  it('tell a shard’s state once, when it changes', () => {
    const first = move([shard(1, 'waiting'), shard(2, 'intended')]);
    const second = move([shard(1, 'intended'), shard(2, 'intended')]);

    expect(changeLines(undefined, first, PLAIN)).toEqual([
      `${MOVE_ID}: drain of zone a, 2 shards`,
      expect.stringContaining('shard 2  a → b  intended'),
    ]);
    expect(changeLines(first, second, PLAIN)).toEqual([expect.stringContaining('shard 1  a → b  intended')]);
    expect(changeLines(second, second, PLAIN)).toEqual([]);
  });

  it('tell who aborts it and who takes it over', () => {
    const before = move([]);
    const after = move([], { abortRequestedBy: 'eve@desk', coordinators: ['coordinator-1', 'coordinator-2'] });
    const text = changeLines(before, after, PLAIN).join('\n');

    expect(text).toContain('eve@desk asked to abort it');
    expect(text).toContain('coordinator coordinator-2 goes on with it');
  });

  it('have words for every state', () => {
    for (const state of MOVE_SHARD_STATES.filter((name) => name !== 'waiting')) {
      expect(changeLines(move([shard(1, 'waiting')]), move([shard(1, state)]), PLAIN)[0]).toContain(state);
    }
  });
});

describe('the report', () => {
  const ended = (outcome: MoveView['outcome'], shards: MoveShard[], more: Partial<MoveView> = {}) =>
    move(shards, { state: 'ended', outcome, endedAt: '2026-11-23T14:31:07.000Z', ...more });

  it('of a part names what did not move, and why', () => {
    const shards = [shard(1, 'moved', 8), shard(2, 'reverted'), shard(3, 'kept')];
    const text = reportLines(ended('partly-moved', shards, { problem: 'b fell silent' }), PLAIN).join('\n');

    expect(text).toContain('✗ Moved in part: 1 of 3 shards in 2.0 s');
    expect(text).toContain('not moved: 2-3');
    expect(text).toContain('b fell silent');
  });

  it('names late routers, and every coordinator that worked on it', () => {
    const more = { lateRouters: ['router-2'], coordinators: ['c1', 'c2'] };
    const text = reportLines(ended('moved', [shard(1, 'moved', 8)], more), PLAIN).join('\n');

    expect(text).toContain('✓ Moved: 1 of 1 shard');
    expect(text).toContain('router-2');
    expect(text).toContain('c1, then c2');
  });

  it('marks every outcome but moved as a failure', () => {
    for (const outcome of MOVE_OUTCOMES) {
      expect(reportLines(ended(outcome, [shard(1, 'kept')]), PLAIN)[0]?.startsWith('✓')).toBe(outcome === 'moved');
    }
  });
});

describe('the way back', () => {
  it('of a drain is the undrain', () => {
    expect(wayBack(move([shard(1, 'moved')]))).toEqual([`borough zone undrain a --why 'undo ${MOVE_ID}'`]);
  });

  it('of a failover is the same, once the zone has rejoined', () => {
    expect(wayBack(move([shard(1, 'moved')], { target: { kind: 'failover', zone: 'a' } }))).toEqual([
      'borough zone rejoin a',
      `borough zone undrain a --why 'undo ${MOVE_ID}'`,
    ]);
  });

  it('of shards is a move to each old owner, of those that moved', () => {
    const shards = [shard(1, 'moved'), shard(2, 'moved'), shard(5, 'kept'), { ...shard(9, 'moved'), from: 'c' }];
    const view = move(shards, { target: { kind: 'shards', shards: [1, 2, 5, 9], to: 'b' } });

    expect(wayBack(view).map((command) => command.split(' --why')[0])).toEqual([
      'borough move apply 1-2 --to a',
      'borough move apply 9 --to c',
    ]);
  });

  it('is none when nothing moved', () => {
    expect(wayBack(move([shard(1, 'reverted')]))).toEqual([]);
  });
});

describe('the pause', () => {
  it('is of the shards that moved so far, by nearest rank', () => {
    const shards = Array.from({ length: 100 }, (_, index) => shard(index, 'moved', index + 1));

    expect(pauseWords(move(shards))).toBe('p50 50 ms, p99 99 ms, max 100 ms');
    expect(pauseWords(move([shard(1, 'fenced')]))).toBe('not yet');
  });

  it('is the coordinator’s own figure where it gives one', () => {
    expect(pauseWords(move([shard(1, 'moved', 8)], { pauseMs: { p50: 0.4, p99: 2, max: 1500 } }))).toBe(
      'p50 0.4 ms, p99 2 ms, max 1.5 s',
    );
  });
});
