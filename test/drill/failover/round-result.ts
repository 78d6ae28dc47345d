/** What a round came to, read off what was asked and answered in it. */
import { type MoveView } from '@borough/contracts';
import { type Breach } from '../checker/breach.js';
import { counted } from '../checker/grouped.js';
import { type RequestRecord } from '../checker/history.js';
import { type Holds } from './holds.js';
import { longestOutageMs } from './outage.js';
import { describeRound, type PlannedRound } from './plan.js';
import { type RoundResult } from './report.js';

/** A read that takes longer was away, in ms. */
const READ_WITHIN_MS = 500;

export interface RoundFacts {
  readonly round: PlannedRound;
  readonly seed: number;
  /** When it broke, in ms since 1970. */
  readonly at: number;
  /** Of the failover, where there was one. */
  readonly move: MoveView | undefined;
  readonly convergeMs: number | undefined;
  /** What went another way than it should, in words. */
  readonly wrong: readonly string[];
  /** Asked of routers. */
  readonly records: readonly RequestRecord[];
  /** Asked of the zone itself. */
  readonly direct: readonly RequestRecord[] | undefined;
  readonly breaches: readonly Breach[];
  readonly holds: Holds | undefined;
  /** Zone by shard, before it broke. */
  readonly homes: ReadonlyMap<number, string>;
}

export function roundResultOf(facts: RoundFacts): RoundResult {
  const { round, at, move, records, breaches, holds, homes, convergeMs } = facts;
  const until = highest(records, at, ({ answeredAt }) => answeredAt);
  const isOfZone = ({ shard }: RequestRecord): boolean => homes.get(shard) === round.zone;
  const writes = records.filter(isWrite);
  const reads = records.filter(({ kind }) => kind === 'read');
  const othersWrites = writes.filter((write) => !isOfZone(write));
  const readOutageMs = longestOutageMs(reads.filter(isOfZone), at, until);
  const count = (kind: Breach['kind']): number => breaches.filter((breach) => breach.kind === kind).length;
  return {
    round: round.round,
    fault: round.fault,
    what: describeRound(round),
    zone: round.zone,
    seed: facts.seed,
    requests: records.length,
    ...(move?.detectedInMs === undefined ? {} : { detectedMs: move.detectedInMs }),
    writeOutageMs: rounded(longestOutageMs(writes.filter(isOfZone), at, until)),
    othersWriteOutageMs: rounded(longestOutageMs(othersWrites, at, until)),
    readOutageMs: readOutageMs > READ_WITHIN_MS ? rounded(readOutageMs) : 0,
    slowestReadMs: rounded(highest(reads, 0, ({ scheduledAt, answeredAt }) => answeredAt - scheduledAt)),
    failed: records.filter(({ isOk }) => !isOk).length,
    failures: failuresOf(records),
    unknown: writes.filter(isUnknown).length,
    lost: count('lost-write'),
    duplicated: count('duplicated-write'),
    markedStale: records.filter(({ staleMs }) => staleMs !== undefined).length,
    ...(facts.direct === undefined ? {} : { direct: directFigures(facts.direct, at) }),
    heldOrders: holds?.orders ?? 0,
    heldMs: holds?.longestMs ?? 0,
    ...(convergeMs === undefined ? {} : { convergeMs: rounded(convergeMs) }),
    ...(move === undefined ? {} : { moveId: move.moveId }),
    wrong: [
      ...facts.wrong,
      ...(holds?.unreleased ?? []).map((shard) => `the orders of shard ${shard} were never released`),
    ],
  };
}

/** How often each kind of request failed for each reason. */
function failuresOf(records: readonly RequestRecord[]): Record<string, number> {
  const failed = records.filter(({ isOk }) => !isOk);
  return Object.fromEntries(
    counted(failed.map(({ kind, client, failure }) => `${kind} by ${client}: ${failure ?? 'no reason recorded'}`)),
  );
}

function directFigures(direct: readonly RequestRecord[], at: number): NonNullable<RoundResult['direct']> {
  const writes = direct.filter(isWrite).filter(({ sentAt }) => sentAt >= at);
  const reads = direct.filter(({ kind, sentAt }) => kind === 'read' && sentAt >= at);
  return {
    writes: writes.length,
    acknowledged: writes.filter(({ isOk }) => isOk).length,
    reads: reads.length,
    shown: reads.filter(({ isOk }) => isOk).length,
  };
}

function isWrite({ kind }: RequestRecord): boolean {
  return kind !== 'read';
}

/** The client was not told whether it came about: no answer at all, or one that says so. */
function isUnknown({ isOk, status, failure }: RequestRecord): boolean {
  return !isOk && (status === undefined || failure === 'outcome-unknown');
}

/** At least `least`. */
function highest<Item>(items: readonly Item[], least: number, of: (item: Item) => number): number {
  return items.reduce((most, item) => Math.max(most, of(item)), least);
}

function rounded(ms: number): number {
  return Math.round(ms * 10) / 10;
}
