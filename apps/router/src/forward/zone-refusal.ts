import { PROBLEM_MEDIA_TYPE } from '@borough/contracts';
import { type ZoneId } from '@borough/topology';
import { z } from 'zod';
import { type ForwardedAnswer } from './forwarder.js';

/** Statuses of the refusals below; any other answer is passed on unread. */
const STATUSES = new Set([409, 421, 423, 503, 504]);

/**
 * What a zone says about a shard it may not write or an order that is held (nothing was written), about what it can show
 * (`zone-not-current`), or about its own database, which it lost: before it wrote anything (`zone-unavailable`) or perhaps
 * after (`outcome-unknown`).
 */
const refusal = z.object({
  code: z.enum([
    'wrong-zone',
    'stale-epoch',
    'shard-moving',
    'order-held',
    'zone-starting',
    'zone-not-current',
    'overloaded',
    'zone-unavailable',
    'outcome-unknown',
  ]),
  /** As the zone's database has it. */
  owner: z.string().optional(),
  epoch: z.int().optional(),
  /** Why an order is held. */
  reason: z.string().optional(),
});

export interface ZoneRefusal {
  readonly code: z.infer<typeof refusal>['code'];
  readonly owner: ZoneId | undefined;
  readonly epoch: number | undefined;
  readonly reason: string | undefined;
  /** The same answer, to be passed on if nothing better comes. */
  readonly answer: ForwardedAnswer;
}

/** The refusal that another try could mend, if that is what an answer is. */
export function refusalIn(answer: ForwardedAnswer): ZoneRefusal | undefined {
  const { status, headers, body } = answer;
  if (!STATUSES.has(status) || !Buffer.isBuffer(body)) return undefined;
  if (headers['content-type']?.startsWith(PROBLEM_MEDIA_TYPE) !== true) return undefined;
  const read = refusal.safeParse(asJson(body));
  if (!read.success) return undefined;
  const { code, owner, epoch, reason } = read.data;
  return { code, owner, epoch, reason, answer };
}

function asJson(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString());
  } catch {
    return undefined;
  }
}
