/**
 * What a move left behind that nobody carries out any more: an intent or a fence, and frozen in-sync records. Its record
 * ended, or never reached a majority, while one call of it arrived late or at a voter that was away (T24, T32).
 */
import { type Logger } from '@borough/server-kit';
import { compareTerms, type MoveId, type ShardNumber, type Term } from '@borough/topology';
import { ownershipOf } from '../voters/ownership-of.js';
import { isOpenMove, type Readings, type Voters } from '../voters/voters.js';

/**
 * Gives each such shard back to its owner at a new epoch, and thaws. What cannot be undone just now, because its owner is
 * away, holds up nothing else.
 *
 * Whether a move still has work is asked of the voters *after* its intent or freeze was seen, never taken from the same
 * readings: those take as long as the slowest voter, and a failover of a frozen zone begins and ends in that time. Its
 * freeze, thawed then, let the zone that woke up drop everybody and acknowledge alone (T36; 363 writes lost in a drill).
 * A move is recorded before it freezes or intends anything, so its record is found.
 *
 * @throws Problem `stale-term`, `no-majority`, `zone-unavailable`; what is left is undone in the next round
 */
export async function undoOrphans(
  { voters, logger }: { readonly voters: Voters; readonly logger: Logger },
  term: Term,
  readings: Readings,
): Promise<void> {
  const hasEnded = askOnce(async (moveId) => {
    const move = await voters.move(moveId);
    return move === undefined || !isOpenMove(move);
  });
  const orphans = ownershipOf(readings, voters.zoneIds.length).flatMap(({ shard, adopted }) => {
    if (adopted.kind !== 'settled' || adopted.row.moveId === undefined) return [];
    return [{ shard, moveId: adopted.row.moveId }];
  });
  const failures: unknown[] = [];
  for (const orphan of orphans) {
    if (!(await hasEnded(orphan.moveId))) continue;
    await giveBack(voters, term, orphan, logger).catch((error: unknown) => {
      // A term whose write failed, or that was refused, is used no more.
      if (voters.leadingTerm === undefined || compareTerms(voters.leadingTerm, term) !== 0) throw error;
      failures.push(error);
    });
  }
  const frozen = [...readings.values()].flatMap(({ inSync }) =>
    inSync.flatMap(({ record: { zone, frozenBy } }) => frozenBy.map((moveId) => ({ zone, moveId }))),
  );
  const thawed = new Set<string>();
  for (const { zone, moveId } of frozen) {
    if (thawed.has(`${zone} ${moveId}`) || !(await hasEnded(moveId))) continue;
    thawed.add(`${zone} ${moveId}`);
    // A voter that lags may show what the record no longer says: then nothing changes.
    const { isChanged } = await voters.changeRecord(zone, { kind: 'thaw', by: moveId });
    if (isChanged)
      logger.warn({ zone, moveId }, 'an in-sync record that an ended move kept as it was may change again');
  }
  if (failures.length > 0) throw failures[0];
}

async function giveBack(
  voters: Voters,
  term: Term,
  { shard, moveId }: { shard: ShardNumber; moveId: MoveId },
  logger: Logger,
): Promise<void> {
  const { adopted } = await voters.judgeShard(term, shard);
  // Whoever ended the move in the meantime was right.
  if (adopted.kind !== 'settled' || adopted.row.moveId !== moveId) return;
  const { epoch, owner, heir } = adopted.row;
  await voters.at(term, owner, (voter) => voter.fence(term, { shard, epoch, heir: heir ?? owner, moveId }));
  await voters.install(term, shard, epoch + 1, owner);
  voters.announce([{ shard, epoch: epoch + 1, state: 'serving', owner }]);
  logger.warn({ moveId, shardId: shard, owner }, 'an intent that no move carries out was undone');
}

/** Answers from the first asking: one round's moves are few, and what has ended stays so. */
function askOnce(ask: (moveId: MoveId) => Promise<boolean>): (moveId: MoveId) => Promise<boolean> {
  const asked = new Map<MoveId, Promise<boolean>>();
  return (moveId) => {
    const answer = asked.get(moveId) ?? ask(moveId);
    asked.set(moveId, answer);
    return answer;
  };
}
