import { randomUUID } from 'node:crypto';

/** What a coordinator answered. */
export interface CoordinatorAnswer {
  readonly status: number;
  readonly body: Record<string, unknown>;
}

/** Bound on asking round and round for one that leads, in ms. */
const LEADER_WITHIN_MS = 20_000;

/**
 * Asks each coordinator in turn until one leads; a refusal of any other kind is the answer.
 *
 * @throws Error when none led within 20 s
 */
export async function askLeader(urls: readonly string[], path: string, body: object): Promise<CoordinatorAnswer> {
  const until = Date.now() + LEADER_WITHIN_MS;
  // One effect: a coordinator may die between carrying it out and saying so.
  const key = randomUUID();
  while (Date.now() < until) {
    for (const url of urls) {
      const answer = await post(url + path, body, key);
      if (answer !== undefined && answer.body['code'] !== 'not-leader') return answer;
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`no coordinator of ${urls.join(', ')} leads`);
}

/** From the first coordinator that answers well; undefined when none does. */
export async function readFromAny<Body>(urls: readonly string[], path: string): Promise<Body | undefined> {
  for (const url of urls) {
    try {
      const answer = await fetch(url + path);
      if (answer.ok) return (await answer.json()) as Body;
    } catch {
      // This one is down; the next may know.
    }
  }
  return undefined;
}

async function post(url: string, body: object, key: string): Promise<CoordinatorAnswer | undefined> {
  try {
    const answer = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'idempotency-key': key },
      body: JSON.stringify(body),
    });
    return { status: answer.status, body: (await answer.json()) as Record<string, unknown> };
  } catch {
    return undefined;
  }
}
