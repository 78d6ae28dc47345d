/** Whatever went wrong, as title, facts, and what to do next. */
import { moveCheck, type ProblemCode, type ProblemDocument } from '@borough/contracts';
import { AnswerNotUnderstood, NoCoordinator, OpsRefused } from '@borough/ops-client';
import { z } from 'zod';
import { CliFault } from '../terminal/cli-fault.js';
import { EXIT } from '../terminal/exit-codes.js';
import { duration } from './words.js';

/** The facts that some problems carry; all optional, as an older or newer coordinator may leave them out. */
const problemFacts = z.object({
  moveId: z.string().optional().catch(undefined),
  checks: z.array(moveCheck).optional().catch(undefined),
  plan: z
    .object({ checks: z.array(moveCheck) })
    .optional()
    .catch(undefined),
});

const NEXT: ReadonlyMap<string, readonly string[]> = new Map<ProblemCode, readonly string[]>([
  ['zone-not-found', ['borough status  lists the zones']],
  ['shard-not-found', ['borough shards  lists the shards', 'borough explain <tag>  finds the shard of a place']],
  ['move-not-found', ['borough move list  lists the moves']],
  ['order-not-found', ['borough orders held  lists the orders that are held']],
  ['order-not-held', ['borough orders held  lists those that are; a failover releases its own by itself']],
  ['receipt-not-found', ['borough receipts list']],
  ['malformed-cursor', ['take the cursor from the last line of the page before']],
  ['move-blocked', ['mend what did not pass, then ask again; nothing was changed']],
]);

/** Any error of a verb as a fault to show; a bug keeps its stack. */
export function faultOf(error: unknown): CliFault {
  if (error instanceof CliFault) return error;
  if (error instanceof OpsRefused) return refusal(error.problem);
  if (error instanceof NoCoordinator) return noCoordinator(error);
  if (error instanceof AnswerNotUnderstood) {
    return new CliFault({
      code: 'answer-not-understood',
      title: 'A coordinator gave an answer that this release does not understand',
      details: [`${error.coordinator}: ${error.what}`],
      next: ['check that the address is a coordinator, and that it runs the same release as this checkout'],
      exitCode: EXIT.noCoordinator,
    });
  }
  return new CliFault({
    code: 'fault',
    title: 'This program failed; that is a bug',
    details: [error instanceof Error ? (error.stack ?? error.message) : String(error)],
    exitCode: EXIT.fault,
  });
}

function refusal(problem: ProblemDocument): CliFault {
  const facts = problemFacts.parse(problem);
  const failed = (facts.checks ?? facts.plan?.checks ?? []).filter(({ isPassed }) => !isPassed);
  return new CliFault({
    code: problem.code,
    title: problem.title,
    details: [
      ...(problem.detail === undefined ? [] : [problem.detail]),
      ...failed.map(({ check, detail }) => `✗ ${check}: ${detail}`),
      ...(problem.errors ?? []).map(({ path, message }) => `${path}: ${message}`),
      ...(problem.requestId === undefined ? [] : [`request ${problem.requestId}, for the coordinator's log`]),
    ],
    next: [
      ...nextOfMove(problem.code, facts.moveId ?? moveOfPath(problem.instance)),
      ...(NEXT.get(problem.code) ?? []),
    ],
    exitCode: EXIT.refused,
    facts: { problem },
  });
}

/** A problem names the path that was asked for, and the path of a move names the move. */
function moveOfPath(path: string | undefined): string | undefined {
  return /\/moves\/(mov_[0-9a-z]+)/.exec(path ?? '')?.[1];
}

/** @param moveId the move that is in the way */
export function nextOfMove(code: string, moveId: string | undefined): string[] {
  if (code === 'shard-in-move') {
    return moveId === undefined
      ? ['borough move list  shows which move has it']
      : [`wait for it:  borough move watch ${moveId}`, `or stop it:  borough move abort ${moveId}`];
  }
  if (code === 'move-ended') {
    return [moveId === undefined ? 'borough move list' : `what came of it:  borough move watch ${moveId}`];
  }
  return [];
}

function noCoordinator({ failedTries, deadlineMs, mayHaveHappened }: NoCoordinator): CliFault {
  return new CliFault({
    code: 'no-coordinator',
    title: `No coordinator did it within ${duration(deadlineMs)}`,
    details: failedTries.map(({ coordinator, what }) => `${coordinator}: ${what}`),
    next: [
      ...(mayHaveHappened ? ['it may have been begun all the same; look first:  borough move list'] : []),
      'orders go on meanwhile; only moves need a coordinator',
      'look whether the coordinators run, and whether --coordinator names all of them',
    ],
    exitCode: EXIT.noCoordinator,
    facts: { failedTries, mayHaveHappened },
  });
}
