import { type AuditPair, type AuditView } from '@borough/contracts';
import { describe, expect, it } from 'vitest';
import { PLAIN } from '../terminal/paint.js';
import { auditLines, auditListLines, auditProgressLines } from './audit-lines.js';

const PAIR: AuditPair = {
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
const EQUAL: AuditView = {
  auditId: '019ab02d-9ab7-7000-8c5d-15e1d1f2a04c',
  state: 'ended',
  request: { heal: false },
  requestedBy: 'ana@laptop',
  requestedAt: '2026-11-23T10:00:00.000Z',
  endedAt: '2026-11-23T10:00:05.000Z',
  isCancelled: false,
  zones: [
    { zone: 'a', state: 'ended' },
    { zone: 'b', state: 'ended' },
  ],
  unanswered: [],
  pairs: [PAIR],
  rowsCompared: 1_000,
  rowsRead: 4,
  differing: 0,
  undecided: 0,
  isEqual: true,
};

const differing = (number: number, more: Partial<AuditPair> = {}): AuditView => ({
  ...EQUAL,
  pairs: [
    {
      ...PAIR,
      differing: Array.from({ length: number }, (_, at) => ({
        table: 'orders',
        key: [`order-${at}`],
        shard: 7,
        copy: { epoch: 2, version: 3 },
      })),
      ...more,
    },
  ],
  differing: number,
  isEqual: false,
});

const lastLine = (view: AuditView): string | undefined => auditLines(view, PLAIN).at(-1);

describe('an audit that has ended', () => {
  it('shows the first fifty differing rows and how many more there are', () => {
    const fifty = auditLines(differing(50), PLAIN).join('\n');
    expect(fifty).toContain('order-49');
    expect(fifty).not.toContain('--json');

    const more = auditLines(differing(51), PLAIN).join('\n');
    expect(more).not.toContain('order-50');
    expect(more).toContain('and 1 more: --json shows all');
  });

  it('says of a row that the owner has none', () => {
    expect(auditLines(differing(1), PLAIN).join('\n')).toMatch(
      /^b +orders +order-0 +7 +no such row +epoch 2, version 3$/m,
    );
  });

  it('does not let a key or a problem paint the terminal', () => {
    const key = ['\u001b[31mred'];
    const view = differing(0, { differing: [{ table: 'orders', key, shard: 7 }], problem: 'no \u001b[2Janswer' });
    const text = auditLines(view, PLAIN).join('\n');
    expect(text).not.toContain('\u001b');
    expect(text).toContain('·[31mred');
    expect(text).toContain('no ·[2Janswer');
  });

  it('marks a count that stopped before the end', () => {
    expect(auditLines(differing(2, { isComplete: false }), PLAIN).join('\n')).toMatch(/^b +a +1000 +4 +2\+ /m);
  });

  it('tells to heal what differs, but not again where that was tried', () => {
    expect(lastLine(differing(2))).toContain('borough audit --heal');
    expect(lastLine({ ...differing(2), request: { heal: true } })).not.toContain('--heal');
  });

  it.each<[string, Partial<AuditView>]>([
    ['a zone is missing', { unanswered: ['c'] }],
    ['rows are undecided', { undecided: 2 }],
    ['it was cancelled', { isCancelled: true }],
    ['something went wrong', { pairs: [{ ...PAIR, problem: 'no answer' }] }],
  ])('is not called equal when %s', (_what, found) => {
    expect(lastLine({ ...EQUAL, ...found, isEqual: false })).not.toContain('✓');
    expect(lastLine(EQUAL)).toContain('✓');
  });
});

it('an audit that runs says of each zone where it is, and which ones do not answer', () => {
  const view: AuditView = {
    ...EQUAL,
    state: 'running',
    zones: [
      { zone: 'a', state: 'waiting' },
      { zone: 'b', state: 'running', progress: { owner: 'a', table: 'orders', rowsCompared: 12 } },
    ],
    unanswered: ['c'],
    isEqual: false,
  };
  expect(auditProgressLines(view, PLAIN)).toEqual([
    '  zone a: waiting for its turn',
    '  zone b: orders of zone a, 12 rows compared',
    expect.stringContaining('zone c does not answer'),
  ]);
  expect(lastLine(view)).toBe('It still runs.');
});

it('a list says which audits were cancelled, and how to begin one where there is none', () => {
  expect(auditListLines([{ ...EQUAL, isCancelled: true, isEqual: false }], PLAIN).join('\n')).toMatch(
    /ana@laptop +cancelled +1000 +0 +0$/m,
  );
  expect(auditListLines([], PLAIN)).toEqual([expect.stringContaining('borough audit')]);
});
