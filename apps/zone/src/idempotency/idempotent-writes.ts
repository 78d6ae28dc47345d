import { createHash } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { Problem } from '@borough/server-kit';
import { type ShardNumber } from '@borough/topology';
import { type EntityManager } from 'typeorm';
import { type WriteRequest } from '../http/write-request.js';
import { OwnedTransactions } from '../ownership/owned-transactions.js';

/** What a write answers; kept with its key and given again, byte for byte. */
export interface Answer {
  readonly status: number;
  /** JSON text. */
  readonly body: string;
  /** Whether this repeats the answer of an earlier request with the same key. */
  readonly isReplay: boolean;
}

interface StoredAnswer {
  readonly fingerprint: Buffer;
  readonly status: number;
  readonly answer: string;
}

/**
 * One effect per Idempotency-Key (P10): the key's row is written in the transaction of its effect.
 *
 * Two requests with one key at the same moment: the second waits on the first's row and then finds it. Refusals store
 * nothing, so a refused request may be repaired and sent again with its key.
 *
 * A replayed answer is an acknowledgement too, and the row may come from a commit that nobody acknowledged (T9: a crash
 * made it visible). So a replay also counts itself in the row: that is a write, checked by the ownership trigger and
 * confirmed by every in-sync zone, before the answer goes out.
 */
@Injectable()
export class IdempotentWrites {
  constructor(private readonly transactions: OwnedTransactions) {}

  /**
   * @param body what was asked, as it was understood; another body under the same key is refused
   * @param answer what the first request with this key is answered, with status 201
   * @param effect writes the rows; its throw undoes everything, the key included
   * @throws Problem `idempotency-key-reused`, and all that `OwnedTransactions.run` throws
   */
  run(
    write: WriteRequest,
    shard: ShardNumber,
    body: object,
    answer: object,
    effect: (tx: EntityManager, epoch: number) => Promise<void>,
  ): Promise<Answer> {
    const scope = [shard, write.route, write.caller, write.idempotencyKey];
    const fingerprint = createHash('sha256').update(JSON.stringify(body)).digest();
    const fresh = { status: 201, body: JSON.stringify(answer), isReplay: false };
    return this.transactions.run(shard, async (tx, epoch) => {
      if (!(await claim(tx, scope, epoch, fingerprint, fresh))) return replay(tx, scope, epoch, fingerprint);
      await effect(tx, epoch);
      return fresh;
    });
  }
}

/** False when the key is taken; a duplicate that began at the same moment waits here until the first has ended. */
async function claim(
  tx: EntityManager,
  scope: readonly unknown[],
  epoch: number,
  fingerprint: Buffer,
  answer: Answer,
): Promise<boolean> {
  const claimed: unknown[] = await tx.query(
    `INSERT INTO idempotency_keys (shard, route, caller, key, epoch, fingerprint, status, answer, created_at)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, now()) ON CONFLICT DO NOTHING RETURNING 1`,
    [...scope, epoch, fingerprint, answer.status, answer.body],
  );
  return claimed.length === 1;
}

async function replay(
  tx: EntityManager,
  scope: readonly unknown[],
  epoch: number,
  fingerprint: Buffer,
): Promise<Answer> {
  const [[stored]] = await tx.query<[StoredAnswer[], number]>(
    `UPDATE idempotency_keys SET replays = replays + 1, epoch = $5
      WHERE shard = $1 AND route = $2 AND caller = $3 AND key = $4
      RETURNING fingerprint, status, answer`,
    [...scope, epoch],
  );
  if (stored === undefined) throw new Error('a taken idempotency key has no row');
  if (!stored.fingerprint.equals(fingerprint)) {
    throw new Problem('idempotency-key-reused', { detail: 'Use a new key for a new request.' });
  }
  return { status: stored.status, body: stored.answer, isReplay: true };
}
