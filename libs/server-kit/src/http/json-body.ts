import { parse } from 'secure-json-parse';
import { Problem } from '../problem/problem.js';

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;

/**
 * Reads a JSON body.
 *
 * Depth is checked on the bytes before anything is built, so that a deep body costs a scan and no more, and so that no
 * recursive reader behind this one (validation, logging, PostgreSQL's jsonb) ever meets it.
 *
 * @param maxDepth most arrays and objects inside each other
 * @throws Problem `malformed-json`, also for a `__proto__` key; `body-too-deep`
 */
export function readJsonBody(body: Buffer, maxDepth: number): unknown {
  if (depthExceeds(body, maxDepth)) {
    throw new Problem('body-too-deep', { detail: `At most ${maxDepth} levels are accepted.` });
  }
  try {
    return parse(body, { protoAction: 'error', constructorAction: 'error' });
  } catch (error) {
    throw new Problem('malformed-json', { detail: error instanceof Error ? error.message : 'unreadable' });
  }
}

function depthExceeds(body: Buffer, maxDepth: number): boolean {
  let depth = 0;
  let isInString = false;
  for (let at = 0; at < body.length; at += 1) {
    const byte = body[at];
    if (isInString) {
      if (byte === BACKSLASH) at += 1;
      else if (byte === QUOTE) isInString = false;
    } else if (byte === QUOTE) isInString = true;
    else if (byte === OPEN_BRACKET || byte === OPEN_BRACE) {
      depth += 1;
      if (depth > maxDepth) return true;
    } else if (byte === CLOSE_BRACKET || byte === CLOSE_BRACE) depth -= 1;
  }
  return false;
}
