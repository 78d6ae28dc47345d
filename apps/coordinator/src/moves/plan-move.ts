/** What a move would do, and what stands in its way: pure, from what the voters and the zones say. */
import { type MoveCheck, type MovePlan, type MoveTarget, type MoveView, type PlannedShard } from '@borough/contracts';
import { Problem } from '@borough/server-kit';
import { type Area, majority, type ShardNumber, type ZoneId } from '@borough/topology';
import { type ShardOwnership } from '../voters/ownership-of.js';
import { type ZoneFacts } from '../voters/voter.js';

/** An heir further behind than this would make the move wait, and is sent to catch up first, in bytes. */
const CAUGHT_UP_BYTES = 16 * 1_048_576;

/** The design's own figure, until moves have been measured, in ms. */
const DESIGN_PAUSE_MS = 30;

const STEPS = [
  'keep the in-sync sets of the zones as they are, and check them',
  'record the intent of each shard on a majority of voters',
  'tell routers: they hold writes, reads go on',
  "fence the shard in its owner's database, and note the cut",
  'wait until the heir, and every zone it waits for, has applied up to the cut',
  'install the heir at the next epoch: a majority accepts, then the heir serves',
  'tell routers: they let go to the heir',
  'wait until every live router reports the new table, and let the in-sync sets change again',
];

/** All that a plan is made from. */
export interface PlanFacts {
  readonly zones: readonly ZoneId[];
  readonly ownership: readonly ShardOwnership[];
  readonly areas: readonly Area[];
  /** By zone, those whose database answered. */
  readonly zoneFacts: ReadonlyMap<ZoneId, ZoneFacts>;
  /** By zone, those whose API has a known address. */
  readonly apiReady: ReadonlyMap<ZoneId, boolean>;
  /** Orders in process by shard, where counted. */
  readonly inProcessOrders?: ReadonlyMap<ShardNumber, number>;
  /** The last drain of the zone, where that is to be undone. */
  readonly lastDrain?: MoveView;
  /** Pauses of the last moves, the newest first, in ms. */
  readonly recentPausesMs: readonly number[];
}

/**
 * @throws Problem `zone-not-found`, `shard-not-found` when the target names what there is not; `shard-unsettled`; `nothing-to-move`
 */
export function planMove(target: MoveTarget, facts: PlanFacts): MovePlan {
  const wanted = wantedShards(target, facts).filter(({ from, to }) => from !== to);
  if (wanted.length === 0) throw new Problem('nothing-to-move', { detail: nothingToMove(target) });
  const checks = [...checksOf(wanted, facts)];
  return {
    shards: wanted,
    steps: [...STEPS],
    checks,
    isBlocked: checks.some(({ isPassed }) => !isPassed),
    expectedPauseMs: facts.recentPausesMs[0] ?? DESIGN_PAUSE_MS,
  };
}

function wantedShards(target: MoveTarget, facts: PlanFacts): PlannedShard[] {
  for (const zone of zonesOf(target)) {
    if (!facts.zones.includes(zone)) {
      throw new Problem('zone-not-found', { detail: `There is no zone ${zone}; there are ${facts.zones.join(', ')}.` });
    }
  }
  const owned = (zone: ZoneId): ShardOwnership[] => facts.ownership.filter((shard) => ownerOf(shard) === zone);
  switch (target.kind) {
    case 'shards':
      return target.shards.map((shard) => planned(shard, target.to, facts));
    case 'drain': {
      const { zone, to } = target;
      const heirs = to === undefined ? ableHeirs(zone, facts) : [to];
      return owned(zone).map(({ shard }, at) => planned(shard, heirs[at % heirs.length] ?? zone, facts));
    }
    case 'undrain':
      return drainedFrom(facts).map((shard) => planned(shard, target.zone, facts));
  }
}

function zonesOf(target: MoveTarget): ZoneId[] {
  if (target.kind === 'shards') return [target.to];
  if (target.kind === 'undrain' || target.to === undefined) return [target.zone];
  return [target.zone, target.to];
}

function planned(shard: ShardNumber, to: ZoneId, { ownership, areas, inProcessOrders }: PlanFacts): PlannedShard {
  const found = ownership.find((candidate) => candidate.shard === shard);
  if (found === undefined) throw new Problem('shard-not-found', { detail: `There is no shard ${shard}.` });
  if (found.adopted.kind !== 'settled') {
    throw new Problem('shard-unsettled', {
      detail: `What the voters say of the owner of shard ${shard} is not settled; it is in a moment.`,
      retryAfterSeconds: 1,
    });
  }
  const area = areas.find((candidate) => candidate.shard === shard)?.name;
  return {
    shard,
    ...(area === undefined ? {} : { area }),
    from: found.adopted.entry.owner,
    to,
    epoch: found.adopted.entry.epoch,
    ...(inProcessOrders === undefined ? {} : { inProcessOrders: inProcessOrders.get(shard) ?? 0 }),
  };
}

/** Zones other than the drained one that pass their own checks, so that a drain spreads over these; all others if none does. */
function ableHeirs(zone: ZoneId, facts: PlanFacts): ZoneId[] {
  const others = facts.zones.filter((other) => other !== zone);
  const able = others.filter((heir) => [...heirChecks(zone, heir, facts)].every(({ isPassed }) => isPassed));
  return able.length > 0 ? able : others;
}

/** What the last drain moved off the zone and is where that drain put it. */
function drainedFrom({ lastDrain, ownership }: PlanFacts): ShardNumber[] {
  if (lastDrain === undefined) return [];
  return lastDrain.shards
    .filter(({ state }) => state === 'moved')
    .filter(({ shard, to }) => ownership.some((found) => found.shard === shard && ownerOf(found) === to))
    .map(({ shard }) => shard);
}

function ownerOf({ adopted }: ShardOwnership): ZoneId | undefined {
  return adopted.kind === 'settled' ? adopted.entry.owner : undefined;
}

function nothingToMove(target: MoveTarget): string {
  if (target.kind === 'shards') return `Zone ${target.to} owns all of these shards already.`;
  if (target.kind === 'drain') return `Zone ${target.zone} owns no shard.`;
  return `No drain has moved anything off zone ${target.zone} that is still where it was put.`;
}

/** The checks of a handover (design.md section 6, step 1): first of the voters, then of each pair of zones. */
function* checksOf(wanted: readonly PlannedShard[], facts: PlanFacts): Generator<MoveCheck> {
  const needed = majority(facts.zones.length);
  yield {
    check: 'majority-of-voters',
    isPassed: facts.zoneFacts.size >= needed,
    detail: `${facts.zoneFacts.size} of ${facts.zones.length} voters answer, ${needed} are needed.`,
  };
  for (const { shard, from } of wanted) {
    const found = facts.ownership.find((candidate) => candidate.shard === shard);
    if (found?.adopted.kind !== 'settled' || found.adopted.entry.state === 'serving') continue;
    yield {
      check: `shard-${shard}-is-serving`,
      isPassed: false,
      detail: `Shard ${shard} of zone ${from} is ${found.adopted.entry.state}: a move of it has not been finished yet.`,
    };
  }
  for (const from of new Set(wanted.map((shard) => shard.from))) {
    yield* ownerChecks(from, facts);
    for (const to of new Set(wanted.filter((shard) => shard.from === from).map((shard) => shard.to))) {
      yield* heirChecks(from, to, facts);
    }
  }
}

function* ownerChecks(from: ZoneId, { zoneFacts }: PlanFacts): Generator<MoveCheck> {
  yield {
    check: `owner-${from}-answers`,
    isPassed: zoneFacts.has(from),
    detail: zoneFacts.has(from)
      ? `The database of zone ${from} answers.`
      : `The database of zone ${from} does not answer; a zone that is lost is left by a failover.`,
  };
}

function* heirChecks(from: ZoneId, to: ZoneId, { zoneFacts, apiReady }: PlanFacts): Generator<MoveCheck> {
  const owner = zoneFacts.get(from);
  const heir = zoneFacts.get(to);
  yield {
    check: `heir-${to}-answers`,
    isPassed: heir !== undefined,
    detail: heir === undefined ? `The database of zone ${to} does not answer.` : `The database of zone ${to} answers.`,
  };
  if (apiReady.has(to)) {
    const isReady = apiReady.get(to) === true;
    yield {
      check: `heir-${to}-is-ready`,
      isPassed: isReady,
      detail: isReady
        ? `The API of zone ${to} is ready.`
        : `The API of zone ${to} is not ready: its /health/ready says what it waits for.`,
    };
  }
  if (owner === undefined || heir === undefined) return;
  const isMember = owner.waitsFor.includes(to);
  yield {
    check: `heir-${to}-is-in-sync-with-${from}`,
    isPassed: isMember,
    detail: isMember
      ? `Zone ${from} waits for zone ${to} with every write.`
      : `Zone ${from} does not wait for zone ${to}, which may lack writes: wait until it has caught up.`,
  };
  const behindBytes = owner.behindBytes[to];
  const hasCaughtUp = behindBytes !== undefined && behindBytes <= CAUGHT_UP_BYTES;
  yield {
    check: `heir-${to}-has-caught-up-with-${from}`,
    isPassed: hasCaughtUp,
    detail:
      behindBytes === undefined
        ? `Zone ${to} does not take in the changes of zone ${from}.`
        : `Zone ${to} is ${behindBytes} bytes behind zone ${from}; at most ${CAUGHT_UP_BYTES} are allowed.`,
  };
  const strangers = heir.waitsFor.filter((zone) => zone !== from && !owner.waitsFor.includes(zone));
  yield {
    check: `members-of-${to}-are-members-of-${from}`,
    isPassed: strangers.length === 0,
    detail:
      strangers.length === 0
        ? `Every zone that ${to} waits for has the writes of zone ${from}.`
        : `Zone ${to} waits for ${strangers.join(', ')}, which may lack writes of zone ${from}: wait until they have caught up.`,
  };
  const unsafe = [...heir.unguardedTables, ...heir.closedTables];
  yield {
    check: `tables-of-${to}-are-guarded-and-open`,
    isPassed: unsafe.length === 0,
    detail:
      unsafe.length === 0
        ? `Every table of zone ${to} is guarded and takes writes.`
        : `In zone ${to} these tables are closed or not guarded: ${unsafe.join(', ')}.`,
  };
}
