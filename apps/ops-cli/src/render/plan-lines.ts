import { type MoveCheck, type MovePlan, type MoveTarget, type PlannedShard } from '@borough/contracts';
import { type Paint } from '../terminal/paint.js';
import { tableLines } from './table.js';
import { count, duration, targetWords } from './words.js';

/** More shards than this are summed up; `--json` lists all. */
const SHARDS_SHOWN_MAX = 20;

/** The plan of a move for people: what would move where, in which steps, and what blocks it. */
export function planLines(target: MoveTarget, plan: MovePlan, paint: Paint): string[] {
  const shown = plan.shards.slice(0, SHARDS_SHOWN_MAX);
  const rows = shown.map(({ shard, area, from, to, epoch, inProcessOrders }) => {
    const orders = inProcessOrders === undefined ? '?' : `${inProcessOrders}`;
    return [shard, area ?? '–', from, to, `${epoch} → ${epoch + 1}`, orders];
  });
  const left = plan.shards.length - shown.length;
  return [
    `${paint.bold(`Plan: ${targetWords(target)}`)} · ${count(plan.shards.length, 'shard')}: ${routesOf(plan.shards)}`,
    `Writes of each shard wait about ${duration(plan.expectedPauseMs)}; ${ordersWords(plan.shards)}.`,
    '',
    ...tableLines(['SHARD', 'AREA', 'FROM', 'TO', 'EPOCH', 'ORDERS IN PROCESS'], rows),
    ...(left > 0 ? [`… and ${count(left, 'more shard')} (--json lists all)`] : []),
    '',
    'Steps',
    ...plan.steps.map((step, index) => `  ${index + 1}. ${step}`),
    'Checks',
    ...checkLines(plan.checks, paint),
    ...(plan.isBlocked ? ['', paint.red('Blocked: as long as a check does not pass, nothing moves.')] : []),
  ];
}

/** One line a check; what did not pass in red, with what to do about it. */
function checkLines(checks: readonly MoveCheck[], paint: Paint): string[] {
  return checks.map(({ check, isPassed, detail }) =>
    isPassed ? `  ${paint.green('✓')} ${check}: ${detail}` : paint.red(`  ✗ ${check}: ${detail}`),
  );
}

/** `5 a → b, 7 a → c` */
function routesOf(shards: readonly PlannedShard[]): string {
  const counts = new Map<string, number>();
  for (const { from, to } of shards) {
    const route = `${from} → ${to}`;
    counts.set(route, (counts.get(route) ?? 0) + 1);
  }
  return [...counts].map(([route, number]) => `${number} ${route}`).join(', ');
}

function ordersWords(shards: readonly PlannedShard[]): string {
  const counted = shards.flatMap(({ inProcessOrders }) => (inProcessOrders === undefined ? [] : [inProcessOrders]));
  const sum = counted.reduce((total, orders) => total + orders, 0);
  const atLeast = counted.length < shards.length ? 'at least ' : '';
  return `${atLeast}${count(sum, 'order')} in process take no change meanwhile`;
}
