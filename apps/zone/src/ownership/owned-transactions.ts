import { Injectable } from '@nestjs/common';
import { Problem } from '@borough/server-kit';
import { type ShardNumber } from '@borough/topology';
import { type Client } from 'pg';
import { DataSource, type EntityManager, type QueryRunner, QueryRunnerProviderAlreadyReleasedError } from 'typeorm';
import { ownershipRefusal } from './refusal.js';

/**
 * The only way a zone writes.
 *
 * ```
 * begin (READ COMMITTED) → control.begin_write: shared lock on the shard, epoch, or refusal
 *   → work(tx, epoch): rows carry the epoch; the triggers check again (P2)
 *   → commit: answered by PostgreSQL when every in-sync zone has it on disk (P1)
 * ```
 *
 * What can be said after an error depends on where it struck: before the commit nothing has happened; from the commit
 * on only the idempotency key can tell, so the caller is told `outcome-unknown`, never success and never failure.
 */
@Injectable()
export class OwnedTransactions {
  constructor(private readonly source: DataSource) {}

  /**
   * @param work writes rows of this shard only, with this epoch; it may throw a Problem, which undoes all of it
   * @throws Problem `wrong-zone`, `shard-moving`, `area-not-served`, `stale-epoch`, `zone-starting` as the database
   *   refused; `overloaded` when no connection was free; `zone-unavailable` when the database is away;
   *   `outcome-unknown` when the commit was sent and not confirmed
   */
  async run<Result>(shard: ShardNumber, work: (tx: EntityManager, epoch: number) => Promise<Result>): Promise<Result> {
    const runner = this.source.createQueryRunner();
    try {
      const client = await connect(runner);
      const result = await this.upToCommit(runner, shard, work);
      await commit(runner, client);
      return result;
    } finally {
      await runner.release();
    }
  }

  private async upToCommit<Result>(
    runner: QueryRunner,
    shard: ShardNumber,
    work: (tx: EntityManager, epoch: number) => Promise<Result>,
  ): Promise<Result> {
    try {
      await runner.startTransaction('READ COMMITTED');
      const [started] = (await runner.query('SELECT control.begin_write($1) AS epoch', [shard])) as { epoch: number }[];
      if (started === undefined) throw new Error('control.begin_write answered nothing');
      return await work(runner.manager, started.epoch);
    } catch (error) {
      await runner.rollbackTransaction().catch(() => undefined);
      throw ownershipRefusal(error) ?? connectionLoss(error) ?? error;
    }
  }
}

async function connect(runner: QueryRunner): Promise<Client> {
  try {
    return (await runner.connect()) as Client;
  } catch (error) {
    // pg-pool gives no code to tell the two apart, and both mean: not now.
    const isPoolFull = error instanceof Error && error.message.includes('timeout exceeded when trying to connect');
    throw new Problem(isPoolFull ? 'overloaded' : 'zone-unavailable', { retryAfterSeconds: 1, cause: error });
  }
}

/**
 * A cancelled wait for the in-sync zones reports *success with a warning*: committed here, perhaps nowhere else. So a
 * commit that warns is not a success.
 */
async function commit(runner: QueryRunner, client: Client): Promise<void> {
  const warnings: unknown[] = [];
  const onNotice = (notice: { severity?: string | undefined }): void => {
    if (notice.severity === 'WARNING') warnings.push(notice);
  };
  client.on('notice', onNotice);
  try {
    await runner.commitTransaction();
  } catch (error) {
    throw new Problem('outcome-unknown', { detail: 'Send it again with the same Idempotency-Key.', cause: error });
  } finally {
    client.off('notice', onNotice);
  }
  if (warnings.length > 0) {
    throw new Problem('outcome-unknown', {
      detail: 'Send it again with the same Idempotency-Key.',
      cause: warnings[0],
    });
  }
}

const CONNECTION_LOSS =
  /Connection terminated|ECONNRESET|ECONNREFUSED|EPIPE|terminating connection|the database system is/;

/** Before the commit was sent, a lost connection means that nothing was written. */
function connectionLoss(error: unknown): Problem | undefined {
  // TypeORM gives a runner up when its connection dies between two statements.
  const isGivenUp = error instanceof QueryRunnerProviderAlreadyReleasedError;
  const isLoss = isGivenUp || (error instanceof Error && CONNECTION_LOSS.test(error.message));
  return isLoss ? new Problem('zone-unavailable', { retryAfterSeconds: 1, cause: error }) : undefined;
}
