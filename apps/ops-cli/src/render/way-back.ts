/**
 * The way of a zone to being a full member: back after a failover, with a new disk, or new in the cluster. The zone's agent,
 * the agents of the others and the leading coordinator walk it by themselves; here it is only read off the status.
 */
import { type HealingProgress, type ZonesView, type ZoneStatus } from '@borough/contracts';
import { type Paint } from '../terminal/paint.js';
import { count } from './words.js';

const WAY_BACK_STEPS = ['database', 'votes', 'epochs', 'rows', 'unsealed', 'counted-on', 'api'] as const;
type WayBackStepName = (typeof WAY_BACK_STEPS)[number];

interface WayBackStep {
  readonly step: WayBackStepName;
  /** One step is being done at a time: the first that is not. What comes after it may be done already. */
  readonly state: 'done' | 'doing' | 'waiting';
  /** Of a step that is not done: what is missing, in words. */
  readonly detail?: string;
  /** Of `rows`, while they are compared and taken over. */
  readonly progress?: Omit<HealingProgress, 'from'>;
}

export interface WayBack {
  readonly zone: string;
  /** It has all rows, every zone that answers counts on it, and it serves. */
  readonly isFullMember: boolean;
  readonly steps: readonly WayBackStep[];
  /** What the coordinator that leads says it waits for. */
  readonly waitsFor?: string;
}

/** Links over which rows come in, or will as soon as the seal is taken away. */
const SOUND_LINKS: readonly string[] = ['streaming', 'behind', 'sealed'];

/**
 * How far a zone has come.
 *
 * @param hasHealed it was seen to take over rows before: a view cannot tell a zone that has healed from one that has not
 *   begun to, as long as it is sealed off
 * @returns undefined when the coordinator knows no such zone
 */
export function wayBackOf(view: ZonesView, zone: string, hasHealed = false): WayBack | undefined {
  const status = view.zones.find((candidate) => candidate.zone === zone);
  if (status === undefined) return undefined;
  const others = view.zones.filter((candidate) => candidate !== status);
  const missing = new Map(missingParts(status, others, view, hasHealed));
  const first = WAY_BACK_STEPS.find((step) => missing.has(step));
  const steps = WAY_BACK_STEPS.map((step): WayBackStep => {
    const detail = missing.get(step);
    if (detail === undefined) return { step, state: 'done' };
    const progress = step === 'rows' ? progressOf(status) : undefined;
    const state = step === first ? 'doing' : 'waiting';
    return { step, state, ...(detail === '' ? {} : { detail }), ...(progress === undefined ? {} : { progress }) };
  });
  const waitsFor = first === undefined ? undefined : status.rejoinWaitsFor;
  return { zone, isFullMember: first === undefined, steps, ...(waitsFor === undefined ? {} : { waitsFor }) };
}

/** Steps that are not done, with what is missing; empty words where there is nothing to say yet. */
function* missingParts(
  status: ZoneStatus,
  others: readonly ZoneStatus[],
  { leader }: ZonesView,
  hasHealed: boolean,
): Generator<[WayBackStepName, string]> {
  const away = others.filter(({ isDatabaseReachable }) => !isDatabaseReachable).map(({ zone }) => zone);
  const here = others.filter(({ isDatabaseReachable }) => isDatabaseReachable);
  const hasDatabase = status.isDatabaseReachable;
  if (!hasDatabase) yield ['database', `it does not answer${status.health === undefined ? '' : ` (${status.health})`}`];

  const hasVote = hasDatabase && status.isVoting !== false;
  if (!hasVote) yield ['votes', hasDatabase ? learningWords(away) : ''];

  const sealedBy = status.sealedOffBy ?? [];
  const isHealing = (status.healing ?? []).length > 0;
  const knowsEpochs = hasVote && (sealedBy.length === 0 || isHealing || hasHealed);
  if (!knowsEpochs) {
    const told = leader === undefined ? 'no coordinator leads, so nobody tells it' : 'the leading coordinator tells it';
    yield ['epochs', hasVote ? told : ''];
  }

  const unsound = (status.links ?? []).filter(
    ({ from, state }) => !SOUND_LINKS.includes(state) && !away.includes(from),
  );
  if (!knowsEpochs || isHealing || unsound.length > 0) {
    const links = unsound.map(({ from, state }) => `its link from zone ${from} is ${state}`);
    yield ['rows', knowsEpochs ? [...(status.healing ?? []).map(healingWords), ...links].join('; ') : ''];
  }

  if (sealedBy.length > 0) yield ['unsealed', `not by ${zoneWords(sealedBy)} yet`];

  const without = here.filter(({ recordedMembers }) => recordedMembers?.includes(status.zone) !== true);
  if (without.length > 0) yield ['counted-on', without.map(notCountedWords).join('; ')];
  else if (others.length > 0 && here.length === 0) yield ['counted-on', 'no other zone answers'];

  if (status.isApiReady === false) yield ['api', 'it is not ready'];
}

function learningWords(away: readonly string[]): string {
  const learns = 'its disk is new: it learns from every other zone what was voted';
  return away.length === 0 ? learns : `${learns}; ${zoneWords(away)} must answer first`;
}

function healingWords({ from, rowsDone, rowsTotal, taken, receipts }: HealingProgress): string {
  const found = `${count(taken, 'row')} taken over, ${count(receipts, 'receipt')}`;
  return `from zone ${from}: ${rowsDone} of about ${count(rowsTotal, 'row')} compared, ${found}`;
}

function notCountedWords({ zone, recordedMembers, frozenBy }: ZoneStatus): string {
  if (recordedMembers === undefined) return `no majority says whom zone ${zone} counts on`;
  const frozen = frozenBy ?? [];
  return `zone ${zone} does not yet${frozen.length === 0 ? '' : ` (kept as it is by ${frozen.join(', ')})`}`;
}

function zoneWords(zones: readonly string[]): string {
  return `${zones.length === 1 ? 'zone' : 'zones'} ${zones.join(', ')}`;
}

function progressOf({ healing = [] }: ZoneStatus): WayBackStep['progress'] {
  if (healing.length === 0) return undefined;
  const sum = (pick: (part: HealingProgress) => number): number =>
    healing.reduce((total, part) => total + pick(part), 0);
  return {
    rowsDone: sum(({ rowsDone }) => rowsDone),
    rowsTotal: sum(({ rowsTotal }) => rowsTotal),
    taken: sum(({ taken }) => taken),
    receipts: sum(({ receipts }) => receipts),
  };
}

const STEP_WORDS: Record<WayBackStepName, string> = {
  database: 'its database answers',
  votes: 'it votes: it knows what was voted',
  epochs: 'it knows what it lost',
  rows: 'its rows are those of their owners',
  unsealed: 'every zone takes in its changes',
  'counted-on': 'every other zone counts on it',
  api: 'its API is ready',
};

/** The way as it stands: a line a step, and what it waits for. */
export function wayBackLines({ zone, steps, waitsFor }: WayBack, paint: Paint): string[] {
  return [
    paint.bold(`zone ${zone}`),
    ...steps.map((step) => `  ${stepLine(step, paint)}`),
    ...(waitsFor === undefined ? [] : [paint.yellow(`  waits for: ${waitsFor}`)]),
  ];
}

/**
 * What has changed since, one line each; for a pipe or a log.
 *
 * @param before undefined at the beginning; then every step is told
 */
export function wayBackChanges(before: WayBack | undefined, after: WayBack, paint: Paint): string[] {
  const lines = after.steps.flatMap((step) => {
    const known = before?.steps.find((candidate) => candidate.step === step.step);
    const isKnown = known?.state === step.state && isShown(known, step);
    return isKnown ? [] : [`zone ${after.zone}: ${stepLine(step, paint)}`];
  });
  const isNews = after.waitsFor !== undefined && after.waitsFor !== before?.waitsFor;
  return [...lines, ...(isNews ? [`zone ${after.zone}: waits for: ${after.waitsFor ?? ''}`] : [])];
}

/** Of a step in one state: rows are worth a line each tenth, all else when the words change. */
function isShown(before: WayBackStep, after: WayBackStep): boolean {
  if (after.state !== 'doing') return true;
  if (before.progress === undefined || after.progress === undefined) return before.detail === after.detail;
  return tenthsOf(before.progress) === tenthsOf(after.progress);
}

function stepLine({ step, state, detail, progress }: WayBackStep, paint: Paint): string {
  const words = `${STEP_WORDS[step]}${detail === undefined ? '' : `: ${detail}`}`;
  switch (state) {
    case 'done':
      return `${paint.green('✓')} ${words}`;
    case 'doing':
      return paint.yellow(`→ ${progress === undefined ? '' : `${bar(progress)} `}${words}`);
    case 'waiting':
      return paint.dim(`· ${words}`);
  }
}

const BAR_CELLS = 20;

function bar(progress: NonNullable<WayBackStep['progress']>): string {
  const share = shareOf(progress);
  const full = Math.floor(BAR_CELLS * share);
  return `[${'█'.repeat(full)}${'░'.repeat(BAR_CELLS - full)}] ${Math.floor(share * 100)} %`;
}

function tenthsOf(progress: NonNullable<WayBackStep['progress']>): number {
  return Math.floor(shareOf(progress) * 10);
}

/** The total is an estimate, and may be passed. */
function shareOf({ rowsDone, rowsTotal }: NonNullable<WayBackStep['progress']>): number {
  return rowsTotal === 0 ? 0 : Math.min(1, rowsDone / rowsTotal);
}
