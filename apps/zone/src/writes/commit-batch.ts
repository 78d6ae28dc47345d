import { Problem } from '@borough/server-kit';
import { type ShardNumber } from '@borough/topology';
import { type ConfirmedStatements, type WriteStatement } from '../ownership/confirmed-statements.js';
import { type Outcome, type PendingChange, type PendingRows, type PendingWrite } from './pending-write.js';

/*
 * The work is done in the zone's database: `write_batch` claims the keys, inserts the rows and replays the rest;
 * `change_orders` takes the steps of orders. A batch that has both is still one statement: one commit, one wait.
 */

const WRITTEN = `w.place, CASE WHEN w.is_new THEN 'done' ELSE 'replayed' END AS outcome, w.fingerprint, w.status,
                 w.answer, NULL AS held`;

const WRITE_BATCH = { name: 'write-batch', text: `SELECT ${WRITTEN} FROM public.write_batch($1, $2, $3) w` };

const CHANGE_ORDERS = { name: 'change-orders', text: 'SELECT * FROM public.change_orders($1, $2)' };

const WRITE_AND_CHANGE = {
  name: 'write-and-change',
  text: `SELECT ${WRITTEN} FROM public.write_batch($1, $2, $3) w
          UNION ALL
         SELECT jsonb_array_length($3) + c.place, c.outcome, c.fingerprint, c.status, c.answer, c.held
           FROM public.change_orders($1, $4) c`,
};

/** What the database says of one write. */
interface Line {
  /** In the batch, new rows before changes, from 1. */
  readonly place: number;
  readonly outcome: 'done' | 'replayed' | 'refused' | 'held';
  readonly fingerprint: string | null;
  readonly status: number | null;
  /** What was stored under the key; of an order that is held, its hold. */
  readonly answer: string | null;
  /** Status of the order that refused; null when there is no such order. */
  readonly held: string | null;
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
  const news = writes.filter((write) => write.kind === 'new-rows');
  const changes = writes.filter((write) => write.kind === 'order-change');
  const [statement, values] = statementFor(shard, news, changes);
  const lines = new Map((await statements.run<Line>(statement, values)).map((line) => [line.place, line]));
  const places = new Map([...news, ...changes].map((write, at) => [write, at + 1]));
  return writes.map((write) => outcomeOf(write, lines.get(places.get(write) ?? 0)));
}

function statementFor(
  shard: ShardNumber,
  news: readonly PendingRows[],
  changes: readonly PendingChange[],
): [WriteStatement, unknown[]] {
  const tables = [...new Set(news.flatMap(({ rows }) => Object.keys(rows)))];
  if (changes.length === 0) return [WRITE_BATCH, [shard, tables, sentRows(news)]];
  if (news.length === 0) return [CHANGE_ORDERS, [shard, sentChanges(changes)]];
  return [WRITE_AND_CHANGE, [shard, tables, sentRows(news), sentChanges(changes)]];
}

function sentRows(news: readonly PendingRows[]): string {
  return JSON.stringify(
    news.map(({ route, caller, key, fingerprint, answer, rows }) => ({
      route,
      caller,
      key,
      fingerprint,
      status: answer.status,
      answer: answer.body,
      rows,
    })),
  );
}

function sentChanges(changes: readonly PendingChange[]): string {
  return JSON.stringify(
    changes.map(({ route, caller, key, fingerprint, status, change: { orderId, steps, event } }) => ({
      route,
      caller,
      key,
      fingerprint,
      status,
      orderId,
      steps,
      event,
    })),
  );
}

function outcomeOf(write: PendingWrite, line: Line | undefined): Outcome {
  if (line === undefined) throw new Error('the database answered nothing about a write');
  if (line.outcome === 'refused' || line.outcome === 'held') {
    if (write.kind === 'new-rows') throw new Error('new rows cannot be refused one by one');
    const { refusal, heldBy } = write.change;
    const problem = line.outcome === 'held' ? heldBy(line.answer ?? '') : refusal(line.held ?? undefined);
    return { kind: 'refused', problem };
  }
  if (line.outcome === 'replayed' && line.fingerprint !== write.fingerprint) {
    const problem = new Problem('idempotency-key-reused', { detail: 'Use a new key for a new request.' });
    return { kind: 'refused', problem };
  }
  // What was sent need not come back.
  if (line.outcome === 'done' && write.kind === 'new-rows') return { kind: 'answered', answer: write.answer };
  const isReplay = line.outcome === 'replayed';
  return { kind: 'answered', answer: { status: line.status ?? 0, body: line.answer ?? '', isReplay } };
}
