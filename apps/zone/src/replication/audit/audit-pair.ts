/** One pair of an audit: what this zone holds of the shards of one owner, compared with what that owner has. */
import { type Epoch, type RowStamp, type ZoneId } from '@borough/topology';
import { awaitArrival, type ComparedZone } from '../healing/compared-zone.js';
import { compareShards, type RowDifference } from '../healing/compare-shards.js';
import { healUntilEqual } from '../healing/heal-from.js';
import { shardedTables } from '../healing/sharded-table.js';

/** What an audit is asked for; stored as JSON (0010-audits.sql). */
export interface AuditRequest {
  readonly tables?: readonly string[];
  readonly zones?: readonly ZoneId[];
  /** An instant. */
  readonly since?: string;
  readonly heal?: boolean;
}

interface AuditDifference {
  readonly table: string;
  readonly key: readonly string[];
  readonly shard: number;
  /** Absent: that side has no such row. */
  readonly owner?: RowStamp;
  readonly copy?: RowStamp;
}

/** What came of a pair; stored and sent as JSON. */
export interface AuditPair {
  readonly owner: ZoneId;
  readonly copy: ZoneId;
  readonly rowsCompared: number;
  readonly rowsRead: number;
  /** 1,000 at most; after a healing what is left. */
  readonly differing: readonly AuditDifference[];
  readonly undecided: number;
  /** False: there may be more. */
  readonly isComplete: boolean;
  /** Rows that were taken over from the owner, and rows that are kept as receipts. */
  readonly taken: number;
  readonly receipts: number;
  /** Why nothing, or not all, is known. */
  readonly problem?: string;
}

export interface AuditPairOptions {
  readonly signal: AbortSignal;
  readonly onProgress: (progress: { readonly table: string; readonly rowsCompared: number }) => void;
  /** Waited for between parts of a table. */
  readonly pace: (() => Promise<void>) | undefined;
}

/** These times are not those of the commits (T17): an audit of what changed since looks back a little further, in ms. */
const OVERLAP_MS = 60_000;

/**
 * @param owner reads there only
 * @param here a session of the owner role: a healing writes here and nowhere else
 * @throws the signal's reason when it is aborted; what was healed until then stays
 */
export async function auditPair(
  owner: ComparedZone,
  here: ComparedZone,
  { tables, since, heal }: AuditRequest,
  { signal, onProgress, pace }: AuditPairOptions,
): Promise<AuditPair> {
  const ends = { owner: owner.zoneId, copy: here.zoneId };
  try {
    if ((await here.session.query('SELECT 1 FROM control.seal s WHERE s.zone = $1', [owner.zoneId])).length > 0) {
      return { ...ends, ...NOTHING, problem: `zone ${owner.zoneId} is sealed off here: it has to rejoin first` };
    }
    const known = (await shardedTables(owner, here)).map(({ name }) => name);
    const unknown = tables?.filter((table) => !known.includes(table)) ?? [];
    if (unknown.length > 0) {
      const names = `${unknown.join(', ')}: only ${known.join(', ')}`;
      return { ...ends, ...NOTHING, problem: `zones ${owner.zoneId} and ${here.zoneId} do not replicate ${names}` };
    }
    const owned = await shardsOf(owner, here);
    const stream = { isHeldUp: false };
    const options = {
      signal,
      ...(tables === undefined ? {} : { tables }),
      settle: async () => {
        stream.isHeldUp = !(await awaitArrival(owner, here, undefined, signal, true));
        return !stream.isHeldUp;
      },
    };
    const found = await compareShards(
      owner,
      here,
      owned.map(({ shard }) => shard),
      {
        ...options,
        ...(since === undefined ? {} : { sinceMs: Date.parse(since) - OVERLAP_MS }),
        ...(pace === undefined ? {} : { pace }),
        onProgress: ({ table, rowsDigested }) => {
          onProgress({ table, rowsCompared: rowsDigested });
        },
      },
    );
    const compared = { ...ends, rowsCompared: found.rowsDigested, rowsRead: found.rowsRead };
    if (heal !== true || found.isEqual) {
      return {
        ...compared,
        differing: found.differing.map(differenceOf),
        undecided: found.undecided.length,
        isComplete: found.isComplete,
        taken: 0,
        receipts: 0,
        ...(stream.isHeldUp
          ? { problem: `what zone ${owner.zoneId} wrote does not arrive here: is its stream held up?` }
          : {}),
      };
    }
    const { taken, receipts, differing, isEqual } = await healUntilEqual(owner, here, owned, options);
    return {
      ...compared,
      differing: differing.map(differenceOf),
      undecided: 0,
      isComplete: true,
      taken,
      receipts,
      ...(isEqual ? {} : { problem: notHealed(differing, owned) }),
    };
  } catch (error) {
    if (signal.aborted) throw error;
    return { ...ends, ...NOTHING, problem: error instanceof Error ? error.message : String(error) };
  }
}

const NOTHING = { rowsCompared: 0, rowsRead: 0, differing: [], undecided: 0, isComplete: false, taken: 0, receipts: 0 };

/** What both sides say the owner serves, and at which epoch: a shard on the move is left for another time. */
async function shardsOf(owner: ComparedZone, here: ComparedZone): Promise<{ shard: number; epoch: Epoch }[]> {
  const sql = `SELECT o.shard, o.epoch::float8 AS epoch FROM control.ownership o
                WHERE o.owner = $1 AND o.state = 'serving' ORDER BY 1`;
  const [theirs, ours] = await Promise.all(
    [owner, here].map(({ session }) => session.query<{ shard: number; epoch: number }>(sql, [owner.zoneId])),
  );
  return (theirs ?? []).filter(({ shard, epoch }) =>
    ours?.some((known) => known.shard === shard && known.epoch === epoch),
  );
}

function differenceOf({ table, key, shard, left, right }: RowDifference): AuditDifference {
  return {
    table,
    key,
    shard,
    ...(left === undefined ? {} : { owner: left }),
    ...(right === undefined ? {} : { copy: right }),
  };
}

/** Healing writes to no owner: what an owner lost of its own epoch is a person's to decide. */
function notHealed(
  differing: readonly RowDifference[],
  owned: readonly { readonly shard: number; readonly epoch: Epoch }[],
): string {
  const epochs = new Map(owned.map(({ shard, epoch }) => [shard, epoch]));
  const lost = differing.filter(
    ({ shard, left, right }) => left === undefined && right !== undefined && right.epoch >= (epochs.get(shard) ?? 0),
  );
  return lost.length > 0
    ? `the owner lacks ${lost.length} rows of its own epoch that this zone has: healing writes to no owner`
    : 'rows still move: ask again';
}
