/**
 * A failover (design.md section 6; SPEC.md M6): everything a zone owns goes to another one, whether or not it answers.
 *
 *     record ─► freeze its record ─► stop it ─► heir ─► its record: frozen, without the lost one, everybody in it healed
 *                                     │   │                                          │
 *                     fenced, if it   │   └── sealed off by every zone that answers  ▼
 *                     answers in time ┘                     each shard: accept ─► serve, orders held ─► publish
 *
 *     … routers have reported ─► holds released ─► heir's record thawed ─► ended; the lost zone's own stays frozen until it
 *     has rejoined (rejoin.ts)
 *
 * Once begun it only goes forward: whoever leads next takes it up and asks the voters how far each shard is. No `moving`
 * is published: who the heir is shows only after the seal, and routers hold what they cannot deliver anyway.
 */
import { type MoveShard, type MoveView } from '@borough/contracts';
import { type Logger, Problem } from '@borough/server-kit';
import {
  chooseHeir,
  type InSyncRecord,
  type SealedZone,
  type ShardNumber,
  type Term,
  type ZoneId,
} from '@borough/topology';
import { type Applied } from '../voters/voter.js';
import { type Voters } from '../voters/voters.js';
import {
  fence,
  freezeRecords,
  type HandoverParts,
  isOver,
  reasonOf,
  ROUTERS_WITHIN_MS,
  type RunningMove,
  shardByShard,
  sinceMs,
  thawRecords,
} from './handover.js';
import { ended, withProblem, withShard } from './move-record.js';

/** How long an owner may take to let itself be fenced before it is sealed off, in ms. */
const FENCE_WITHIN_MS = 300;
/** How long the heir and the others may take to apply what a fenced owner still has to send, in ms. */
const APPLY_WITHIN_MS = 400;
/** How long a zone may take to seal the owner off, in ms: one that is slower has no say in who is the heir. */
const SEAL_WITHIN_MS = 900;
const WORKERS_GONE_WITHIN_MS = 500;
/** How long a zone that lacks some of the heir's rows may take to be healed before it leaves the heir's record, in ms. */
const HEAL_WITHIN_MS = 250;
/** Rows changed so long before the last beat that came are looked at when healing, in ms: requests are held for a while. */
const HEAL_OVERLAP_MS = 10_000;
const SHARDS_AT_ONCE = 4;

export interface FailoverParts extends HandoverParts {
  /** Whether the database of a zone answered this coordinator a moment ago. */
  readonly answers: (zone: ZoneId) => boolean;
  /** Whether the API of a zone said a moment ago that it is ready; true where that is not known. */
  readonly isReady: (zone: ZoneId) => boolean;
  /** Ends the handovers that have to do with a zone that is lost; they leave what they had begun to the failover. */
  readonly overtake: (zone: ZoneId) => Promise<void>;
}

/**
 * Carries a recorded failover out, or takes it up where another coordinator left it.
 *
 * @returns the record as it ended, stored on a majority
 * @throws Problem `stale-term`, `no-majority`, `zone-unavailable`, `no-recorded-member`: to be taken up again
 */
export async function failOver(parts: FailoverParts, term: Term, move: RunningMove): Promise<MoveView> {
  const { voters, crashes, logger } = parts;
  const from = zoneLeft(move.view);
  const { moveId } = move.view;
  const begunAt = performance.now();
  crashes.at('failover-recorded');
  const records = await freezeRecords(voters, [from], moveId);
  crashes.at('failover-frozen');
  await parts.overtake(from);
  const record = records.get(from);
  if (record === undefined) throw new Error(`zone ${from} has no in-sync record`);

  await finishBegun(parts, term, move);
  const open = openShards(move.view);
  if (open.length > 0) {
    const hasBegun = move.view.shards.some((shard) => shard.sealedOff === true || shard.state === 'moved');
    const isHopeless = !isDeclared(move.view) && !record.members.some((zone) => parts.answers(zone));
    if (!hasBegun && isHopeless) return giveUp(parts, term, move, record);
    const stop = await stopOwner(parts, term, move, record, open);
    const heir = stop.heir;
    logger.info({ moveId, zone: from, heir, by: stop.by, ms: sinceMs(begunAt) }, 'the old owner is stopped');
    if (stop.by === 'seal') {
      // From here on the old owner can acknowledge nothing: a recorded member has been seen to take in nothing more.
      const fencedAt = new Date().toISOString();
      for (const { shard } of open) note(move, shard, { state: 'sealed', sealedOff: true, to: heir, fencedAt });
      await voters.putMove(term, move.view);
    } else for (const { shard } of open) note(move, shard, { to: heir });
    crashes.at('failover-sealed');
    await prepareHeir(parts, term, move, from, heir, stop.sealed);
    crashes.at('failover-prepared');
    await shardByShard(open, (shard) => install(parts, term, move, shard, heir, begunAt), SHARDS_AT_ONCE);
    crashes.at('failover-served');
  }
  const lateRouters = await parts.routers.late(parts.tableVersion(), ROUTERS_WITHIN_MS);
  await release(voters, term, move.view);
  crashes.at('failover-released');
  await thawRecords(voters, zonesToThaw(move.view), moveId);
  const view = ended(move.view, new Date(), lateRouters);
  await voters.putMove(term, view);
  move.changed(view);
  return view;
}

function zoneLeft({ target }: MoveView): ZoneId {
  if (target.kind !== 'failover') throw new Error('not a failover');
  return target.zone;
}

/** A person accepts that what the zone acknowledged last may be lost. */
function isDeclared({ target }: MoveView): boolean {
  return target.kind === 'failover' && target.declareLost === true;
}

function openShards({ shards }: MoveView): MoveShard[] {
  return shards.filter((shard) => !isOver(shard));
}

function note(move: RunningMove, shard: ShardNumber, change: Partial<MoveShard>): void {
  move.changed(withShard(move.view, shard, change));
}

/** What an earlier coordinator had accepted is finished first; what has a later owner is done. */
async function finishBegun(parts: HandoverParts, term: Term, move: RunningMove): Promise<void> {
  const { voters } = parts;
  const from = zoneLeft(move.view);
  await Promise.all(
    openShards(move.view).map(async ({ shard, epoch, sealedOff }) => {
      const { adopted, copies } = await voters.judgeShard(term, shard);
      if (adopted.kind === 'contradiction') throw new Error(`voters name two owners of shard ${shard} at one epoch`);
      if (adopted.kind === 'no-majority' || adopted.kind === 'none') {
        throw new Problem('no-majority', { retryAfterSeconds: 1 });
      }
      const { row } = adopted;
      if (row.epoch <= epoch) return;
      if (adopted.kind === 'half-installed' && row.owner === from) {
        // A handover had chosen the zone that is lost, or gave the shard back to it: it never served at that epoch.
        note(move, shard, { epoch: row.epoch });
        return;
      }
      if (adopted.kind === 'half-installed') {
        await voters.accept(term, shard, row.epoch, row.owner);
        await serve(voters, term, { shard, epoch: row.epoch, owner: row.owner }, move.view);
        voters.announce([{ shard, epoch: row.epoch, state: 'serving', owner: row.owner }]);
        await tellOthers(
          voters,
          term,
          { shard, epoch: row.epoch, owner: row.owner },
          sealedOff === true ? from : undefined,
        );
      } else await voters.bringUp(term, adopted.entry, copies);
      note(move, shard, {
        state: row.owner === from ? 'kept' : 'moved',
        to: row.owner,
        ...(sealedOff === true ? { sealedOff } : {}),
      });
    }),
  );
}

interface Stopped {
  readonly heir: ZoneId;
  readonly by: 'fence' | 'seal';
  /** Zones that have sealed the owner off, or after a fence have all it wrote. */
  readonly sealed: readonly SealedZone[];
}

/** @throws Problem `no-recorded-member`, `stale-term` */
async function stopOwner(
  parts: FailoverParts,
  term: Term,
  move: RunningMove,
  record: InSyncRecord,
  open: readonly MoveShard[],
): Promise<Stopped> {
  const isSealedAlready = open.some(({ sealedOff }) => sealedOff === true);
  if (!isSealedAlready && parts.answers(record.zone)) {
    const fenced = await fencedInTime(parts, term, move, record, open);
    if (fenced !== undefined) return fenced;
  }
  return sealOff(parts, term, move, record, open);
}

/** As in a handover: it answers, and everybody it waits for has what it wrote. Undefined when it does not within the time. */
async function fencedInTime(
  parts: FailoverParts,
  term: Term,
  move: RunningMove,
  record: InSyncRecord,
  open: readonly MoveShard[],
): Promise<Stopped | undefined> {
  const { voters, logger } = parts;
  const { zone: from, members } = record;
  try {
    const cuts = await before(
      FENCE_WITHIN_MS,
      Promise.all(
        open.map(async (shard) => {
          const cut = await fence(parts, term, move, { ...shard, to: members[0] ?? from });
          note(move, shard.shard, { state: 'fenced', fencedAt: new Date().toISOString() });
          return cut;
        }),
      ),
    );
    const late = await before(
      APPLY_WITHIN_MS + 100,
      voters.at(term, from, async (voter) => {
        const missing = await Promise.all(cuts.map((cut) => voter.waitApplied(members, cut, APPLY_WITHIN_MS)));
        return new Set(missing.flat());
      }),
    );
    const able = members.filter((zone) => !late.has(zone) && parts.isReady(zone));
    const [heir] = able.length > 0 ? able : members.filter((zone) => !late.has(zone));
    // Everybody in the heir's record must have it too; who has not leaves it in `prepareHeir`.
    if (heir === undefined) return undefined;
    return {
      heir,
      by: 'fence',
      sealed: [from, ...members.filter((zone) => !late.has(zone))].map((zone) => ({ zone, appliedTo: 0n })),
    };
  } catch (error) {
    if (error instanceof Problem && error.code === 'stale-term') throw error;
    logger.info({ moveId: move.view.moveId, zone: from, reason: reasonOf(error) }, 'the owner could not be fenced');
    return undefined;
  }
}

async function sealOff(
  parts: FailoverParts,
  term: Term,
  move: RunningMove,
  record: InSyncRecord,
  open: readonly MoveShard[],
): Promise<Stopped> {
  const { voters } = parts;
  const from = record.zone;
  const others = voters.zoneIds.filter((zone) => zone !== from);
  const positions = await sealAt(voters, term, move, from, others, open);
  const sealed = [...positions].map(([zone, { position }]) => ({ zone, appliedTo: BigInt(position ?? 0) }));
  // The names of zones decide between equals, so a zone whose API does not serve is asked last.
  const ready = sealed.filter(({ zone }) => parts.isReady(zone));
  const heir = chooseHeir(record, ready) ?? chooseHeir(record, sealed) ?? heirOfLoss(move.view, record, sealed);
  if (heir === undefined) {
    throw new Problem('no-recorded-member', {
      detail:
        `None of the zones that zone ${from} waited for (${record.members.join(', ') || 'none: it was solo'}) could be ` +
        'reached. Bring one of them back, or declare what only that zone has as lost.',
      retryAfterSeconds: 1,
    });
  }
  return { heir, by: 'seal', sealed };
}

/** Where a loss was declared: whoever has the most of what there was. */
function heirOfLoss(view: MoveView, record: InSyncRecord, sealed: readonly SealedZone[]): ZoneId | undefined {
  if (!isDeclared(view)) return undefined;
  return chooseHeir({ ...record, members: sealed.map(({ zone }) => zone) }, sealed);
}

/** The zones that have sealed it off and have been seen to apply nothing more of it, with how far they had come. */
async function sealAt(
  voters: Voters,
  term: Term,
  move: RunningMove,
  from: ZoneId,
  zones: readonly ZoneId[],
  open: readonly MoveShard[],
): Promise<ReadonlyMap<ZoneId, Applied>> {
  const shards = open.map(({ shard, epoch }) => ({ shard, epoch }));
  return voters.atEach(term, zones, (voter) =>
    before(
      SEAL_WITHIN_MS,
      (async () => {
        await voter.seal(term, from, move.view.moveId, shards);
        if (!(await voter.endApplyWorkers(term, from, WORKERS_GONE_WITHIN_MS))) {
          throw new Error(`an apply worker of zone ${voter.zoneId} does not end`);
        }
        return voter.appliedFrom(from);
      })(),
    ),
  );
}

/**
 * The heir waits only for zones that have sealed the old owner off too and hold all rows the heir has of it: what the old
 * owner had sent to one and not to the other is copied first (T5), or that zone leaves the record.
 */
async function prepareHeir(
  { voters, logger }: HandoverParts,
  term: Term,
  move: RunningMove,
  from: ZoneId,
  heir: ZoneId,
  sealed: readonly SealedZone[],
): Promise<void> {
  const { moveId } = move.view;
  const by = moveId;
  const { record } = await voters.changeRecord(heir, { kind: 'freeze', by });
  const most = sealed.find(({ zone }) => zone === heir)?.appliedTo ?? 0n;
  for (const member of record.members) {
    const found = sealed.find(({ zone }) => zone === member);
    // One that holds more than the heir would have to lose it first, and that is done in its own time (test/model).
    const isGood =
      found !== undefined &&
      (found.appliedTo === most ||
        (found.appliedTo < most && (await healed(voters, term, move, from, heir, member, logger))));
    if (isGood) continue;
    const { record: left } = await voters.changeRecord(heir, { kind: 'drop', member, by });
    if (left.members.includes(member))
      throw new Problem('no-majority', { detail: `Zone ${heir} could not drop zone ${member}.` });
    logger.info({ moveId, heir, dropped: member }, 'left the record of the heir');
  }
}

/** Whether a zone has been brought up to all rows the heir has of the old owner's shards. */
async function healed(
  voters: Voters,
  term: Term,
  move: RunningMove,
  from: ZoneId,
  heir: ZoneId,
  member: ZoneId,
  logger: Logger,
): Promise<boolean> {
  const shards = move.view.shards.filter((shard) => shard.from === from).map(({ shard }) => shard);
  const begunAt = performance.now();
  try {
    const rows = await before(
      HEAL_WITHIN_MS,
      (async () => {
        const { lastBeatAt } = await voters.at(term, member, (voter) => voter.appliedFrom(from));
        if (lastBeatAt === undefined) throw new Error(`zone ${member} has never heard of zone ${from}`);
        const since = new Date(Date.parse(lastBeatAt) - HEAL_OVERLAP_MS);
        const known = await voters.at(term, member, (voter) => voter.recentDigests(shards, since));
        const recent = await voters.at(term, heir, (voter) => voter.exportRecent(shards, since, known));
        return voters.at(term, member, (voter) => voter.importHealed(term, recent));
      })(),
    );
    logger.info({ zone: member, from: heir, rows, ms: sinceMs(begunAt) }, 'healed from the heir');
    return true;
  } catch (error) {
    if (error instanceof Problem && error.code === 'stale-term') throw error;
    logger.warn({ zone: member, from: heir, reason: reasonOf(error) }, 'could not be healed from the heir in time');
    return false;
  }
}

async function install(
  { voters, crashes }: HandoverParts,
  term: Term,
  move: RunningMove,
  { shard, epoch, from }: MoveShard,
  heir: ZoneId,
  pausedSince: number,
): Promise<void> {
  const next = { shard, epoch: epoch + 1, owner: heir };
  await voters.accept(term, shard, next.epoch, heir);
  crashes.at('failover-accepted');
  const servedAt = new Date().toISOString();
  await serve(voters, term, next, move.view);
  voters.announce([{ ...next, state: 'serving' }]);
  note(move, shard, { state: 'moved', servedAt, pauseMs: sinceMs(pausedSince) });
  const isSealed = move.view.shards.find((entry) => entry.shard === shard)?.sealedOff === true;
  await tellOthers(voters, term, next, isSealed ? from : undefined);
}

/** Whoever is away is told by `settle`, and the old owner, where it was sealed off, in its rejoin. */
async function tellOthers(
  voters: Voters,
  term: Term,
  { shard, epoch, owner }: { shard: ShardNumber; epoch: number; owner: ZoneId },
  sealedOff: ZoneId | undefined,
): Promise<void> {
  const others = voters.zoneIds.filter((zone) => zone !== owner && zone !== sealedOff);
  await voters.atEach(term, others, async (voter) => {
    await voter.accept(term, shard, epoch, owner);
    await voter.serve(term, shard, epoch, owner);
  });
}

/** At the heir, with a hold on the orders in process. */
async function serve(
  voters: Voters,
  term: Term,
  next: { shard: ShardNumber; epoch: number; owner: ZoneId },
  view: MoveView,
): Promise<void> {
  const reason = isDeclared(view) ? 'declared-loss' : 'failover';
  await voters.at(term, next.owner, (voter) => voter.serveHeld(term, next, view.moveId, reason));
}

/** Of whoever owns the shards now: an heir that was left in the meantime has handed its holds on, as rows. */
async function release(voters: Voters, term: Term, { shards, moveId }: MoveView): Promise<void> {
  const heirs = [...new Set(shards.filter(({ state }) => state === 'moved').map(({ to }) => to))];
  for (const heir of heirs) {
    const released = await voters.atEach(term, [heir], (voter) => voter.releaseHolds(term, moveId));
    const left = released.get(heir);
    if (left === undefined) throw new Problem('zone-unavailable', { detail: `Zone ${heir} could not release holds.` });
    // Moved on in the meantime: each zone releases what it owns.
    if (left > 0) {
      await voters.atEach(
        term,
        voters.zoneIds.filter((zone) => zone !== heir),
        (voter) => voter.releaseHolds(term, moveId),
      );
    }
  }
}

/** The old owner's record stays frozen while it is sealed off (T25). */
function zonesToThaw({ shards }: MoveView): ZoneId[] {
  const zones = new Set(shards.map(({ to }) => to));
  for (const { from, sealedOff } of shards) if (sealedOff !== true) zones.add(from);
  for (const { from, sealedOff } of shards) if (sealedOff === true) zones.delete(from);
  return [...zones].sort();
}

/** Nothing has begun, and nobody could be the heir: nothing is changed. */
async function giveUp(
  parts: FailoverParts,
  term: Term,
  move: RunningMove,
  { zone, members }: InSyncRecord,
): Promise<MoveView> {
  const problem =
    members.length === 0
      ? `zone ${zone} was solo: what it acknowledged last may be nowhere else`
      : `none of the zones that zone ${zone} waited for answers: ${members.join(', ')}`;
  await thawRecords(parts.voters, [zoneLeft(move.view)], move.view.moveId);
  for (const { shard } of openShards(move.view)) note(move, shard, { state: 'kept' });
  const view = ended(withProblem(move.view, problem), new Date(), []);
  await parts.voters.putMove(term, view);
  move.changed(view);
  return view;
}

/** @throws Error when it is not there within the time; what was asked for may still come about */
async function before<Result>(withinMs: number, work: Promise<Result>): Promise<Result> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => {
      reject(new Error(`not within ${withinMs} ms`));
    }, withinMs);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
    work.catch(() => undefined);
  }
}
