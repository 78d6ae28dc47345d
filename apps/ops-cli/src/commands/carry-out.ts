/**
 * What `move apply`, `zone drain` and `zone undrain` have alike:
 *
 *     who and why → plan → shown → confirmed → begun → followed to its end
 */
import { type MovePlan, type MoveTarget, type MoveView } from '@borough/contracts';
import { OpsRefused } from '@borough/ops-client';
import { nextOfMove } from '../render/fault-of.js';
import { planLines } from '../render/plan-lines.js';
import { ask, canAsk, confirm } from '../terminal/ask.js';
import { CliFault } from '../terminal/cli-fault.js';
import { EXIT, type ExitCode } from '../terminal/exit-codes.js';
import { usage, whoOf } from './arguments.js';
import { followMove } from './follow-move.js';
import { type Work } from './verb.js';

export interface CarryOutOptions {
  readonly why?: string;
  readonly by?: string;
  readonly yes?: true;
  readonly detach?: true;
  readonly dryRun?: true;
}

/** What must be typed before a move begins; undefined when nothing must. */
export type Confirmation = (plan: MovePlan) => { readonly word: string; readonly consequence: string } | undefined;

/** What may be done about a plan that is blocked, where the verb knows better than to mend it and ask again. */
export type WaysOn = (plan: MovePlan) => readonly string[];

const PLAN_ONLY = 'only the plan was asked for';

/** Shows the plan of a move and changes nothing; a blocked one ends with `EXIT.refused`. */
export async function showPlan(
  work: Work,
  target: MoveTarget,
  options: CarryOutOptions,
  waysOn: WaysOn = () => [],
): Promise<ExitCode> {
  const plan = await planned(work, target, options.why ?? PLAN_ONLY, whoOf(options.by, work.terminal.env));
  if (plan === undefined) return EXIT.done;
  work.output.words([
    ...planLines(target, plan, work.output.paint),
    ...(plan.isBlocked ? waysOn(plan).map((way) => `  → ${way}`) : []),
  ]);
  work.output.document(plan);
  return plan.isBlocked ? EXIT.refused : EXIT.done;
}

export async function carryOut(
  work: Work,
  target: MoveTarget,
  options: CarryOutOptions,
  confirmation: Confirmation,
  waysOn: WaysOn = () => [],
): Promise<ExitCode> {
  if (options.dryRun === true) return showPlan(work, target, options, waysOn);
  const { terminal, output } = work;
  if (options.yes !== true && !canAsk(terminal)) {
    throw usage('Nobody is there to confirm: this is no terminal, and --yes was not given. Nothing was changed', [
      'look at the plan with  --dry-run , then add  --yes',
    ]);
  }
  const requestedBy = whoOf(options.by, terminal.env);
  const why = await whyOf(work, options.why);

  const plan = await planned(work, target, why, requestedBy);
  if (plan === undefined) return EXIT.done;
  output.words([...planLines(target, plan, output.paint), '']);
  if (plan.isBlocked) throw await blocked(work, plan, waysOn(plan));
  const wanted = options.yes === true ? undefined : confirmation(plan);
  if (wanted !== undefined) await confirm(terminal, wanted.word, wanted.consequence);

  const move = await begun(work, target, why, requestedBy);
  if (move === undefined) return EXIT.done;
  if (options.detach === true) {
    output.words([`Begun: ${move.moveId}`, `  watch it:  borough move watch ${move.moveId}`]);
    output.words([`  stop it:   borough move abort ${move.moveId}`]);
    output.document(move);
    return EXIT.done;
  }
  const end = await followMove(work, move.moveId);
  output.document(end);
  return end.outcome === 'moved' ? EXIT.done : EXIT.notAll;
}

/** A move of one shard is soon undone; more are worth a word. */
export const confirmMany: Confirmation = ({ shards }) =>
  shards.length > 1 ? { word: 'move', consequence: `This moves ${shards.length} shards.` } : undefined;

/** The reason, asked for where somebody is there to answer. @throws CliFault `usage` without one */
export async function whyOf({ terminal }: Work, given: string | undefined, keptIn = 'the audit log'): Promise<string> {
  if (given === undefined && !canAsk(terminal)) throw usage(`--why is needed: it goes into ${keptIn}`);
  const why = (given ?? (await ask(terminal, `Why (for ${keptIn}): `))).trim();
  if (why === '') throw usage(`A reason is needed: it goes into ${keptIn}. Nothing was changed`);
  return why;
}

/** @returns undefined when everything is where it was asked to go; that is told, and is no fault */
async function planned(
  work: Work,
  target: MoveTarget,
  why: string,
  requestedBy: string,
): Promise<MovePlan | undefined> {
  const { signal } = work;
  try {
    return await orNothingToMove(work, work.ops().planMove({ target, why, requestedBy }, { signal }));
  } catch (error) {
    if (!signal.aborted) throw error;
    throw new CliFault({ code: 'interrupted', title: 'Interrupted: nothing was changed', exitCode: EXIT.interrupted });
  }
}

async function begun(work: Work, target: MoveTarget, why: string, requestedBy: string): Promise<MoveView | undefined> {
  const { signal } = work;
  try {
    const asked = work.ops().beginMove({ target, why, requestedBy }, { signal });
    return await orNothingToMove(work, asked);
  } catch (error) {
    if (!signal.aborted) throw error;
    throw new CliFault({
      code: 'interrupted',
      title: 'Interrupted while the move was being asked for; it may have begun',
      next: ['look:  borough move list'],
      exitCode: EXIT.interrupted,
    });
  }
}

async function orNothingToMove<Answer>({ output }: Work, asked: Promise<Answer>): Promise<Answer | undefined> {
  try {
    return await asked;
  } catch (error) {
    if (!(error instanceof OpsRefused) || error.problem.code !== 'nothing-to-move') throw error;
    output.words([output.paint.green('✓ Nothing to move: everything is where it was asked to go')]);
    output.document({ outcome: 'nothing-to-move', problem: error.problem });
    return undefined;
  }
}

/** Most often it is another move that is in the way, which the checks do not name. */
async function blocked({ ops, signal }: Work, plan: MovePlan, waysOn: readonly string[]): Promise<CliFault> {
  const { shards } = await ops().getShards({ signal });
  const taken = shards.find(
    ({ shard, moveId }) => moveId !== undefined && plan.shards.some((planned) => planned.shard === shard),
  );
  const failed = plan.checks.filter(({ isPassed }) => !isPassed);
  const moveId = taken?.moveId;
  return new CliFault({
    code: moveId === undefined ? 'move-blocked' : 'shard-in-move',
    title: 'A check of the plan did not pass: nothing was changed',
    details: [
      ...failed.map(({ check, detail }) => `✗ ${check}: ${detail}`),
      ...(taken === undefined || moveId === undefined ? [] : [`Shard ${taken.shard} is in the move ${moveId}.`]),
    ],
    next: [
      ...(moveId === undefined ? [] : nextOfMove('shard-in-move', moveId)),
      ...waysOn,
      ...(moveId === undefined && waysOn.length === 0 ? ['mend what did not pass, then ask again'] : []),
    ],
    exitCode: EXIT.refused,
    facts: { plan, ...(moveId === undefined ? {} : { moveId }) },
  });
}
