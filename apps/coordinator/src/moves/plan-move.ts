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

/** The same of a failover, once it has begun. */
const DESIGN_FAILOVER_MS = 200;

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
  /** By zone, the zones in its in-sync record: the ones that have all it acknowledged. */
  readonly members: ReadonlyMap<ZoneId, readonly ZoneId[]>;
  /** Zones whose database answers. */
  readonly answering: readonly ZoneId[];
  /** By zone, those whose API has a known address. */
  readonly apiReady: ReadonlyMap<ZoneId, boolean>;
  /** Orders in process by shard, where counted. */
  readonly inProcessOrders?: ReadonlyMap<ShardNumber, number>;
  /** The last drain of the zone, where that is to be undone. */
  readonly lastDrain?: MoveView;
  /** By zone, the newest sign it has of the zone whose loss is declared: an instant. */
  readonly lastBeats?: ReadonlyMap<ZoneId, string>;
  /** Pauses of the last moves, the newest first, in ms. */
  readonly recentPausesMs: readonly number[];
}

/**
 * @throws Problem `zone-not-found`, `shard-not-found` when the target names what there is not; `shard-unsettled`; `nothing-to-move`
 */
export function planMove(target: MoveTarget, facts: PlanFacts): MovePlan {
  if (target.kind === 'failover') return planFailover(target, facts);
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

const FAILOVER_STEPS = [
  'keep the in-sync record of the zone as it is',
  'stop it: fence its shards when it answers in time, otherwise have it sealed off by every zone that answers',
  'choose the heir: the recorded member with the most of its log',
  'bring the zones that the heir waits for up to what the heir has, or take them out of its record',
  'install the heir at the next epoch, its orders in process being held',
  'tell routers: they send what they held to the heir',
  'release the orders when every live router has reported the new table',
  'when the zone is back: its tail becomes receipts, it heals, and is taken into the records again',
];

/** In place of the choice of the heir, where a loss is declared. */
const DECLARED_STEPS = [
  'choose the heir: a recorded member that answers if there is one, else the zone with the most of its log',
  'hold every order in process there until somebody has looked at it: borough orders held',
];

/** What is known beforehand; who has what shows only when the zone has been stopped. */
function planFailover(target: Extract<MoveTarget, { kind: 'failover' }>, facts: PlanFacts): MovePlan {
  const { zone, declareLost } = target;
  const shards = wantedShards(target, facts);
  if (shards.length === 0) throw new Problem('nothing-to-move', { detail: `Zone ${zone} owns no shard.` });
  const checks = [...failoverChecks(zone, declareLost === true, facts)];
  const steps =
    declareLost === true
      ? FAILOVER_STEPS.flatMap((step, at) =>
          at === 2 ? DECLARED_STEPS : step.startsWith('release the orders') ? [] : [step],
        )
      : [...FAILOVER_STEPS];
  return {
    shards,
    steps: [...(declareLost === true ? mayBeLost(zone, facts) : []), ...steps],
    checks,
    isBlocked: checks.some(({ isPassed }) => !isPassed),
    expectedPauseMs: facts.recentPausesMs[0] ?? DESIGN_FAILOVER_MS,
  };
}

function* failoverChecks(zone: ZoneId, isDeclared: boolean, facts: PlanFacts): Generator<MoveCheck> {
  const needed = majority(facts.zones.length);
  const others = facts.answering.filter((other) => other !== zone);
  yield {
    check: 'majority-of-voters',
    isPassed: facts.answering.length >= needed,
    detail: `${facts.answering.length} of ${facts.zones.length} voters answer, ${needed} are needed.`,
  };
  yield {
    check: 'another-zone-answers',
    isPassed: others.length > 0,
    detail: others.length > 0 ? `Zones that answer: ${others.join(', ')}.` : 'No other zone answers.',
  };
  const members = facts.members.get(zone);
  if (members === undefined) return;
  const good = members.filter((member) => others.includes(member));
  const recorded = members.length === 0 ? 'nobody: it was solo' : members.join(', ');
  yield {
    check: 'recorded-member',
    isPassed: good.length > 0 || isDeclared,
    detail:
      good.length > 0
        ? `These have all that zone ${zone} acknowledged, and answer: ${good.join(', ')}.`
        : `Zone ${zone} waited for ${recorded}. No such zone answers, so what it acknowledged last may be nowhere else. ` +
          (isDeclared
            ? 'That loss is declared.'
            : `Bring one of them back, or accept the loss: borough zone failover ${zone} --declare-lost`),
  };
}

/** What somebody who declares a loss must have read. */
function mayBeLost(zone: ZoneId, { members, answering, lastBeats }: PlanFacts): string[] {
  const recorded = (members.get(zone) ?? []).filter((member) => member !== zone && answering.includes(member));
  if (recorded.length > 0)
    return [`nothing is lost: zone ${recorded.join(', ')} has all that zone ${zone} acknowledged`];
  const beats = [...(lastBeats ?? [])].filter(([other]) => other !== zone).sort(([, a], [, b]) => (a < b ? 1 : -1));
  const [newest] = beats;
  return [
    newest === undefined
      ? `MAY BE LOST: everything zone ${zone} acknowledged that the other zones have not; none of them can say how much`
      : `MAY BE LOST: what zone ${zone} acknowledged after ${newest[1]}, which is how far zone ${newest[0]} has come with its changes`,
    `if the disk of zone ${zone} comes back, what was lost is found there as receipts: borough receipts list`,
  ];
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
    case 'failover':
      return ownedOrChosen(target.zone, facts).map((owner) => ({
        ...plannedFor(owner.shard, failoverHeir(target.zone, facts), facts),
        from: target.zone,
        epoch: owner.epoch,
      }));
    case 'undrain':
      return drainedFrom(facts).map((shard) => planned(shard, target.zone, facts));
  }
}

function zonesOf(target: MoveTarget): ZoneId[] {
  if (target.kind === 'shards') return [target.to];
  if (target.kind !== 'drain' || target.to === undefined) return [target.zone];
  return [target.zone, target.to];
}

/** Only a guess for the plan: who has the most of its log shows when it has been sealed off. */
function failoverHeir(zone: ZoneId, { zones, answering }: PlanFacts): ZoneId {
  const others = zones.filter((other) => other !== zone);
  return others.find((other) => answering.includes(other)) ?? others[0] ?? zone;
}

/**
 * What the zone owns; and what a handover had chosen it for that it does not serve yet, in case its database died in
 * between: nobody else may serve that shard.
 */
function ownedOrChosen(zone: ZoneId, { ownership }: PlanFacts): { shard: ShardNumber; epoch: number }[] {
  return ownership.flatMap(({ shard, adopted }) => {
    if (adopted.kind === 'settled') return adopted.entry.owner === zone ? [{ shard, epoch: adopted.entry.epoch }] : [];
    return adopted.kind === 'half-installed' && adopted.row.owner === zone ? [{ shard, epoch: adopted.row.epoch }] : [];
  });
}

function plannedFor(
  shard: ShardNumber,
  to: ZoneId,
  { areas, inProcessOrders }: PlanFacts,
): Omit<PlannedShard, 'from' | 'epoch'> {
  const area = areas.find((candidate) => candidate.shard === shard)?.name;
  return {
    shard,
    ...(area === undefined ? {} : { area }),
    to,
    ...(inProcessOrders === undefined ? {} : { inProcessOrders: inProcessOrders.get(shard) ?? 0 }),
  };
}

function planned(shard: ShardNumber, to: ZoneId, facts: PlanFacts): PlannedShard {
  const { ownership } = facts;
  const found = ownership.find((candidate) => candidate.shard === shard);
  if (found === undefined) throw new Problem('shard-not-found', { detail: `There is no shard ${shard}.` });
  if (found.adopted.kind !== 'settled') {
    throw new Problem('shard-unsettled', {
      detail: `What the voters say of the owner of shard ${shard} is not settled; it is in a moment.`,
      retryAfterSeconds: 1,
    });
  }
  const { owner, epoch } = found.adopted.entry;
  return { ...plannedFor(shard, to, facts), from: owner, epoch };
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
  if (target.kind === 'failover') return `Zone ${target.zone} owns no shard.`;
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

function* heirChecks(from: ZoneId, to: ZoneId, { zoneFacts, apiReady, members }: PlanFacts): Generator<MoveCheck> {
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
  const ofOwner = members.get(from) ?? [];
  const isMember = ofOwner.includes(to);
  yield {
    check: `heir-${to}-is-in-sync-with-${from}`,
    isPassed: isMember,
    detail: isMember
      ? `Zone ${from} waits for zone ${to} with every write.`
      : `Zone ${from} does not wait for zone ${to}, which may lack writes: wait until it is in its in-sync record.`,
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
  const strangers = (members.get(to) ?? []).filter((zone) => zone !== from && !ofOwner.includes(zone));
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
