import { type Logger } from '@borough/server-kit';
import { type Area, majority, type ShardNumber } from '@borough/topology';
import { ownershipOf } from './ownership-of.js';
import { areasHeldBy, type Judgement, type Readings, staleVoters, type Voters } from './voters.js';

/**
 * Finishes what was begun and brings up voters that lag: installs that only some accepted (adopted, never replaced:
 * SPEC.md O3), and areas only some hold. Takes no lead and writes nothing while all voters that answered agree.
 *
 * An install whose owner is away is left until that is back: it must not hold up the other shards, nor what is published
 * of them.
 *
 * @param mayRepair whether a shard may be worked on: not while a move has it, and not unless this coordinator leads
 * @param readings what shows whether there is anything to do; what to do is judged from a fresh reading under our term
 * @returns readings after the work, or the given ones when there was none
 */
export async function settle(
  voters: Voters,
  readings: Readings,
  logger: Logger,
  mayRepair: (shard: ShardNumber) => boolean,
): Promise<Readings> {
  if (isSettled(voters, readings, mayRepair)) return readings;
  await voters.asLeader(async (judgement) => {
    await settleOwnership(voters, judgement, logger, mayRepair);
    await settleAreas(voters, judgement, mayRepair);
  });
  return voters.read();
}

function isSettled(voters: Voters, readings: Readings, mayRepair: (shard: ShardNumber) => boolean): boolean {
  const repairable = ownershipOf(readings, voters.zoneIds.length).filter(({ shard }) => mayRepair(shard));
  const isOwnershipSettled = repairable.every(({ adopted, copies }) =>
    adopted.kind === 'half-installed'
      ? !readings.has(adopted.row.owner)
      : adopted.kind === 'settled' &&
        (adopted.entry.state !== 'serving' || staleVoters(adopted.entry, copies).length === 0),
  );
  return isOwnershipSettled && begunAreas(readings, mayRepair).length === 0;
}

async function settleOwnership(
  voters: Voters,
  { term, readings }: Judgement,
  logger: Logger,
  mayRepair: (shard: ShardNumber) => boolean,
): Promise<void> {
  for (const { shard, copies, adopted } of ownershipOf(readings, voters.zoneIds.length)) {
    if (!mayRepair(shard)) continue;
    if (adopted.kind === 'contradiction') {
      logger.error(
        { shardId: shard, rows: adopted.rows },
        'voters name two owners at one epoch: nothing is published for this shard, a person must look',
      );
    } else if (adopted.kind === 'half-installed' && readings.has(adopted.row.owner)) {
      await voters.install(term, shard, adopted.row.epoch, adopted.row.owner);
      logger.info(
        { shardId: shard, epoch: adopted.row.epoch, owner: adopted.row.owner },
        'finished an install that was begun',
      );
    } else if (adopted.kind === 'settled' && adopted.entry.state === 'serving') {
      const { epoch } = adopted.entry;
      const lagging = staleVoters(adopted.entry, copies);
      await voters.bringUp(term, adopted.entry, copies);
      if (lagging.length > 0)
        logger.info({ shardId: shard, epoch, zones: lagging }, 'brought voters that lagged up to date');
    }
  }
}

async function settleAreas(
  voters: Voters,
  { term, readings }: Judgement,
  mayRepair: (shard: ShardNumber) => boolean,
): Promise<void> {
  for (const area of begunAreas(readings, mayRepair)) await voters.putArea(term, area);
}

/** Areas that only some of the voters that answered hold. */
function begunAreas(readings: Readings, mayRepair: (shard: ShardNumber) => boolean): Area[] {
  const complete = new Set(areasHeldBy(readings, readings.size).map((area) => area.shard));
  return areasHeldBy(readings, 1).filter(({ shard }) => !complete.has(shard) && mayRepair(shard));
}

/** Areas a majority holds: the ones that may be published. */
export function publishedAreas(voters: Voters, readings: Readings): ReturnType<typeof areasHeldBy> {
  return areasHeldBy(readings, majority(voters.zoneIds.length));
}
