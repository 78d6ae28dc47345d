/** What was done before: the list of moves and the audit log. */
import { type AuditPage, type MovePage, type MoveView } from '@borough/contracts';
import { type Paint } from '../terminal/paint.js';
import { tableLines } from './table.js';
import { duration, instant, targetWords } from './words.js';

export function movesLines({ moves, next }: MovePage, paint: Paint): string[] {
  if (moves.length === 0) return ['no moves'];
  const rows = moves.map((move) => [
    move.moveId,
    outcomeWords(move, paint),
    targetWords(move.target),
    `${move.shards.filter(({ state }) => state === 'moved').length}/${move.shards.length}`,
    move.pauseMs === undefined ? '–' : duration(move.pauseMs.max),
    instant(move.requestedAt),
    move.requestedBy,
    move.why,
  ]);
  return [
    ...tableLines(['MOVE', 'OUTCOME', 'TARGET', 'MOVED', 'PAUSE MAX', 'ASKED AT', 'BY', 'WHY'], rows),
    ...(next === undefined ? [] : [paint.dim(`older ones:  borough move list --before ${next}`)]),
  ];
}

export function auditLines({ entries, next }: AuditPage, paint: Paint): string[] {
  if (entries.length === 0) return ['the audit log is empty'];
  const rows = entries.map(({ at, who, what, moveId, why, detail }) => [
    instant(at),
    who,
    what,
    moveId ?? '–',
    why ?? '–',
    detail,
  ]);
  return [
    ...tableLines(['AT', 'WHO', 'WHAT', 'MOVE', 'WHY', 'DETAIL'], rows),
    ...(next === undefined ? [] : [paint.dim(`older ones:  borough audit-log --before ${next}`)]),
  ];
}

function outcomeWords({ state, outcome }: MoveView, paint: Paint): string {
  if (state === 'running') return paint.yellow('running');
  return outcome === 'moved' ? paint.green(outcome) : paint.red(outcome ?? 'ended');
}
