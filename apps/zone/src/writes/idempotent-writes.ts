import { createHash } from 'node:crypto';
import { Inject, Injectable } from '@nestjs/common';
import { type ShardNumber } from '@borough/topology';
import { type WriteRequest } from '../http/write-request.js';
import { ConfirmedStatements } from '../ownership/confirmed-statements.js';
import { ZONE_CONFIG } from '../platform/platform.module.js';
import { type ZoneConfig } from '../platform/zone.config.js';
import { commitBatch } from './commit-batch.js';
import { GroupCommit } from './group-commit.js';
import { type NewRows } from './new-rows.js';
import { type OrderChange } from './order-change.js';
import { type Answer, type WriteScope } from './pending-write.js';

const BATCH_WRITES = 32;
const BATCHES_PER_SHARD = 2;

/**
 * One effect per Idempotency-Key (P10): the key's row is written in the transaction of its effect.
 *
 * Two requests with one key at the same moment: the second waits for the first and then finds its row. Refusals store
 * nothing, those by the status of an order included: they ran nothing. So a refused request may be repaired, or just
 * asked again once things have changed, with its key.
 */
@Injectable()
export class IdempotentWrites {
  private readonly groupCommit: GroupCommit;

  constructor(statements: ConfirmedStatements, @Inject(ZONE_CONFIG) config: ZoneConfig) {
    this.groupCommit = new GroupCommit((shard, writes) => commitBatch(statements, shard, writes), {
      batchWrites: BATCH_WRITES,
      batchesPerShard: BATCHES_PER_SHARD,
      batches: Math.max(1, Math.floor(config.DATABASE_CONNECTIONS / 2)),
      maxWaiting: config.MAX_WAITING_WRITES,
    });
  }

  /**
   * @param body what was asked, as it was understood; another body under the same key is refused
   * @param answer what the first request with this key is answered, with status 201
   * @param rows the effect: rows of this shard
   * @throws Problem `idempotency-key-reused`, `overloaded`, and all that `ConfirmedStatements.run` throws
   */
  async run(request: WriteRequest, shard: ShardNumber, body: object, answer: object, rows: NewRows): Promise<Answer> {
    return this.groupCommit.submit(shard, {
      kind: 'new-rows',
      ...scopeOfRequest(request),
      fingerprint: fingerprintOf(body),
      answer: { status: 201, body: JSON.stringify(answer), isReplay: false },
      rows,
    });
  }

  /**
   * Takes an order one step on; the answer is its view after that, with status 200.
   *
   * @param shard the shard of the order
   * @param asked everything that tells this request from another under its route, the order included
   * @throws Problem what `change.refusal` gives, `idempotency-key-reused`, `overloaded`, and all that
   *   `ConfirmedStatements.run` throws
   */
  async runChange(request: WriteRequest, shard: ShardNumber, asked: object, change: OrderChange): Promise<Answer> {
    return this.groupCommit.submit(shard, {
      kind: 'order-change',
      ...scopeOfRequest(request),
      fingerprint: fingerprintOf(asked),
      status: 200,
      change,
    });
  }
}

function scopeOfRequest({ route, caller, idempotencyKey }: WriteRequest): WriteScope {
  return { route, caller, key: idempotencyKey };
}

function fingerprintOf(asked: object): string {
  return createHash('sha256').update(JSON.stringify(asked)).digest('hex');
}
