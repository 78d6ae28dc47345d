import { PROBLEM_MEDIA_TYPE } from '@borough/contracts';
import { Problem } from '@borough/server-kit';
import { type ZoneId } from '@borough/topology';
import { z } from 'zod';
import { type ForwardedAnswer } from './forwarder.js';

/** Statuses of the refusals below; any other answer is passed on unread. */
const STATUSES = new Set([409, 421, 503, 504]);
/** A zone's problem is a few hundred bytes. */
const MAX_BYTES = 16_384;

/**
 * What a zone says about a shard it may not write (nothing was written), or about its own database, which it lost:
 * before it wrote anything (`zone-unavailable`) or perhaps after (`outcome-unknown`).
 */
const refusal = z.object({
  code: z.enum(['wrong-zone', 'stale-epoch', 'shard-moving', 'zone-starting', 'zone-unavailable', 'outcome-unknown']),
  /** As the zone's database has it. */
  owner: z.string().optional(),
  epoch: z.int().optional(),
});

export interface ZoneRefusal {
  readonly code: z.infer<typeof refusal>['code'];
  readonly owner: ZoneId | undefined;
  readonly epoch: number | undefined;
  /** The same answer, whole, to be passed on if nothing better comes. */
  readonly answer: ForwardedAnswer;
}

/** May this answer be a refusal that another try could mend? If so `readRefusal` tells. */
export function mayBeRefusal({ status, headers }: ForwardedAnswer): boolean {
  return (
    STATUSES.has(status) &&
    headers['content-type']?.startsWith(PROBLEM_MEDIA_TYPE) === true &&
    Number(headers['content-length'] ?? Infinity) <= MAX_BYTES
  );
}

/**
 * Reads an answer that `mayBeRefusal`.
 *
 * @returns the refusal, or the answer with its body read when it is about something else
 * @throws Problem `outcome-unknown` when the answer breaks off
 */
export async function readRefusal(answer: ForwardedAnswer): Promise<ZoneRefusal | ForwardedAnswer> {
  const body = await wholeBody(answer);
  const whole = { ...answer, body };
  const read = refusal.safeParse(asJson(body));
  return read.success ? { code: read.data.code, owner: read.data.owner, epoch: read.data.epoch, answer: whole } : whole;
}

async function wholeBody({ body }: ForwardedAnswer): Promise<Buffer> {
  if (Buffer.isBuffer(body)) return body;
  try {
    return Buffer.from(await body.arrayBuffer());
  } catch (cause) {
    throw new Problem('outcome-unknown', { detail: 'The answer broke off.', retryAfterSeconds: 1, cause });
  }
}

function asJson(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString());
  } catch {
    return undefined;
  }
}
