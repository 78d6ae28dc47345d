import { Problem } from '@borough/server-kit';
import { type ShardNumber } from '@borough/topology';
import { type EntityManager, type EntitySchema } from 'typeorm';
import { type OwnedTransactions } from '../ownership/owned-transactions.js';
import { type Outcome, type PendingWrite, scopeOf } from './pending-write.js';

/**
 * Writes a batch of one shard in one transaction of set-based statements: one wait for the in-sync zones serves all.
 *
 * ```
 * begin_write → claim all keys → insert the rows of the claimed → replay the others → commit
 * ```
 *
 * A duplicate that another process is writing at this moment is waited for by the claim, then replayed.
 *
 * A replayed answer is an acknowledgement too, and its row may come from a commit that nobody acknowledged (T9: a crash
 * made it visible). So a replay also counts itself in the row: that is a write, checked by the ownership trigger and
 * confirmed by every in-sync zone, before the answer goes out.
 *
 * @param writes of one shard, no two with the same scope
 * @returns one outcome per write, in their order
 * @throws all that `OwnedTransactions.run` throws: then nothing of the batch was written, or nothing is known of any of it
 */
export function commitBatch(
  transactions: OwnedTransactions,
  shard: ShardNumber,
  writes: readonly PendingWrite[],
): Promise<Outcome[]> {
  return transactions.run(shard, async (tx, epoch) => {
    const claimed = await claim(tx, shard, epoch, writes);
    await insertRows(
      tx,
      epoch,
      writes.filter((write) => claimed.has(scopeOf(write))),
    );
    const earlier = await replay(
      tx,
      shard,
      epoch,
      writes.filter((write) => !claimed.has(scopeOf(write))),
    );
    return writes.map((write): Outcome => {
      const scope = scopeOf(write);
      return claimed.has(scope) ? { kind: 'answered', answer: write.answer } : replayed(write, earlier.get(scope));
    });
  });
}

/** Keys are claimed in their order, so that two batches with the same keys wait for each other in one direction only. */
async function claim(
  tx: EntityManager,
  shard: ShardNumber,
  epoch: number,
  writes: readonly PendingWrite[],
): Promise<ReadonlySet<string>> {
  const keys = writes.map(({ route, caller, key, fingerprint, answer }) => ({
    route,
    caller,
    key,
    fingerprint,
    status: answer.status,
    answer: answer.body,
  }));
  const claimed = await tx.query<{ route: string; caller: string; key: string }[]>(
    `INSERT INTO idempotency_keys (shard, route, caller, key, epoch, fingerprint, status, answer, created_at)
     SELECT $1, w.route, w.caller, w.key, $2, decode(w.fingerprint, 'hex'), w.status, w.answer, now()
       FROM jsonb_to_recordset($3::jsonb)
         AS w (route text, caller text, key text, fingerprint text, status integer, answer text)
      ORDER BY w.route, w.caller, w.key
     ON CONFLICT DO NOTHING
     RETURNING route, caller, key`,
    [shard, epoch, JSON.stringify(keys)],
  );
  return new Set(claimed.map(scopeOf));
}

/** One INSERT per table, whatever the number of writes. */
async function insertRows(tx: EntityManager, epoch: number, writes: readonly PendingWrite[]): Promise<void> {
  const byTable = new Map<EntitySchema, object[]>();
  for (const { entity, rows } of writes.flatMap((write) => write.effect)) {
    const records = byTable.get(entity) ?? [];
    byTable.set(entity, records);
    for (const row of rows) records.push(recordOf(tx, entity, { ...row, epoch }));
  }
  for (const [entity, records] of byTable) {
    const { tableName, columns } = tx.dataSource.getMetadata(entity);
    // Named one by one: a column that a newer migration added keeps its default.
    const names = columns.map((column) => column.databaseName).join(', ');
    await tx.query(
      `INSERT INTO ${tableName} (${names})
       SELECT ${names} FROM jsonb_populate_recordset(NULL::${tableName}, $1::jsonb)`,
      [JSON.stringify(records)],
    );
  }
}

/** A row with its columns' names, as `jsonb_populate_recordset` reads it. */
function recordOf(tx: EntityManager, entity: EntitySchema, row: object): Record<string, unknown> {
  const { columns } = tx.dataSource.getMetadata(entity);
  return Object.fromEntries(columns.map((column) => [column.databaseName, column.getEntityValue(row) as unknown]));
}

interface StoredAnswer {
  readonly route: string;
  readonly caller: string;
  readonly key: string;
  readonly fingerprint: string;
  readonly status: number;
  readonly answer: string;
}

async function replay(
  tx: EntityManager,
  shard: ShardNumber,
  epoch: number,
  writes: readonly PendingWrite[],
): Promise<ReadonlyMap<string, StoredAnswer>> {
  if (writes.length === 0) return new Map();
  const scopes = writes.map(({ route, caller, key }) => ({ route, caller, key }));
  const [rows] = await tx.query<[StoredAnswer[], number]>(
    `UPDATE idempotency_keys k SET replays = k.replays + 1, epoch = $2
       FROM jsonb_to_recordset($3::jsonb) AS w (route text, caller text, key text)
      WHERE k.shard = $1 AND k.route = w.route AND k.caller = w.caller AND k.key = w.key
     RETURNING k.route, k.caller, k.key, encode(k.fingerprint, 'hex') AS fingerprint, k.status, k.answer`,
    [shard, epoch, JSON.stringify(scopes)],
  );
  return new Map(rows.map((row) => [scopeOf(row), row]));
}

function replayed(write: PendingWrite, stored: StoredAnswer | undefined): Outcome {
  if (stored === undefined) throw new Error('a taken idempotency key has no row');
  if (stored.fingerprint !== write.fingerprint) {
    const problem = new Problem('idempotency-key-reused', { detail: 'Use a new key for a new request.' });
    return { kind: 'refused', problem };
  }
  return { kind: 'answered', answer: { status: stored.status, body: stored.answer, isReplay: true } };
}
