/** A move for people: as a block that is drawn again, as one line per change, and as the report at its end. */
import { type MoveOutcome, type MoveShard, type MoveView } from '@borough/contracts';
import { type Paint } from '../terminal/paint.js';
import { count, duration, numberList, shellWord, targetWords } from './words.js';

type ShardState = MoveShard['state'];

const STATE_WORDS: Record<ShardState, string> = {
  waiting: 'waiting',
  intended: 'intended: routers hold its writes',
  fenced: 'fenced: the old owner writes no more',
  sealed: 'sealed off: the old owner acknowledges no more',
  accepted: 'accepted: the new owner is certain',
  moved: 'moved',
  reverted: 'reverted: the old owner serves again',
  kept: 'kept: it was never begun',
};

/** What is under way interests most, then what went wrong, then what is to come. */
const INTEREST: Record<ShardState, number> = {
  fenced: 0,
  sealed: 0,
  accepted: 1,
  intended: 2,
  reverted: 3,
  kept: 4,
  waiting: 5,
  moved: 6,
};

const OUTCOME_WORDS: Record<MoveOutcome, string> = {
  moved: 'Moved',
  'partly-moved': 'Moved in part',
  reverted: 'Reverted: nothing moved',
  aborted: 'Stopped on request',
};

/**
 * The move as it stands, in at most `maxLines` lines; shards that find no room are counted in the last one.
 *
 * @param note a line about the watching itself, such as a lost coordinator
 */
export function progressLines(move: MoveView, paint: Paint, maxLines: number, note?: string): string[] {
  const head = [
    `${paint.bold(move.moveId)}  ${targetWords(move.target)}${move.abortRequestedBy === undefined ? '' : paint.yellow('  being aborted')}`,
    `${bar(move)} ${countsWords(move)} · pause so far: ${pauseWords(move)}`,
  ];
  const foot = note === undefined ? [] : [paint.yellow(note)];
  const room = Math.max(1, maxLines - head.length - foot.length);
  const isAllShown = move.shards.length <= room;
  const shards = isAllShown ? move.shards : byInterest(move.shards).slice(0, room - 1);
  const left = move.shards.length - shards.length;
  return [
    ...head,
    ...shards.map((shard) => `  ${shardLine(shard, paint)}`),
    ...(left > 0 ? [paint.dim(`  … and ${count(left, 'more shard')}`)] : []),
    ...foot,
  ];
}

/**
 * What happened between two views of a move, one line each.
 *
 * @param before undefined for the first view; then only what has begun is told
 */
export function changeLines(before: MoveView | undefined, after: MoveView, paint: Paint): string[] {
  const lines: string[] = [];
  if (before === undefined) {
    lines.push(`${after.moveId}: ${targetWords(after.target)}, ${count(after.shards.length, 'shard')}`);
  }
  if (after.abortRequestedBy !== undefined && before?.abortRequestedBy === undefined) {
    lines.push(paint.yellow(`${after.moveId}: ${after.abortRequestedBy} asked to abort it`));
  }
  const worker = after.coordinators.at(-1);
  if (before !== undefined && worker !== undefined && after.coordinators.length > before.coordinators.length) {
    lines.push(`${after.moveId}: coordinator ${worker} goes on with it`);
  }
  const known = new Map(before?.shards.map((shard) => [shard.shard, shard.state]));
  for (const shard of after.shards) {
    if (shard.state === (known.get(shard.shard) ?? 'waiting')) continue;
    lines.push(`${after.moveId}: ${shardLine(shard, paint)}`);
  }
  return lines;
}

/** What came of a move that has ended, and how to undo it. */
export function reportLines(move: MoveView, paint: Paint): string[] {
  const took = move.endedAt === undefined ? undefined : Date.parse(move.endedAt) - Date.parse(move.requestedAt);
  const notMoved = move.shards.filter(({ state }) => state !== 'moved');
  const movedCount = move.shards.length - notMoved.length;
  const hasPaused = move.shards.some(({ pauseMs }) => pauseMs !== undefined);
  const late = move.lateRouters ?? [];
  return [
    `${headOf(move, movedCount, paint)}${took === undefined ? '' : ` in ${duration(took)}`}  (${move.moveId})`,
    ...(hasPaused ? [`  writes of a shard paused: ${pauseWords(move)}`] : []),
    ...(move.problem === undefined ? [] : [`  why not all: ${move.problem}`]),
    ...(notMoved.length > 0 && movedCount > 0
      ? [`  not moved: ${numberList(notMoved.map(({ shard }) => shard))}`]
      : []),
    ...(late.length === 0
      ? []
      : [paint.yellow(`  late routers, refused by the zones until they have learnt it: ${late.join(', ')}`)]),
    ...(move.coordinators.length > 1 ? [`  carried out by ${move.coordinators.join(', then ')}`] : []),
    ...wayBack(move).map((command) => `  back again:  ${command}`),
  ];
}

/** The commands that move back what was moved; none when nothing was. */
export function wayBack(move: MoveView): string[] {
  const moved = move.shards.filter(({ state }) => state === 'moved');
  if (moved.length === 0) return [];
  const why = `--why ${shellWord(`undo ${move.moveId}`)}`;
  if (move.target.kind === 'drain') return [`borough zone undrain ${move.target.zone} ${why}`];
  // Not before it is a full member again.
  if (move.target.kind === 'failover') {
    const { zone } = move.target;
    return [`borough zone rejoin ${zone}`, `borough zone undrain ${zone} ${why}`];
  }
  const byOldOwner = new Map<string, number[]>();
  for (const { shard, from } of moved) byOldOwner.set(from, [...(byOldOwner.get(from) ?? []), shard]);
  return [...byOldOwner].map(
    ([zone, shards]) => `borough move apply ${numberList(shards).replaceAll(' ', '')} --to ${zone} ${why}`,
  );
}

/** `p50 8 ms, p99 21 ms, max 25 ms`, from the move where it says so, else from its shards. */
export function pauseWords(move: MoveView): string {
  const known = move.pauseMs ?? pausesOf(move.shards);
  if (known === undefined) return 'not yet';
  return `p50 ${duration(known.p50)}, p99 ${duration(known.p99)}, max ${duration(known.max)}`;
}

function headOf({ outcome = 'reverted', shards }: MoveView, movedCount: number, paint: Paint): string {
  const words = `${OUTCOME_WORDS[outcome]}: ${movedCount} of ${count(shards.length, 'shard')}`;
  switch (outcome) {
    case 'moved':
      return paint.green(`✓ ${words}`);
    case 'aborted':
      return paint.yellow(`■ ${words}`);
    case 'partly-moved':
    case 'reverted':
      return paint.red(`✗ ${words}`);
  }
}

function shardLine({ shard, area, from, to, state, pauseMs }: MoveShard, paint: Paint): string {
  const name = `shard ${shard}${area === undefined ? '' : ` ${area}`}`;
  const pause = pauseMs === undefined ? '' : `, writes paused ${duration(pauseMs)}`;
  const line = `${name}  ${from} → ${to}  ${STATE_WORDS[state]}${pause}`;
  switch (state) {
    case 'moved':
      return paint.green(line);
    case 'reverted':
    case 'kept':
      return paint.yellow(line);
    case 'waiting':
      return paint.dim(line);
    case 'intended':
    case 'fenced':
    case 'sealed':
    case 'accepted':
      return line;
  }
}

function countsWords(move: MoveView): string {
  const of = (...states: ShardState[]) => move.shards.filter(({ state }) => states.includes(state)).length;
  const parts = [`${of('moved')} of ${move.shards.length} moved`];
  const named: [string, number][] = [
    ['on the way', of('intended', 'fenced', 'sealed', 'accepted')],
    ['waiting', of('waiting')],
    ['reverted', of('reverted')],
    ['kept', of('kept')],
  ];
  for (const [name, number] of named) if (number > 0) parts.push(`${number} ${name}`);
  return parts.join(', ');
}

const BAR_CELLS = 20;

function bar(move: MoveView): string {
  const settled = move.shards.filter(({ state }) => ['moved', 'reverted', 'kept'].includes(state)).length;
  const full = move.shards.length === 0 ? 0 : Math.floor((BAR_CELLS * settled) / move.shards.length);
  return `[${'█'.repeat(full)}${'░'.repeat(BAR_CELLS - full)}]`;
}

function byInterest(shards: readonly MoveShard[]): MoveShard[] {
  return [...shards].sort((a, b) => INTEREST[a.state] - INTEREST[b.state] || a.shard - b.shard);
}

function pausesOf(shards: readonly MoveShard[]): { p50: number; p99: number; max: number } | undefined {
  const sorted = shards.flatMap(({ pauseMs }) => (pauseMs === undefined ? [] : [pauseMs])).sort((a, b) => a - b);
  const at = (share: number) => sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? 0;
  return sorted.length === 0 ? undefined : { p50: at(0.5), p99: at(0.99), max: at(1) };
}
