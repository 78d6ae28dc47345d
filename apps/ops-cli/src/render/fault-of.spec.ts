import { PROBLEMS, type ProblemCode } from '@borough/contracts';
import { NoCoordinator, OpsRefused } from '@borough/ops-client';
import { describe, expect, it } from 'vitest';
import { faultOf } from './fault-of.js';

const MOVE_ID = 'mov_01h455vb4pex5vsknk084sn02q';

function refused(code: ProblemCode, members: Record<string, unknown> = {}): OpsRefused {
  const { status, title, retry } = PROBLEMS[code];
  return new OpsRefused({ type: `urn:borough:problem:${code}`, code, status, title, retry, ...members }, 'http://c1');
}

describe('a refusal', () => {
  it('keeps the problem’s code, title and detail, and ends with 4', () => {
    const fault = faultOf(refused('zone-not-found', { detail: 'There is no zone z.' }));

    expect(fault).toMatchObject({ code: 'zone-not-found', message: 'There is no such zone', exitCode: 4 });
    expect(fault.details).toContain('There is no zone z.');
    expect(fault.next.join('\n')).toContain('borough status');
  });

  it('because of another move names it', () => {
    expect(faultOf(refused('shard-in-move', { moveId: MOVE_ID })).next.join('\n')).toContain(
      `borough move watch ${MOVE_ID}`,
    );
    expect(faultOf(refused('shard-in-move')).next.join('\n')).toContain('borough move list');
  });

  it('because of checks shows those that did not pass, and no others', () => {
    const checks = [
      { check: 'heir-is-ready', isPassed: true, detail: 'fine' },
      { check: 'no-seal', isPassed: false, detail: 'a is sealed' },
    ];
    for (const members of [{ checks }, { plan: { checks } }]) {
      const { details } = faultOf(refused('move-blocked', members));
      expect(details).toEqual(['✗ no-seal: a is sealed']);
    }
  });

  it('with facts of another shape is shown without them', () => {
    const fault = faultOf(refused('move-blocked', { checks: 'three', moveId: 7, detail: 'Blocked.' }));

    expect(fault.details).toEqual(['Blocked.']);
  });

  it('of a body names the fields', () => {
    const errors = [{ path: 'target.to', message: 'must be a zone' }];
    expect(faultOf(refused('validation-failed', { errors })).details).toContain('target.to: must be a zone');
  });
});

it('no coordinator ends with 3, with what each one did, and warns when the change may have happened', () => {
  const tries = [{ coordinator: 'http://c1', what: 'nobody listens there' }];
  const fault = faultOf(new NoCoordinator(tries, 10_000, true));

  expect(fault).toMatchObject({ code: 'no-coordinator', exitCode: 3 });
  expect(fault.details).toEqual(['http://c1: nobody listens there']);
  expect(fault.next.join('\n')).toContain('may have been begun');
  expect(faultOf(new NoCoordinator(tries, 10_000, false)).next.join('\n')).not.toContain('may have been begun');
});

it('a bug ends with 70 and keeps its stack', () => {
  const fault = faultOf(new TypeError('x is not a function'));

  expect(fault.exitCode).toBe(70);
  expect(fault.details.join('\n')).toContain('fault-of.spec.ts');
});
