import { type z } from 'zod';
import { Problem } from '../problem/problem.js';

/**
 * Query parameters as their schema says.
 *
 * @throws Problem `malformed-query` naming each fault; a fault in the URL is a 400, one in the body a 422
 */
export function readQuery<Schema extends z.ZodType>(schema: Schema, query: unknown): z.output<Schema> {
  const read = schema.safeParse(query);
  if (read.success) return read.data;
  const errors = read.error.issues.map((issue) => ({ path: issue.path.join('.'), message: issue.message }));
  throw new Problem('malformed-query', { detail: `${errors.length} faults`, members: { errors } });
}
