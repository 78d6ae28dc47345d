import { z } from 'zod';
import { type KeptTexts } from './kept-texts.js';

/**
 * Changes that were sent, or were about to be, and whose outcome is not known: kept before the first try, removed after
 * the definite outcome, sent again with the same key after a restart.
 *
 * ```
 *   kept ──► sent ──► answered, or refused for good ──► removed
 *              └────► the deadline, a crash, a lost phone battery ──► still there: resumePending()
 * ```
 *
 * One entry of the storage per call, so two tabs never write to the same one. Two that resume the same call send the
 * same key, which has one effect.
 */

/** Every call that changes something. A stored call names it, so a name, once released, stays. */
const WRITE_OPERATIONS = [
  'orders.place',
  'orders.accept',
  'orders.cancel',
  'stores.open',
  'couriers.register',
] as const;
export type WriteOperation = (typeof WRITE_OPERATIONS)[number];

/** A call as it is stored. Version history: 1, first. An entry of another version is left alone. */
const storedCall = z.object({
  version: z.literal(1),
  operation: z.enum(WRITE_OPERATIONS),
  idempotencyKey: z.string(),
  path: z.string().startsWith('/'),
  tag: z.string().optional(),
  body: z.string(),
  createdAtMs: z.number(),
});
export type StoredCall = Omit<z.infer<typeof storedCall>, 'version'>;

const FOLDER = 'pending/';

export class PendingCalls {
  readonly #texts: KeptTexts;
  readonly #underWay = new Set<string>();

  constructor(texts: KeptTexts) {
    this.#texts = texts;
  }

  /** This client is sending it just now. */
  isUnderWay(idempotencyKey: string): boolean {
    return this.#underWay.has(idempotencyKey);
  }

  /** Is there one of this key? */
  async has(idempotencyKey: string): Promise<boolean> {
    return (await this.#texts.read(FOLDER + idempotencyKey)) !== undefined;
  }

  /** Keeps the call. To be awaited before its first try. */
  async begin(call: StoredCall): Promise<void> {
    this.#underWay.add(call.idempotencyKey);
    await this.#texts.write(FOLDER + call.idempotencyKey, JSON.stringify({ version: 1, ...call }));
  }

  /** The call is no more under way; with a definite outcome it is forgotten too. */
  async end(idempotencyKey: string, isDefinite: boolean): Promise<void> {
    this.#underWay.delete(idempotencyKey);
    if (isDefinite) await this.#texts.remove(FOLDER + idempotencyKey);
  }

  /** The oldest first. */
  async list(): Promise<readonly StoredCall[]> {
    const names = await this.#texts.names(FOLDER);
    const texts = await Promise.all(names.map((name) => this.#texts.read(name)));
    return texts
      .flatMap((text) => {
        const reading = storedCall.safeParse(parsedJson(text));
        return reading.success ? [reading.data] : [];
      })
      .sort((one, other) => one.createdAtMs - other.createdAtMs);
  }
}

function parsedJson(text: string | undefined): unknown {
  if (text === undefined) return undefined;
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
