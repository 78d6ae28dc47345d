/**
 * The way back of a zone that a failover sealed off (design.md section 6, Rejoin; SPEC.md M9), step by step as
 * `nextRejoinStep` of libs/topology says:
 *
 *     takes the new epochs, its writers end ─► heals itself, keeps its tail as receipts ─► every other zone: past the tail,
 *     unsealed ─► its record is thawed ─► the zones grow it back into their records by themselves
 *
 * Healing is the returning zone's own work, and growing that of each zone's agent. Here is only what needs a term.
 */
import { type MoveView } from '@borough/contracts';
import { type Logger, Problem } from '@borough/server-kit';
import { compareTerms, type MoveId, type RoutingEntry, type Term, type ZoneId } from '@borough/topology';
import { ownershipOf } from '../voters/ownership-of.js';
import { isOpenMove, type Readings, type Voters } from '../voters/voters.js';
import { reasonOf } from './handover.js';
import { rejoined } from './move-record.js';

const WORKERS_GONE_WITHIN_MS = 500;

/**
 * One try at whatever comes next; to be called again until it answers with the record that says so.
 *
 * @param move a failover that ended and whose zone has not rejoined
 * @returns the record, stored, once the zone has rejoined; otherwise what it waits for, in words
 * @throws Problem `stale-term`, `no-majority`
 */
export async function rejoin(
  voters: Voters,
  term: Term,
  readings: Readings,
  move: MoveView,
  logger: Logger,
): Promise<MoveView | string> {
  const { moveId } = move;
  const zone = move.target.kind === 'failover' ? move.target.zone : '';
  const back = readings.get(zone);
  if (back === undefined) return `zone ${zone} does not answer, or has not learnt yet what was voted`;
  if (compareTerms(back.promised, term) > 0) throw new Problem('stale-term', { retryAfterSeconds: 1 });

  const lost = entriesNotOf(zone, readings, voters.zoneIds.length);
  const missing = lost.filter(({ shard, epoch }) => {
    const copy = back.ownership.find((row) => row.shard === shard);
    return copy === undefined || copy.epoch < epoch || (copy.epoch === epoch && copy.state === 'accepted');
  });
  if (missing.length > 0) {
    await takeEpochs(voters, term, zone, missing, logger);
    logger.info({ moveId, zone, shards: missing.length }, 'the returning zone knows what it lost');
  }

  const unhealed = await voters.at(term, zone, (voter) => voter.unhealedShards(lost));
  if (unhealed.length > 0) return `zone ${zone} heals ${unhealed.length} shards`;

  // Nothing of its own can be written after this: it owns no shard it lost, and what it healed carries an origin.
  const upTo = await voters.at(term, zone, (voter) => voter.logPosition());
  const others = voters.zoneIds.filter((other) => other !== zone);
  const passed = await voters.atEach(term, others, async (voter) => {
    // One that was away when the zone was sealed off still takes in its changes: not while its position is moved.
    const isSealed = readings.get(voter.zoneId)?.seals.some((seal) => seal.zone === zone) === true;
    if (!isSealed) await voter.sealForRejoin(term, zone, moveId);
    if (!isSealed && !(await voter.endApplyWorkers(term, zone, WORKERS_GONE_WITHIN_MS))) {
      throw new Error(`an apply worker of zone ${voter.zoneId} does not end`);
    }
    await voter.passTailAndUnseal(term, zone, upTo);
  });
  const behind = others.filter((other) => !passed.has(other));
  if (behind.length > 0) return `zone ${behind.join(', ')} has not passed the tail of zone ${zone} yet`;

  await voters.changeRecord(zone, { kind: 'thaw', by: moveId });
  const view = rejoined(move, new Date());
  await voters.putMove(term, view);
  logger.info({ moveId, zone }, 'the zone has rejoined: its peers take it into their records when it is equal');
  return view;
}

/**
 * Seals that a call of an ended move set late, after the zone had rejoined: nobody would take them away. The link goes on
 * where it stood.
 *
 * @param open moves that still have work to do
 */
export async function removeLateSeals(
  voters: Voters,
  term: Term,
  readings: Readings,
  open: ReadonlySet<MoveId>,
  logger: Logger,
): Promise<void> {
  for (const [sealer, { seals }] of readings) {
    for (const { zone, moveId } of seals) {
      if (open.has(moveId)) continue;
      const move = await voters.move(moveId);
      if (move === undefined || isOpenMove(move)) continue;
      await voters.atEach(term, [sealer], (voter) => voter.passTailAndUnseal(term, zone, 0));
      logger.warn({ zone, sealer, moveId }, 'a seal that came after its move had ended was taken away');
    }
  }
}

/** Shards that a majority says are served by another zone. */
function entriesNotOf(zone: ZoneId, readings: Readings, voterCount: number): RoutingEntry[] {
  return ownershipOf(readings, voterCount).flatMap(({ adopted }) =>
    adopted.kind === 'settled' && adopted.entry.owner !== zone ? [adopted.entry] : [],
  );
}

const TAKE_TRIES = 4;

/** Its writers are ended first; one that slips in keeps a lock and is ended by the next try. */
async function takeEpochs(
  voters: Voters,
  term: Term,
  zone: ZoneId,
  missing: readonly RoutingEntry[],
  logger: Logger,
): Promise<void> {
  for (let tried = 1; ; tried += 1) {
    try {
      await voters.at(term, zone, (voter) => voter.takeEpochs(term, missing));
      return;
    } catch (error) {
      if (error instanceof Problem || tried === TAKE_TRIES) throw error;
      logger.debug({ zone, reason: reasonOf(error) }, 'the returning zone did not take its epochs at once');
    }
  }
}
