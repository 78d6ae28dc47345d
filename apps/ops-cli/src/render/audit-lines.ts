/** Audits for people: how far one is, what it found, and a list of them. */
import { type AuditDifference, type AuditPair, type AuditView } from '@borough/contracts';
import { type Paint } from '../terminal/paint.js';
import { tableLines } from './table.js';
import { count, instant, printable } from './words.js';

/** More are shown by `--json` only. */
const SHOWN_ROWS = 50;

/** What each zone is at. */
export function auditProgressLines({ zones, unanswered }: AuditView, paint: Paint): string[] {
  return [
    ...zones.map(({ zone, state, progress }) => {
      if (state === 'ended') return `  zone ${zone}: ${paint.green('done')}`;
      if (progress === undefined) return `  zone ${zone}: ${state === 'running' ? 'begins' : 'waiting for its turn'}`;
      const { owner, table, rowsCompared } = progress;
      return `  zone ${zone}: ${table || 'what it holds'} of zone ${owner}, ${count(rowsCompared, 'row')} compared`;
    }),
    ...unansweredLines(unanswered, paint),
  ];
}

/** What it came to. */
export function auditLines(view: AuditView, paint: Paint): string[] {
  const { auditId, request, requestedBy, requestedAt, pairs, unanswered } = view;
  const scope = [
    ...(request.tables === undefined ? [] : [`tables ${request.tables.join(', ')}`]),
    ...(request.zones === undefined ? [] : [`zones ${request.zones.join(', ')}`]),
    ...(request.since === undefined ? [] : [`since ${instant(request.since)}`]),
    ...(request.heal ? ['healing'] : []),
  ];
  const rows = pairs.flatMap(({ copy, differing }) => differing.map((row) => differenceCells(copy, row)));
  return [
    `${paint.bold(auditId)}  asked for by ${requestedBy} at ${instant(requestedAt)}${scope.length === 0 ? '' : `: ${scope.join('; ')}`}`,
    '',
    ...tableLines(
      ['COPY IN', 'OF', 'COMPARED', 'READ', 'DIFFERING', 'UNDECIDED', 'HEALED', 'RECEIPTS'],
      pairs.map((pair) => pairCells(pair, paint)),
    ),
    ...pairs.flatMap(({ copy, owner, problem }) =>
      problem === undefined ? [] : [paint.red(`✗ zone ${copy}, what it holds of zone ${owner}: ${printable(problem)}`)],
    ),
    ...unansweredLines(unanswered, paint),
    ...(rows.length === 0
      ? []
      : ['', ...tableLines(['ZONE', 'TABLE', 'KEY', 'SHARD', 'OWNER HAS', 'ZONE HAS'], rows.slice(0, SHOWN_ROWS))]),
    ...(rows.length > SHOWN_ROWS ? [`and ${rows.length - SHOWN_ROWS} more: --json shows all`] : []),
    '',
    verdictLine(view, paint),
  ];
}

export function auditListLines(audits: readonly AuditView[], paint: Paint): string[] {
  const rows = audits.map((view) => [
    view.auditId,
    instant(view.requestedAt),
    view.requestedBy === 'schedule' ? `zone ${view.zones[0]?.zone ?? ''} by itself` : view.requestedBy,
    view.isCancelled ? 'cancelled' : view.state,
    view.rowsCompared,
    view.differing === 0 ? '0' : paint.red(`${view.differing}`),
    view.undecided === 0 ? '0' : paint.yellow(`${view.undecided}`),
  ]);
  if (rows.length === 0) return ['No audit yet:  borough audit  begins one'];
  return tableLines(['AUDIT', 'ASKED FOR', 'BY', 'STATE', 'COMPARED', 'DIFFERING', 'UNDECIDED'], rows);
}

function pairCells(pair: AuditPair, paint: Paint): (string | number)[] {
  const { copy, owner, rowsCompared, rowsRead, differing, undecided, isComplete, taken, receipts } = pair;
  const more = isComplete ? '' : '+';
  return [
    copy,
    owner,
    rowsCompared,
    rowsRead,
    differing.length === 0 ? `0${more}` : paint.red(`${differing.length}${more}`),
    undecided === 0 ? '0' : paint.yellow(`${undecided}`),
    taken,
    receipts,
  ];
}

function differenceCells(copy: string, { table, key, shard, owner, copy: its }: AuditDifference): (string | number)[] {
  const words = (stamp: AuditDifference['owner']): string =>
    stamp === undefined ? 'no such row' : `epoch ${stamp.epoch}, version ${stamp.version}`;
  return [copy, table, printable(key.join(' · ')), shard, words(owner), words(its)];
}

function unansweredLines(unanswered: readonly string[], paint: Paint): string[] {
  return unanswered.map((zone) =>
    paint.red(`✗ zone ${zone} does not answer, or was not asked: what it holds is not known`),
  );
}

function verdictLine(view: AuditView, paint: Paint): string {
  const { state, isCancelled, isEqual, differing, undecided, rowsCompared, request } = view;
  if (state !== 'ended') return 'It still runs.';
  if (isEqual) return paint.green(`✓ Every copy is what its owner has: ${count(rowsCompared, 'row')} compared`);
  if (isCancelled) return paint.yellow('Cancelled: what was not compared is not known');
  if (differing > 0) {
    const next = request.heal
      ? 'Runbook: infra/runbooks/audit.md'
      : 'Bring the copies up from their owners:  borough audit --heal';
    return paint.red(`✗ ${count(differing, 'row')} ${differing === 1 ? 'differs' : 'differ'}. ${next}`);
  }
  if (undecided > 0) return paint.yellow(`✗ Of ${count(undecided, 'row')} nobody can tell yet: ask again`);
  return paint.red('✗ Not everything could be compared');
}
