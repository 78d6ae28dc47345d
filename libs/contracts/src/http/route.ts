import { type z } from 'zod';
import { type ProblemCode } from '../problem.js';

/** One HTTP route as both sides see it: the source of the controllers' schemas and of the OpenAPI document. */
export interface RouteContract {
  readonly method: 'get' | 'post';
  /** OpenAPI form: `/v1/orders/{orderId}`. */
  readonly path: string;
  readonly summary: string;
  /** Whether the router needs a traffic tag for it (from the header, the cookie or an id in the path). */
  readonly isTagged: boolean;
  readonly params?: z.ZodObject;
  readonly query?: z.ZodObject;
  readonly body?: z.ZodType;
  readonly answers: Readonly<Record<number, { readonly description: string; readonly body: z.ZodType }>>;
  readonly problems: readonly ProblemCode[];
}

/** Problems that any tagged route can meet on its way to the owner zone. */
export const TAGGED_PROBLEMS = [
  'malformed-request',
  'tag-required',
  'malformed-tag',
  'area-not-served',
  'routing-unknown',
  'zone-unavailable',
  'zone-not-current',
  'hold-timeout',
  'hold-full',
  'overloaded',
  'outcome-unknown',
  'internal-error',
] as const satisfies readonly ProblemCode[];

/** Problems that any write can meet besides. */
export const WRITE_PROBLEMS = [
  'malformed-json',
  'body-too-deep',
  'body-too-large',
  'unsupported-media-type',
  'validation-failed',
  'idempotency-key-required',
  'malformed-idempotency-key',
  'idempotency-key-reused',
  'tag-mismatch',
  'wrong-zone',
  'stale-epoch',
  'shard-moving',
  'zone-starting',
] as const satisfies readonly ProblemCode[];
