/**
 * What the two coordinators do: lead, carry a move out or take it up, and bring a sealed-off zone back. Each call to a
 * voter is a step of its own, so a coordinator may stop for good, or for long, between any two.
 *
 *     leading ─► freezing ─► judging ─► intending ─► stopping ─► applying ─────────────► accepting ─► telling ─► ending
 *                               ▲                       └──► sealing ─► preparing ──────►─┘
 *                               └── whoever takes over begins here, and asks `nextHandoverStep`
 */
import {
  adoptedOwnership,
  handoverBlockers,
  laggingVoters,
  mayServe,
  nextHandoverStep,
  zonesToApplyTheCut,
  type AdoptedOwnership,
  type OwnershipRow,
  type VoterCopy,
} from '@borough/topology';
import { type Emit } from '../checker/model.js';
import { changeByMove } from './agent-steps.js';
import {
  callEach,
  callOne,
  holdsMajority,
  isLeading,
  MAJORITY,
  put,
  STANDBY,
  stepDown,
  told,
  tellCall,
  type Options,
} from './calls.js';
import { prepare, seal } from './failover-steps.js';
import { rejoin } from './rejoin-steps.js';
import { answerCall, endBackends, hasPromisedMore, ownershipRow, type Answer } from './voter.js';
import {
  ALL,
  at,
  bit,
  coordinatorName,
  coordinatorOf,
  countOf,
  draftOf,
  maskOf,
  moveName,
  nameOf,
  reachable,
  recordOf,
  SHARD,
  spend,
  termOf,
  type ControlCall,
  type Draft,
  type World,
  ZONES,
  zoneIn,
  zoneNamed,
  zoneOf,
  zonesOf,
} from './world.js';

const MAJORITIES = [0b011, 0b101, 0b110, 0b111];

/** Whom a coordinator asks: any majority. One that is alone asks everyone it reaches; there nobody's answer can differ. */
function quorumsOf(world: World): readonly number[] {
  return world.coordinators.length > 1 ? MAJORITIES : MAJORITIES.filter((quorum) => quorum === reachable(world));
}
export function coordinatorSteps(world: World, options: Options, emit: Emit<World>): void {
  lateCallArrives(world, options, emit);
  for (let self = 0; self < world.coordinators.length; self++) {
    const { stage } = coordinatorOf(world, self);
    switch (stage) {
      case 'standby':
        break;
      case 'leading':
        leading(world, self, options, emit);
        break;
      case 'freezing':
        freezing(world, self, options, emit);
        break;
      case 'judging':
        judging(world, self, options, emit);
        break;
      case 'intending':
        intending(world, self, options, emit);
        break;
      case 'stopping':
        stopping(world, self, options, emit);
        break;
      case 'applying':
        applying(world, self, options, emit);
        break;
      case 'sealing':
        seal(world, self, options, emit);
        break;
      case 'preparing':
        prepare(world, self, options, emit);
        break;
      case 'accepting':
        accepting(world, self, options, emit);
        break;
      case 'telling':
        telling(world, self, options, emit);
        break;
      case 'ending':
        ending(world, self, options, emit);
        break;
    }
  }
  for (let self = 0; self < world.coordinators.length; self++) lead(world, self, options, emit);
}

/** A new term, promised by some majority. Once faults have ended, only when nobody leads. */
function lead(world: World, self: number, { isRecovering }: Options, emit: Emit<World>): void {
  if (isRecovering ? world.coordinators.some((_, other) => isLeading(world, other)) : world.budget.leads === 0) return;
  for (const quorum of quorumsOf(world)) {
    if ((reachable(world) & quorum) !== quorum) continue;
    const number = 1 + Math.max(...zonesOf(quorum).map((zone) => zoneOf(world, zone).promised >> 1));
    const term = number * 2 + self;
    const draft = draftOf(world);
    for (const zone of zonesOf(quorum)) zoneIn(draft, zone).promised = term;
    put(draft, self, { ...STANDBY, term, stage: world.move.isRunning ? 'freezing' : 'leading' });
    if (!isRecovering) spend(draft, 'leads');
    emit(
      draft,
      'step',
      () => `coordinator ${coordinatorName(self)} leads under term ${number}, promised by ${told(quorum)}`,
    );
  }
}

function lateCallArrives(world: World, { rules }: Options, emit: Emit<World>): void {
  if (world.late === undefined) return;
  const { voter, call } = world.late;
  if ((reachable(world) & bit(voter)) === 0) return;
  const draft = draftOf(world);
  draft.late = undefined;
  const answer = answerCall(voter, zoneIn(draft, voter), call, rules);
  emit(draft, 'step', () => `late, at ${nameOf(voter)}: ${tellCall(call)}: ${answer}`);
}

/** What a choice of voters says, each of which has promised the term; undefined when one of them refuses. */
function read(
  world: World,
  self: number,
  quorum: number,
  { rules }: Options,
): { copies: VoterCopy[]; promise: (draft: Draft) => void } | undefined {
  const { term } = coordinatorOf(world, self);
  if ((reachable(world) & quorum) !== quorum) return undefined;
  const isPromise = rules['read-after-promise'];
  if (isPromise && rules['terms-refuse'] && zonesOf(quorum).some((zone) => hasPromisedMore(zoneOf(world, zone), term)))
    return undefined;
  return {
    copies: zonesOf(quorum).map((zone) => ({ voter: nameOf(zone), row: ownershipRow(zoneOf(world, zone).copy) })),
    promise: (draft) => {
      if (!isPromise) return;
      for (const zone of zonesOf(quorum)) if (zoneOf(draft, zone).promised < term) zoneIn(draft, zone).promised = term;
    },
  };
}

function leading(world: World, self: number, options: Options, emit: Emit<World>): void {
  const { move, planned, rejoining } = world;
  if (move.isRunning) {
    const draft = draftOf(world);
    put(draft, self, { stage: 'freezing' });
    emit(draft, 'step', () => `${coordinatorName(self)} takes up move ${move.id}`);
    return;
  }
  const wanted = options.plan[planned];
  for (const quorum of quorumsOf(world)) {
    const reading = read(world, self, quorum, options);
    if (reading === undefined) continue;
    const adopted = adoptedOwnership(reading.copies, ZONES.length);
    if (adopted.kind === 'contradiction') contradiction(world, emit);
    if (adopted.kind === 'half-installed') finishInstall(world, self, adopted.row, reading.copies, emit);
    if (adopted.kind !== 'settled' || adopted.entry.state !== 'serving') continue;
    const owner = zoneNamed(adopted.entry.owner);
    bringUp(world, self, adopted, reading.copies, options, emit);
    if (wanted !== undefined && !options.isRecovering) {
      const heirs = wanted.to === undefined ? ZONES.filter((zone) => zone !== owner) : [wanted.to];
      for (const to of heirs) {
        if (to === owner || (wanted.kind === 'failover' && rejoining >= 0)) continue;
        const draft = draftOf(world);
        reading.promise(draft);
        draft.move = {
          id: planned + 1,
          kind: wanted.kind,
          from: owner,
          to,
          epoch: adopted.entry.epoch,
          isRunning: true,
        };
        draft.planned = planned + 1;
        put(draft, self, { stage: 'freezing' });
        emit(
          draft,
          'step',
          () =>
            `${coordinatorName(self)} records a ${wanted.kind} of epoch ${adopted.entry.epoch} from ${nameOf(owner)} to ${nameOf(to)}`,
        );
      }
    }
    if (rejoining >= 0 && quorum === (reachable(world) & ALL)) rejoin(world, self, adopted.entry, options, emit);
  }
}

/** What no move is carrying out any more is finished all the same: it may have been chosen. */
function finishInstall(world: World, self: number, row: OwnershipRow, copies: VoterCopy[], emit: Emit<World>): void {
  const owner = zoneNamed(row.owner);
  const draft = draftOf(world);
  put(draft, self, {
    stage: 'accepting',
    owner,
    epoch: row.epoch,
    done: 0,
    ...cutAndZone(cutOf(world, copies, row.epoch, owner)),
  });
  emit(
    draft,
    'step',
    () => `${coordinatorName(self)} finds epoch ${row.epoch} of ${row.owner} accepted, and finishes it`,
  );
}

function contradiction(world: World, emit: Emit<World>): void {
  const draft = draftOf(world);
  draft.breach = 'two writers: voters name two owners of one epoch';
  emit(draft, 'step', () => 'a coordinator reads two owners of one epoch');
}

/** Voters that lag behind what is settled are told. */
function bringUp(
  world: World,
  self: number,
  adopted: AdoptedOwnership,
  copies: VoterCopy[],
  options: Options,
  emit: Emit<World>,
): void {
  if (adopted.kind !== 'settled') return;
  const { entry } = adopted;
  const owner = zoneNamed(entry.owner);
  const { term } = coordinatorOf(world, self);
  const { cutZone, cutAt } = cutOf(world, copies, entry.epoch, owner);
  const lagging = laggingVoters(entry, copies)
    .map(zoneNamed)
    .filter((zone) => zone !== world.rejoining);
  const call: ControlCall = { kind: 'tell', term, epoch: entry.epoch, owner, cutZone, cutAt };
  callEach(
    world,
    self,
    maskOfZones(lagging),
    () => call,
    options,
    () => undefined,
    emit,
  );
}

/** The cut that was stored with an accepted epoch. */
function cutOf(
  world: World,
  copies: readonly VoterCopy[],
  epoch: number,
  owner: number,
): { cutZone: number; cutAt: number } {
  for (const { voter } of copies) {
    const { copy } = zoneOf(world, zoneNamed(voter));
    if (copy.epoch === epoch && copy.owner === owner && (copy.state === 'accepted' || copy.state === 'serving'))
      return copy;
  }
  return { cutZone: -1, cutAt: 0 };
}

/** Keeps both records as they are, and asks again what the move was planned from. */
function freezing(world: World, self: number, options: Options, emit: Emit<World>): void {
  if (!holdsMajority(world, self, options)) {
    stepDown(world, self, emit);
    return;
  }
  const { rules } = options;
  const { from, to, id, kind } = world.move;
  const draft = draftOf(world);
  const moveId = moveName(id);
  if (rules['freeze-the-owner']) changeByMove(draft, from, { kind: 'freeze', by: moveId });
  if (rules['freeze-the-heir']) changeByMove(draft, to, { kind: 'freeze', by: moveId });
  const frozen = (zone: number) => ({
    members: recordOf(draft, zone).members,
    frozenBy: rules['freeze-the-owner'] && rules['freeze-the-heir'] ? recordOf(draft, zone).frozenBy : [moveId],
  });
  const blockers = handoverBlockers({
    from: nameOf(from),
    to: nameOf(to),
    moveId,
    ownerRecord: frozen(from),
    heirRecord: frozen(to),
    sealedOff: ZONES.filter((zone) => world.zones.some(({ sealed }) => (sealed & bit(zone)) !== 0)).map(nameOf),
    orphanMoves: [],
    runningMoves: [],
  });
  const counted = blockers.filter(
    ({ check }) => rules[check === 'neither-is-sealed-off' ? 'check-seals' : 'check-membership'],
  );
  const isBlocked = counted.length > 0;
  const needed = maskOf(zonesToApplyTheCut(nameOf(from), nameOf(to), recordOf(draft, to)));
  const heirOnly = rules['wait-for-members'] ? needed : needed & bit(to);
  put(draft, self, {
    stage: 'judging',
    isBack: isBlocked,
    needed: rules['wait-for-the-heir'] ? heirOnly : heirOnly & ~bit(to),
  });
  const verdict = isBlocked ? `; it is blocked: ${counted.map(({ check }) => check).join(', ')}` : '';
  emit(draft, 'step', () => `${coordinatorName(self)} freezes the records for the ${kind}, and checks${verdict}`);
}

function judging(world: World, self: number, options: Options, emit: Emit<World>): void {
  const { move } = world;
  if (!move.isRunning) {
    // What was finished belonged to a move that has ended.
    const draft = draftOf(world);
    put(draft, self, { ...STANDBY, term: coordinatorOf(world, self).term, stage: 'leading' });
    emit(draft, 'step', () => `${coordinatorName(self)} has no move to carry on`);
    return;
  }
  const { isBack } = coordinatorOf(world, self);
  const shard = {
    shard: SHARD,
    from: nameOf(move.from),
    to: nameOf(move.to),
    epoch: move.epoch,
    moveId: moveName(move.id),
  };
  let isAnswered = false;
  for (const quorum of quorumsOf(world)) {
    const reading = read(world, self, quorum, options);
    if (reading === undefined) continue;
    isAnswered = true;
    const adopted = adoptedOwnership(reading.copies, ZONES.length);
    const step = nextHandoverStep(shard, adopted, isBack ? 'back' : 'forward');
    const draft = draftOf(world);
    reading.promise(draft);
    switch (step.kind) {
      case 'wait':
        continue;
      case 'contradiction':
        contradiction(world, emit);
        continue;
      case 'intend':
        put(draft, self, {
          stage: options.rules['intent-first'] ? 'intending' : 'stopping',
          owner: move.to,
          epoch: move.epoch + 1,
          done: 0,
        });
        break;
      case 'transfer':
        if (move.kind === 'failover' && !options.rules['undo-is-a-new-epoch']) undoInPlace(world, self, emit);
        put(draft, self, { stage: 'stopping', owner: zoneNamed(step.owner), epoch: step.epoch, done: 0 });
        break;
      case 'finish': {
        const owner = zoneNamed(step.owner);
        if (options.rules['adopt-the-accepted'])
          put(draft, self, {
            stage: 'accepting',
            owner,
            epoch: step.epoch,
            done: 0,
            ...cutAndZone(cutOf(world, reading.copies, step.epoch, owner)),
          });
        else put(draft, self, { stage: 'stopping', isBack: true, owner: move.from, epoch: move.epoch + 1, done: 0 });
        break;
      }
      case 'ended': {
        if (adopted.kind !== 'settled') continue;
        bringUp(world, self, adopted, reading.copies, options, emit);
        const owner = zoneNamed(adopted.entry.owner);
        const cut = cutAndZone(cutOf(world, reading.copies, step.epoch, owner));
        put(draft, self, {
          stage: step.as === 'kept' ? 'ending' : 'telling',
          owner,
          epoch: step.epoch,
          done: 0,
          ...cut,
        });
        break;
      }
    }
    emit(
      draft,
      'step',
      () =>
        `${coordinatorName(self)} asks ${told(quorum)} how far the move is: ${step.kind}${'owner' in step ? ` to ${step.owner} at epoch ${step.epoch}` : ''}`,
    );
  }
  if (!isAnswered) stepDown(world, self, emit);
}

/** An earlier draft: no accepted value was seen, so the seals and the freeze are taken away, and all is as before. */
function undoInPlace(world: World, self: number, emit: Emit<World>): void {
  const draft = draftOf(world);
  put(draft, self, { stage: 'ending', owner: world.move.from, epoch: world.move.epoch, done: 0 });
  emit(draft, 'step', () => `${coordinatorName(self)} sees no accepted value, and undoes the failover`);
}

const cutAndZone = ({ cutZone, cutAt }: { cutZone: number; cutAt: number }) => ({ cutZone, cutAt });

function intending(world: World, self: number, options: Options, emit: Emit<World>): void {
  const { move } = world;
  const { term, done } = coordinatorOf(world, self);
  const call: ControlCall = { kind: 'intend', term, epoch: move.epoch, owner: move.from, heir: move.to, move: move.id };
  callEach(
    world,
    self,
    ALL,
    () => call,
    options,
    (draft, voter, answer) => {
      if (answer !== 'done') put(draft, self, { stage: 'judging', done: 0 });
      else if (countOf(done | bit(voter)) < MAJORITY) put(draft, self, { done: done | bit(voter) });
      else put(draft, self, { stage: 'stopping', done: 0 });
    },
    emit,
  );
}

/** The fence, or, of an owner that does not answer in a failover, the seal. */
function stopping(world: World, self: number, options: Options, emit: Emit<World>): void {
  const { move } = world;
  const { term, isBack } = coordinatorOf(world, self);
  if (move.kind === 'failover') {
    const draft = draftOf(world);
    put(draft, self, { stage: 'sealing', isBack: false, done: 0 });
    emit(draft, 'step', () => `${coordinatorName(self)} gives up on zone ${nameOf(move.from)}, and will seal it off`);
  }
  if (!options.rules['fence-the-owner']) {
    const draft = draftOf(world);
    put(draft, self, {
      stage: isBack ? 'accepting' : 'applying',
      done: 0,
      cutZone: move.from,
      cutAt: zoneOf(world, move.from).log.length,
    });
    emit(draft, 'step', () => `${coordinatorName(self)} goes on without a fence`);
    return;
  }
  const call: ControlCall = { kind: 'fence', term, epoch: move.epoch, owner: move.from, heir: move.to, move: move.id };
  const onAnswer = (draft: Draft, voter: number, answer: Exclude<Answer, 'old-term'>): void => {
    // Writers held it up past its bound: they are ended, never cancelled, and the fence is tried again.
    if (answer === 'locked') endBackends(zoneIn(draft, voter));
    else if (answer === 'refused') put(draft, self, { stage: 'judging', done: 0 });
    else
      put(draft, self, {
        stage: isBack ? 'accepting' : 'applying',
        done: 0,
        cutZone: voter,
        cutAt: zoneOf(draft, voter).copy.cutAt,
      });
  };
  callEach(world, self, bit(move.from), () => call, options, onAnswer, emit);
}

function applying(world: World, self: number, _options: Options, emit: Emit<World>): void {
  const { move } = world;
  const { cutAt, needed } = coordinatorOf(world, self);
  if (zonesOf(needed).every((zone) => at(zoneOf(world, zone).applied, move.from) >= cutAt)) {
    const draft = draftOf(world);
    put(draft, self, { stage: 'accepting', owner: move.to, epoch: move.epoch + 1, done: 0 });
    emit(
      draft,
      'step',
      () => `${coordinatorName(self)} sees the cut applied by ${needed === 0 ? 'nobody it asks' : told(needed)}`,
    );
  }
  const draft = draftOf(world);
  put(draft, self, { stage: 'accepting', isBack: true, owner: move.from, epoch: move.epoch + 1, done: 0 });
  emit(draft, 'step', () => `${coordinatorName(self)} gives the move up and goes back`);
}

function accepting(world: World, self: number, options: Options, emit: Emit<World>): void {
  const { term, owner, epoch, cutZone, cutAt, done } = coordinatorOf(world, self);
  const isSealedOff = cutZone >= 0 && cutAt < 0;
  const copies = zonesOf(done).map((zone): VoterCopy => ({
    voter: nameOf(zone),
    row: { shard: SHARD, epoch, state: 'accepted', owner: nameOf(owner), term: termOf(term) },
  }));
  const isChosen =
    mayServe({ epoch, owner: nameOf(owner), term: termOf(term) }, copies, ZONES.length) ||
    !options.rules['two-phase-install'];
  if (isChosen && (done & bit(owner)) !== 0) {
    callOne(
      world,
      self,
      { kind: 'serve', term, epoch, owner },
      owner,
      options,
      (draft) => {
        put(draft, self, { stage: 'telling', done: bit(owner) });
      },
      emit,
    );
  }
  const call: ControlCall = { kind: 'accept', term, epoch, owner, cutZone, cutAt };
  const voters = isSealedOff ? ALL & ~bit(cutZone) : ALL;
  callEach(
    world,
    self,
    voters,
    () => call,
    options,
    (draft, voter, answer) => {
      put(draft, self, answer === 'done' ? { done: done | bit(voter) } : { stage: 'judging', done: 0 });
    },
    emit,
  );
}

function telling(world: World, self: number, options: Options, emit: Emit<World>): void {
  const { move } = world;
  const { term, owner, epoch, cutZone, cutAt, done } = coordinatorOf(world, self);
  const isSealedOff = cutZone >= 0 && cutAt < 0 && owner !== move.from;
  const mustKnow = isSealedOff ? bit(owner) : bit(move.from);
  if ((done & mustKnow) === mustKnow || mustKnow === bit(owner)) {
    const draft = draftOf(world);
    // An install that was finished for another move does not end this one.
    put(draft, self, { stage: epoch > move.epoch ? 'ending' : 'judging', done: 0 });
    emit(draft, 'step', () => `${coordinatorName(self)} ends the telling`);
  }
  const call: ControlCall = { kind: 'tell', term, epoch, owner, cutZone, cutAt };
  callEach(
    world,
    self,
    isSealedOff ? ALL & ~bit(move.from) : ALL,
    () => call,
    options,
    (draft, voter, answer) => {
      put(draft, self, answer === 'done' ? { done: done | bit(voter) } : { stage: 'judging', done: 0 });
    },
    emit,
  );
}

function ending(world: World, self: number, options: Options, emit: Emit<World>): void {
  const { rules } = options;
  const { move } = world;
  const { term, owner, epoch, cutZone, cutAt } = coordinatorOf(world, self);
  const hasMovedOff =
    owner !== move.from &&
    move.kind === 'failover' &&
    world.zones.some(({ sealed }) => (sealed & bit(move.from)) !== 0);
  const sealing = ZONES.filter((zone) => (zoneOf(world, zone).sealed & bit(move.from)) !== 0);
  if (!hasMovedOff && sealing.length > 0) {
    // Where the new epoch is not known yet a late seal would still be taken.
    const callOf = (voter: number): ControlCall =>
      zoneOf(world, voter).copy.epoch > move.epoch || !rules['undo-is-a-new-epoch']
        ? { kind: 'unseal', term, epoch: move.epoch, owner: move.from }
        : { kind: 'tell', term, epoch, owner, cutZone, cutAt };
    callEach(world, self, maskOfZones(sealing), callOf, options, () => undefined, emit);
    return;
  }
  if (!holdsMajority(world, self, options)) {
    stepDown(world, self, emit);
    return;
  }
  const draft = draftOf(world);
  for (const zone of ZONES) {
    if (zone === move.from && hasMovedOff && rules['thaw-knows-the-epoch']) continue;
    changeByMove(draft, zone, { kind: 'thaw', by: moveName(move.id) });
  }
  draft.move = { ...move, isRunning: false };
  if (hasMovedOff) {
    draft.rejoining = move.from;
    draft.rejoinMove = move.id;
  }
  put(draft, self, { ...STANDBY, term, stage: 'leading' });
  emit(draft, 'step', () => `${coordinatorName(self)} thaws the records and ends the move`);
}

function maskOfZones(zones: readonly number[]): number {
  return zones.reduce((mask, zone) => mask | bit(zone), 0);
}
