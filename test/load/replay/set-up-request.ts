/** The requests that must succeed before the first order: sent again with the same key until settled, within a bound. */
import { setTimeout as sleep } from 'node:timers/promises';
import { errorCode, isWorthRetrying, type Answer } from './http-endpoint.js';

const RETRY_MAX_MS = 30_000;
const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 1_000;

/** Why the replay cannot begin; the message is for people. */
export class SetUpFault extends Error {}

/**
 * @param what for the message: `opening store x`
 * @param send sends the request; called again only when the problem's retry rule, or a broken connection, allows it
 * @returns the body of the answer
 * @throws SetUpFault when it was refused for good, or not answered within the bound
 */
export async function untilSettled(what: string, signal: AbortSignal, send: () => Promise<Answer>): Promise<unknown> {
  const until = performance.now() + RETRY_MAX_MS;
  for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS)) {
    const answer = await send();
    if (answer.kind === 'ok') return answer.body;
    if (!(isWorthRetrying(answer) || isNewAreaUnknown(answer)) || performance.now() >= until || signal.aborted) {
      const detail = answer.kind === 'refused' && answer.detail !== '' ? `: ${answer.detail}` : '';
      throw new SetUpFault(`${what} failed with ${errorCode(answer)}${detail}`);
    }
    await sleep(pauseMs);
  }
}

/** A zone may hear of a new area a moment after the router did. */
function isNewAreaUnknown(answer: Answer): boolean {
  return answer.kind === 'refused' && answer.code === 'area-not-served';
}
