import { type z } from 'zod';
import { clientProblem, DeliveryProblem } from './delivery-problem.js';
import { type PendingCalls, type StoredCall, type WriteOperation } from './pending-calls.js';
import { requireKey } from './require-valid.js';
import { sendCall, type CallBounds, type Transport } from './send-call.js';

/** What every call takes besides. */
export interface CallOptions {
  /** Ends the call with the problem `aborted`. A change that was sent may happen all the same. */
  readonly signal?: AbortSignal | undefined;
  /** How long this call may take with all its tries, in ms; by default the client's. */
  readonly deadlineMs?: number | undefined;
}

/** What every call that changes something takes besides. */
export interface WriteOptions extends CallOptions {
  /**
   * One effect per key: 1 to 255 visible ASCII characters, new for each new intent of a person, the same when they try
   * again. Without it the call makes one, and keeps it over its tries.
   */
  readonly idempotencyKey?: string | undefined;
}

export interface CallsParts {
  readonly transport: Transport;
  readonly pending: PendingCalls;
  readonly newKey: () => string;
}

/** Reads and writes, as the functions of orders, stores and couriers make them. */
export class Calls {
  readonly #parts: CallsParts;

  constructor(parts: CallsParts) {
    this.#parts = parts;
  }

  /** @param tag undefined when the path holds an id that is one */
  read<Schema extends z.ZodType>(
    { path, tag }: { readonly path: string; readonly tag?: string | undefined },
    answer: Schema,
    options: CallOptions,
  ): Promise<z.output<Schema>> {
    return sendCall(this.#parts.transport, { method: 'GET', path, tag }, answer, options);
  }

  async write<Schema extends z.ZodType>(
    operation: WriteOperation,
    { path, tag, body }: { readonly path: string; readonly tag?: string | undefined; readonly body: object },
    answer: Schema,
    { idempotencyKey, ...bounds }: WriteOptions,
  ): Promise<z.output<Schema>> {
    const { newKey, transport, pending } = this.#parts;
    const call = {
      operation,
      idempotencyKey: requireKey(idempotencyKey ?? newKey()),
      path,
      tag,
      body: JSON.stringify(body),
      createdAtMs: transport.clock.nowMs(),
    };
    // A key of the caller's own may be that of a try whose outcome nobody knows.
    const mayHaveHappened = idempotencyKey !== undefined && (await pending.has(idempotencyKey));
    return this.send(call, answer, { ...bounds, mayHaveHappened });
  }

  /** Sends a change, for the first time or again; it is kept until its outcome is known. */
  async send<Schema extends z.ZodType>(
    call: StoredCall,
    answer: Schema,
    bounds: CallBounds,
  ): Promise<z.output<Schema>> {
    const { transport, pending } = this.#parts;
    const { idempotencyKey, path, tag, body } = call;
    if (transport.closing.aborted) {
      throw clientProblem('client-closed', { idempotencyKey, isOutcomeUnknown: bounds.mayHaveHappened });
    }
    await pending.begin(call);
    let isDefinite = false;
    try {
      const answered = await sendCall(transport, { method: 'POST', path, tag, body, idempotencyKey }, answer, bounds);
      isDefinite = true;
      return answered;
    } catch (error) {
      isDefinite = error instanceof DeliveryProblem && !error.isOutcomeUnknown;
      throw error;
    } finally {
      await pending.end(idempotencyKey, isDefinite);
    }
  }
}
