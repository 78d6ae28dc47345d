/** What cannot be right is refused here, with the server's own code, and costs no request. */
import { PROBLEMS } from '@borough/contracts';
import { type z } from 'zod';
import { DeliveryProblem } from './delivery-problem.js';

const IDEMPOTENCY_KEY = /^[\x21-\x7e]{1,255}$/;

/**
 * @param input what the caller gave
 * @returns the same object: the server reads it with the same schema
 * @throws DeliveryProblem `validation-failed` with `facts.errors`, as the server would
 */
export function requireValid<T extends object>(schema: z.ZodType, input: T): T {
  const reading = schema.safeParse(input);
  if (reading.success) return input;
  const errors = reading.error.issues.map(({ path, message }) => ({ path: path.join('.'), message }));
  throw new DeliveryProblem('validation-failed', 'never', {
    title: PROBLEMS['validation-failed'].title,
    detail: errors.map(({ path, message }) => (path === '' ? message : `${path} ${message}`)).join('; '),
    facts: { errors },
  });
}

/** @throws DeliveryProblem `malformed-idempotency-key` */
export function requireKey(key: string): string {
  if (IDEMPOTENCY_KEY.test(key)) return key;
  throw new DeliveryProblem('malformed-idempotency-key', 'never', {
    title: PROBLEMS['malformed-idempotency-key'].title,
    detail: '1 to 255 visible ASCII characters.',
  });
}
