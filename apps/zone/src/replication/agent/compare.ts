import { type Logger } from '@borough/server-kit';
import { awaitArrival, type ComparedZone } from '../healing/compared-zone.js';
import { compareShards } from '../healing/compare-shards.js';

/** It is known soon enough that they differ. */
const MAX_DIFFERENCES = 100;

/**
 * Whether another zone holds the rows of every shard this zone owns (R2). Each range of rows has to be found equal once; a
 * stream that goes on keeps it so. A zone that owns nothing is equal to anybody.
 */
export async function isEqual(here: ComparedZone, there: ComparedZone | undefined, logger: Logger): Promise<boolean> {
  if (there === undefined) return false;
  const owned = await here.session.query<{ shard: number }>(
    `SELECT o.shard FROM control.ownership o WHERE o.owner = (SELECT z.id FROM control.zone z) ORDER BY 1`,
  );
  const comparison = await compareShards(
    here,
    there,
    owned.map(({ shard }) => shard),
    { maxDifferences: MAX_DIFFERENCES, settle: () => awaitArrival(here, there) },
  );
  const { differing, undecided, rowsDigested } = comparison;
  if (!comparison.isEqual) {
    const first = (differing[0] ?? undecided[0])?.table;
    logger.debug(
      { zone: there.zoneId, differing: differing.length, undecided: undecided.length, rowsDigested, first },
      'the zones are not equal yet',
    );
  }
  return comparison.isEqual;
}
