import { z } from 'zod';
import { clientProblem } from './delivery-problem.js';
import { type CallRequest } from './one-try.js';

/**
 * The body of a good answer, as the contract has it.
 *
 * A newer server may say more than this release knows. What it says more is left out; an app in a shop's tablet must not
 * stop working because a field was added.
 *
 * @throws DeliveryProblem `answer-not-understood` when something is missing or wrong. The call was carried out.
 */
export function readAnswer<Schema extends z.ZodType>(
  schema: Schema,
  body: unknown,
  status: number,
  request: CallRequest,
): z.output<Schema> {
  const reading = schema.safeParse(body);
  if (reading.success) return reading.data;
  const extra = reading.error.issues.flatMap((issue) =>
    issue.code === 'unrecognized_keys' ? issue.keys.map((key) => [...issue.path, key]) : [],
  );
  if (extra.length > 0) {
    const secondReading = schema.safeParse(extra.reduce<unknown>(without, body));
    if (secondReading.success) return secondReading.data;
  }
  throw clientProblem('answer-not-understood', {
    detail: z.prettifyError(reading.error),
    facts: { answerStatus: status },
    idempotencyKey: request.idempotencyKey,
  });
}

/** A copy without what is at the end of the path. */
function without(value: unknown, path: readonly PropertyKey[]): unknown {
  const [head, ...rest] = path;
  if (Array.isArray(value))
    return value.map((item, index) => (index === head ? without(item, rest) : (item as unknown)));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).flatMap(([name, member]) => {
      if (name !== head) return [[name, member as unknown]];
      return rest.length === 0 ? [] : [[name, without(member, rest)]];
    }),
  );
}
