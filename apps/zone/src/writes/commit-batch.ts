import { Problem } from '@borough/server-kit';
import { type ShardNumber } from '@borough/topology';
import { type ConfirmedStatements } from '../ownership/confirmed-statements.js';
import { type Outcome, type PendingWrite } from './pending-write.js';

/** The work is done by `write_batch` in the zone's database: claim the keys, insert the rows, replay the rest. */
const WRITE_BATCH = {
  name: 'write-batch',
  text: 'SELECT * FROM public.write_batch($1, $2, $3)',
};

interface WrittenLine {
  readonly place: number;
  readonly is_new: boolean;
  readonly fingerprint: string | null;
  readonly status: number | null;
  readonly answer: string | null;
}

/**
 * Writes a batch of one shard in one transaction: one wait for the in-sync zones serves all.
 *
 * @param writes of one shard, no two with the same scope
 * @returns one outcome per write, in their order
 * @throws all that `ConfirmedStatements.run` throws: then nothing of the batch was written, or nothing is known of any
 */
export async function commitBatch(
  statements: ConfirmedStatements,
  shard: ShardNumber,
  writes: readonly PendingWrite[],
): Promise<Outcome[]> {
  const tables = [...new Set(writes.flatMap(({ rows }) => Object.keys(rows)))];
  const sent = writes.map(({ route, caller, key, fingerprint, answer, rows }) => ({
    route,
    caller,
    key,
    fingerprint,
    status: answer.status,
    answer: answer.body,
    rows,
  }));
  const lines = await statements.run<WrittenLine>(WRITE_BATCH, [shard, tables, JSON.stringify(sent)]);
  const byPlace = new Map(lines.map((line) => [line.place, line]));
  return writes.map((write, at) => outcomeOf(write, byPlace.get(at + 1)));
}

function outcomeOf(write: PendingWrite, line: WrittenLine | undefined): Outcome {
  if (line === undefined) throw new Error('write_batch answered nothing about a write');
  if (line.is_new) return { kind: 'answered', answer: write.answer };
  if (line.fingerprint !== write.fingerprint) {
    const problem = new Problem('idempotency-key-reused', { detail: 'Use a new key for a new request.' });
    return { kind: 'refused', problem };
  }
  return { kind: 'answered', answer: { status: line.status ?? 0, body: line.answer ?? '', isReplay: true } };
}
