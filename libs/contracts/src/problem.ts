import { z } from 'zod';

/**
 * Every refusal a caller can meet, with its status and *what the caller may do about it*.
 *
 * A code, once released, keeps its meaning for ever. Clients act on `retry`, never on status or text.
 *
 * @see RFC 9457; style.md section 5
 */

/** What a caller may do after a problem, without asking a person. */
export type RetryRule =
  /** The same request can never succeed; change it. */
  | 'never'
  /** The same bytes, with the same Idempotency-Key, later (after `Retry-After` seconds where given). */
  | 'same-request-later'
  /** Fetch the routing table, then send the same request to the owner it names. */
  | 'refresh-routing-then-retry';

export interface ProblemKind {
  readonly status: number;
  readonly title: string;
  readonly retry: RetryRule;
}

export const PROBLEMS = {
  // What is wrong with the way the request was written.
  'malformed-request': { status: 400, title: 'The request line or headers are not acceptable', retry: 'never' },
  'tag-required': { status: 400, title: 'The request names no delivery area', retry: 'never' },
  'malformed-tag': { status: 400, title: 'The traffic tag cannot be read', retry: 'never' },
  'malformed-json': { status: 400, title: 'The body is not valid JSON', retry: 'never' },
  'body-too-deep': { status: 400, title: 'The body is nested too deeply', retry: 'never' },
  'malformed-id': { status: 400, title: 'The id cannot be read', retry: 'never' },
  'wrong-id-type': { status: 400, title: 'The id is of another kind of thing', retry: 'never' },
  'malformed-query': { status: 400, title: 'A query parameter cannot be read', retry: 'never' },
  'malformed-cursor': { status: 400, title: 'The page cursor cannot be read', retry: 'never' },
  'idempotency-key-required': { status: 400, title: 'The request needs an Idempotency-Key', retry: 'never' },
  'malformed-idempotency-key': { status: 400, title: 'The Idempotency-Key cannot be read', retry: 'never' },
  'body-too-large': { status: 413, title: 'The body is too large', retry: 'never' },
  'unsupported-media-type': { status: 415, title: 'The body must be application/json', retry: 'never' },

  // What is not there.
  'route-not-found': { status: 404, title: 'There is no such resource path', retry: 'never' },
  'area-not-served': { status: 404, title: 'No area covers this place', retry: 'never' },
  'order-not-found': { status: 404, title: 'There is no such order', retry: 'never' },
  'store-not-found': { status: 404, title: 'There is no such store', retry: 'never' },
  'courier-not-found': { status: 404, title: 'There is no such courier', retry: 'never' },
  'zone-not-found': { status: 404, title: 'There is no such zone', retry: 'never' },
  'shard-not-found': { status: 404, title: 'There is no such shard', retry: 'never' },
  'move-not-found': { status: 404, title: 'There is no such move', retry: 'never' },
  'receipt-not-found': { status: 404, title: 'There is no such receipt', retry: 'never' },
  'audit-not-found': { status: 404, title: 'There is no such audit', retry: 'never' },

  // What can never be right as it stands.
  'validation-failed': { status: 422, title: 'The body does not fit its schema', retry: 'never' },
  'idempotency-key-reused': {
    status: 422,
    title: 'The Idempotency-Key was used with another request',
    retry: 'never',
  },
  'tag-mismatch': { status: 422, title: 'The traffic tag names another area than the body', retry: 'never' },

  // What the state of things refuses.
  'illegal-transition': { status: 409, title: 'The order takes no such change in its state', retry: 'never' },
  'order-not-held': { status: 409, title: 'The order is not held after a declared loss', retry: 'never' },
  'area-overlaps': { status: 409, title: 'Another area has some of these cells', retry: 'never' },
  'area-name-taken': { status: 409, title: 'Another area has this name', retry: 'never' },
  'no-free-shard': { status: 409, title: 'Every shard number is in use', retry: 'never' },
  'shard-in-move': { status: 409, title: 'Another move has this shard', retry: 'never' },
  'move-blocked': { status: 409, title: 'A check of the plan did not pass', retry: 'never' },
  'nothing-to-move': { status: 409, title: 'Everything is where it was asked to go', retry: 'never' },
  'move-ended': { status: 409, title: 'The move has ended', retry: 'never' },
  'no-recorded-member': {
    status: 409,
    title: 'No zone that is known to hold everything can be reached',
    retry: 'same-request-later',
  },
  'stale-epoch': { status: 409, title: 'The shard has a newer owner', retry: 'refresh-routing-then-retry' },
  'stale-term': { status: 409, title: 'A later term has been promised', retry: 'same-request-later' },
  // Zones only; a proxy may not say 421 of its own accord (RFC 9110, 15.5.20).
  'wrong-zone': { status: 421, title: 'This zone does not own the shard', retry: 'refresh-routing-then-retry' },

  // What may be better in a moment.
  'shard-moving': { status: 503, title: 'The shard is moving', retry: 'same-request-later' },
  // After a failover, until every router knows the new owner: nobody changes an order that began before it.
  'order-held': { status: 423, title: 'The order is held after a failover', retry: 'same-request-later' },
  'shard-unsettled': { status: 503, title: 'The owner of the shard is being settled', retry: 'same-request-later' },
  'zone-starting': { status: 503, title: 'The zone does not take writes yet', retry: 'same-request-later' },
  // It has not heard from a majority for too long: what it would show may be old.
  'zone-not-current': { status: 503, title: 'The zone cannot tell whether it is current', retry: 'same-request-later' },
  'zone-unavailable': { status: 503, title: 'The zone cannot be reached', retry: 'same-request-later' },
  'routing-unknown': { status: 503, title: 'No routing table has been received yet', retry: 'same-request-later' },
  'no-majority': { status: 503, title: 'A majority of voters cannot be reached', retry: 'same-request-later' },
  // Held at a router for a move that took longer than the request could wait, or too many were held already.
  'hold-timeout': { status: 503, title: 'The shard was moving for too long', retry: 'same-request-later' },
  'hold-full': { status: 503, title: 'Too many requests wait for a move to end', retry: 'same-request-later' },
  'not-leader': { status: 503, title: 'Another coordinator leads', retry: 'same-request-later' },
  overloaded: { status: 503, title: 'Too much is waiting already', retry: 'same-request-later' },
  // The write may or may not have happened: only the same key settles it.
  'outcome-unknown': { status: 504, title: 'The outcome is not known in time', retry: 'same-request-later' },
  'internal-error': { status: 500, title: 'Something went wrong on our side', retry: 'same-request-later' },
} as const satisfies Record<string, ProblemKind>;

export type ProblemCode = keyof typeof PROBLEMS;

/** `type` is the identity of a problem: this prefix and the code. */
export const PROBLEM_TYPE_PREFIX = 'urn:borough:problem:';

export const PROBLEM_MEDIA_TYPE = 'application/problem+json';

/** The body of every refusal. `detail` is for people and never parsed; facts go into further members. */
export const problemDocument = z.looseObject({
  type: z.string(),
  title: z.string(),
  status: z.int(),
  code: z.string(),
  retry: z.enum(['never', 'same-request-later', 'refresh-routing-then-retry']),
  detail: z.string().optional(),
  instance: z.string().optional(),
  requestId: z.string().optional(),
  errors: z.array(z.looseObject({ path: z.string(), message: z.string() })).optional(),
});
export type ProblemDocument = z.infer<typeof problemDocument>;
