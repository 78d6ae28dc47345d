import { describe, expect, it } from 'vitest';
import { type HandoverShard, type HandoverStep, nextHandoverStep } from './handover.js';
import { type AdoptedOwnership, adoptedOwnership, type VoterCopy } from './ownership.js';
import { type OwnershipRow, type StoredState } from './shard-state.js';

const SHARD: HandoverShard = { shard: 5, from: 'a', to: 'b', epoch: 7, moveId: 'mov-1' };
const TERM = { number: 1, coordinator: 'x' };

/** A copy like a voter's; `moving` and `fenced` ones are of our move, to our heir. */
function row(state: StoredState, owner: string, epoch: number, moveId = SHARD.moveId): OwnershipRow {
  const isInMove = state === 'moving' || state === 'fenced';
  return { shard: 5, epoch, state, owner, term: TERM, ...(isInMove ? { heir: 'b', moveId } : {}) };
}

/** What a majority says when all three voters hold the same copy. */
function settled(
  state: Exclude<StoredState, 'accepted'>,
  owner: string,
  epoch: number,
  moveId?: string,
): AdoptedOwnership {
  const adopted = adoptedOwnership(
    ['a', 'b', 'c'].map((voter): VoterCopy => ({ voter, row: row(state, owner, epoch, moveId) })),
    3,
  );
  if (adopted.kind !== 'settled') throw new Error(`${state} is not settled`);
  return adopted;
}

const KINDS: { [K in AdoptedOwnership['kind']]: Extract<AdoptedOwnership, { kind: K }>[] } = {
  'no-majority': [{ kind: 'no-majority', answered: 1, needed: 2 }],
  none: [{ kind: 'none' }],
  contradiction: [{ kind: 'contradiction', rows: [row('serving', 'a', 8), row('serving', 'b', 8)] }],
  'half-installed': [{ kind: 'half-installed', row: row('accepted', 'b', 8) }],
  settled: [settled('serving', 'a', 7) as Extract<AdoptedOwnership, { kind: 'settled' }>],
};
const WAIT: HandoverStep = { kind: 'wait' };
const A_PERSON: HandoverStep = { kind: 'contradiction' };
const FINISH: HandoverStep = { kind: 'finish', owner: 'b', epoch: 8 };

/** The table of SPEC.md section 9. A new kind does not compile until its row is written. */
const EXPECTED: Record<AdoptedOwnership['kind'], Record<'forward' | 'back', HandoverStep>> = {
  'no-majority': { forward: WAIT, back: WAIT },
  none: { forward: WAIT, back: WAIT },
  contradiction: { forward: A_PERSON, back: A_PERSON },
  'half-installed': { forward: FINISH, back: FINISH },
  settled: { forward: { kind: 'intend' }, back: { kind: 'ended', as: 'kept', epoch: 7 } },
};
const ROWS = Object.values(KINDS)
  .flat()
  .flatMap((adopted) => (['forward', 'back'] as const).map((direction) => ({ adopted, direction })));

describe('M7: the next step of a handover', () => {
  it.each(ROWS)(
    'where a majority says $adopted.kind, asked $direction, is as the table says',
    ({ adopted, direction }) => {
      expect(nextHandoverStep(SHARD, adopted, direction)).toEqual(EXPECTED[adopted.kind][direction]);
    },
  );

  it.each<[string, AdoptedOwnership, HandoverStep, HandoverStep]>([
    ['moving by this move', settled('moving', 'a', 7), transfer('b'), transfer('a')],
    ['fenced by this move', settled('fenced', 'a', 7), transfer('b'), transfer('a')],
    ['moving by another move', settled('moving', 'a', 7, 'mov-2'), over('overtaken', 7), over('overtaken', 7)],
    ['fenced by another move', settled('fenced', 'a', 7, 'mov-2'), over('overtaken', 7), over('overtaken', 7)],
    ['served by the heir', settled('serving', 'b', 8), over('moved', 8), over('moved', 8)],
    ['served by the old owner again', settled('serving', 'a', 8), over('reverted', 8), over('reverted', 8)],
    ['served by a third zone', settled('serving', 'c', 8), over('reverted', 8), over('reverted', 8)],
    ['moving on from the heir', settled('moving', 'b', 8, 'mov-2'), over('moved', 8), over('moved', 8)],
    ['two epochs on', settled('serving', 'b', 9), over('overtaken', 9), over('overtaken', 9)],
    ['older than the plan', settled('serving', 'a', 6), over('overtaken', 6), over('overtaken', 6)],
    ['at the planned epoch with another owner', settled('serving', 'c', 7), over('overtaken', 7), over('overtaken', 7)],
  ])('where the shard is %s', (_what, adopted, forward, back) => {
    expect(nextHandoverStep(SHARD, adopted, 'forward')).toEqual(forward);
    expect(nextHandoverStep(SHARD, adopted, 'back')).toEqual(back);
  });

  it('finishes what was accepted for whomever it was, whatever was asked for', () => {
    for (const owner of ['a', 'b', 'c'])
      for (const direction of ['forward', 'back'] as const)
        expect(nextHandoverStep(SHARD, { kind: 'half-installed', row: row('accepted', owner, 8) }, direction)).toEqual({
          kind: 'finish',
          owner,
          epoch: 8,
        });
  });
});

/** Every copy of three voters that this move can leave behind, wherever its coordinator dies. */
describe('P11: wherever the last coordinator died', () => {
  const LEFT_AT: readonly (readonly (OwnershipRow | undefined)[])[] = [
    copies('serving a 7', 'serving a 7', 'serving a 7'),
    copies('serving a 7', 'moving a 7', 'serving a 7'),
    copies('serving a 7', 'moving a 7', 'moving a 7'),
    copies('moving a 7', 'moving a 7', 'moving a 7'),
    copies('fenced a 7', 'moving a 7', 'moving a 7'),
    copies('fenced a 7', 'moving a 7', 'accepted b 8'),
    copies('fenced a 7', 'accepted b 8', 'accepted b 8'),
    copies('fenced a 7', 'serving b 8', 'accepted b 8'),
    copies('accepted b 8', 'serving b 8', 'accepted b 8'),
    copies('accepted b 8', 'serving b 8', 'serving b 8'),
    copies('serving b 8', 'serving b 8', 'serving b 8'),
    copies('accepted a 8', 'moving a 7', 'moving a 7'),
    copies('accepted a 8', 'accepted a 8', 'moving a 7'),
    copies('serving a 8', 'accepted a 8', 'accepted a 8'),
    copies('serving a 8', 'serving a 8', 'serving a 8'),
  ];

  it.each(
    LEFT_AT.flatMap((left) =>
      (['forward', 'back'] as const).map((direction) => ({ left: left.map(text), rows: left, direction })),
    ),
  )('$left, going $direction: any two voters lead to an end, with one owner per epoch', ({ rows, direction }) => {
    for (const away of [undefined, 0, 1, 2]) {
      const seen = rows
        .map((held, at): VoterCopy => ({ voter: 'abc'[at] ?? '', row: held }))
        .filter((_, at) => at !== away);
      const ends = carryOn(seen, direction);
      expect(['moved', 'reverted', 'kept']).toContain(ends);
      // A copy past `accepted` at the next epoch was chosen: nobody may choose otherwise.
      const served = rows.find((held) => held?.epoch === 8 && held.state !== 'accepted');
      if (served !== undefined) expect(ends).toBe(served.owner === 'b' ? 'moved' : 'reverted');
    }
  });

  function copies(...texts: [string, string, string]): OwnershipRow[] {
    return texts.map((copy) => {
      const [state, owner, epoch] = copy.split(' ') as [StoredState, string, string];
      return row(state, owner, Number(epoch));
    });
  }

  function text(held: OwnershipRow | undefined): string {
    return held === undefined ? '-' : `${held.state} ${held.owner}@${held.epoch}`;
  }

  /** Does what each step says at the voters that were seen, until there is nothing to do. */
  function carryOn(seen: readonly VoterCopy[], direction: 'forward' | 'back'): string {
    let held = seen;
    for (let steps = 0; steps < 5; steps += 1) {
      const step = nextHandoverStep(SHARD, adoptedOwnership(held, 3), direction);
      if (step.kind === 'ended') return step.as;
      if (step.kind === 'wait' || step.kind === 'contradiction') return step.kind;
      const next = step.kind === 'intend' ? row('moving', 'a', 7) : row('serving', step.owner, step.epoch);
      held = held.map(({ voter }) => ({ voter, row: next }));
    }
    return 'no end';
  }
});

function transfer(owner: string): HandoverStep {
  return { kind: 'transfer', owner, epoch: 8 };
}

function over(as: 'moved' | 'reverted' | 'overtaken', epoch: number): HandoverStep {
  return { kind: 'ended', as, epoch };
}
