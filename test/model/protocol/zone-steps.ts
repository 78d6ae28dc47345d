/**
 * What zones do by themselves: writers that commit and wait, streams between zones, crashes, cuts, healing.
 *
 * PostgreSQL as measured (facts/protocol-traps.md): a commit is in the log before it waits; a waiting commit is released
 * by any one walsender, by the setting that this walsender has loaded; an update of a row that is missing is dropped and
 * confirmed; a unique conflict stops the stream; a killed backend leaves its row committed and visible.
 */
import { judgeHealing, judgeIncoming, type ApplyVerdict, type RowStamp } from '@borough/topology';
import { type Emit } from '../checker/model.js';
import { type Rules } from './rules.js';
import { endBackends, setBackend } from './voter.js';
import {
  areLinked,
  at,
  bit,
  draftOf,
  effectOf,
  epochOf,
  maskOf,
  nameOf,
  NO_WORK,
  recordOf,
  rowOf,
  spend,
  stampOf,
  versionOf,
  withAt,
  type Draft,
  type Entry,
  type Row,
  type World,
  type Zone,
  ZONES,
  zoneIn,
  zoneOf,
} from './world.js';

const MAX_ROW_VERSION = 6;

/** Clients send each write to any zone, and again; a zone that has its key already replays. */
export function writerSteps(world: World, rules: Rules, mayBegin: boolean, emit: Emit<World>): void {
  for (const self of ZONES) {
    const zone = zoneOf(world, self);
    if (!zone.isUp) continue;
    for (let write = 0; write < zone.rows.length; write++) {
      const backend = zone.backends[write];
      if (backend === 'none' && mayBegin && zone.copy.owner === self && zone.copy.state === 'serving') {
        begin(world, rules, self, write, emit);
      } else if (backend === 'begun') {
        emit(
          logged(world, self, write),
          'step',
          () => `zone ${nameOf(self)} commits write ${write} of a writer that had begun`,
        );
      } else if (backend === 'waiting' && isReleased(world, self, write)) {
        emit(acknowledged(world, self, write), 'step', () => `zone ${nameOf(self)} acknowledges write ${write}`);
      }
      if (backend === 'waiting' && mayBegin && world.budget.deaths > 0) {
        const draft = draftOf(world);
        setBackend(zoneIn(draft, self), write, 'none');
        spend(draft, 'deaths');
        emit(
          draft,
          'fault',
          () => `the backend of write ${write} at zone ${nameOf(self)} dies while it waits; its row stays`,
        );
      }
    }
  }
}

function begin(world: World, rules: Rules, self: number, write: number, emit: Emit<World>): void {
  const zone = zoneOf(world, self);
  const held = at(zone.rows, write);
  if (held !== 0) {
    if (!rules['replay-commits'] && world.acknowledged[write] === 0) {
      const draft = draftOf(world);
      acknowledge(draft, self, write, { epoch: zone.copy.epoch, effect: effectOf(held) });
      emit(draft, 'step', () => `zone ${nameOf(self)} answers a retry of write ${write} from its row, at once`);
    }
    if (world.budget.replays === 0 || versionOf(held) >= MAX_ROW_VERSION) return;
  } else if (!rules['fence-under-the-lock']) {
    const draft = draftOf(world);
    setBackend(zoneIn(draft, self), write, 'begun');
    emit(draft, 'step', () => `a writer of write ${write} begins at zone ${nameOf(self)}, which it sees own the shard`);
    return;
  }
  // Between its check and its commit a writer holds the lock, so that nothing it checked can change: one step.
  const draft = logged(world, self, write);
  if (held !== 0) spend(draft, 'replays');
  const what = held === 0 ? `commits write ${write}` : `commits a replay of write ${write}`;
  emit(draft, 'step', () => `zone ${nameOf(self)} ${what} at epoch ${zone.copy.epoch}; it waits for members`);
}

/** The commit is in the log. It waits, unless the zone waits for nobody. */
function logged(world: World, self: number, write: number): Draft {
  const draft = draftOf(world);
  const zone = zoneIn(draft, self);
  const held = at(zone.rows, write);
  // A row carries the epoch of the check; without the lock that may be over by now.
  const epoch = zone.copy.owner === self || held !== 0 ? zone.copy.epoch : zone.copy.epoch - 1;
  const row = held === 0 ? rowOf(epoch, epoch, 1) : rowOf(effectOf(held), epoch, versionOf(held) + 1);
  zone.log = [...zone.log, { write, row, isUpdate: held !== 0 }];
  zone.rows = withAt(zone.rows, write, row);
  setBackend(zone, write, 'waiting');
  if (!zone.doCommitsWait) {
    setBackend(zone, write, 'none');
    acknowledge(draft, self, write, { epoch, effect: effectOf(row) });
  }
  return draft;
}

/**
 * By a walsender whose setting, as it has loaded it, is met: all zones of it have flushed the commit. Answers may be
 * under way for any time, so this asks for no connection.
 */
function isReleased(world: World, self: number, write: number): boolean {
  const { loaded, waitingAt, doCommitsWait } = zoneOf(world, self);
  if (!doCommitsWait) return true;
  const position = at(waitingAt, write);
  return ZONES.some((sender) => {
    const list = at(loaded, sender);
    if ((list & bit(sender)) === 0) return false;
    return ZONES.every((peer) => (list & bit(peer)) === 0 || at(zoneOf(world, peer).applied, self) > position);
  });
}

function acknowledged(world: World, self: number, write: number): Draft {
  const draft = draftOf(world);
  const zone = zoneIn(draft, self);
  const entry = zone.log[at(zone.waitingAt, write)];
  setBackend(zone, write, 'none');
  const position = at(zone.waitingAt, write);
  if (entry !== undefined)
    acknowledge(draft, self, write, { epoch: epochOf(entry.row), effect: effectOf(entry.row), position });
  return draft;
}

/**
 * Tells the client. Promise P2 is checked here: nobody may own a later epoch by now, unless it had taken in this very
 * commit before it sealed this zone off; then the news is only late.
 */
function acknowledge(
  draft: Draft,
  self: number,
  write: number,
  { epoch, effect, position }: { epoch: number; effect: number; position?: number },
): void {
  for (const other of ZONES) {
    const { copy, sealed, lingering, applied } = zoneOf(draft, other);
    if (copy.owner !== other || copy.state === 'accepted' || copy.epoch < epoch || other === self) continue;
    const isSealedOff = (sealed & ~lingering & bit(self)) !== 0;
    if (isSealedOff && copy.epoch > epoch && position !== undefined && at(applied, self) > position) continue;
    draft.breach = `two writers: zone ${nameOf(self)} acknowledges write ${write} at epoch ${epoch}, while zone ${nameOf(other)} owns epoch ${copy.epoch}`;
  }
  const before = at(draft.acknowledged, write);
  if (before !== 0 && before !== effect) {
    draft.breach = `write ${write} was acknowledged twice, with two effects: of epoch ${before}, and of epoch ${effect}`;
  }
  draft.acknowledged = withAt(draft.acknowledged, write, effect);
}

/** One entry goes from the log of one zone into another. */
export function streamSteps(world: World, rules: Rules, emit: Emit<World>): void {
  for (const source of ZONES) {
    for (const target of ZONES) {
      if (source === target || !isStreaming(world, target, source)) continue;
      const position = at(zoneOf(world, target).applied, source);
      const entry = zoneOf(world, source).log[position];
      if (entry === undefined) continue;
      const taken = takenIn(world, target, source, entry, rules);
      if (taken === undefined) continue;
      emit(
        taken.draft,
        'step',
        () => `zone ${nameOf(target)} takes in write ${entry.write} from zone ${nameOf(source)}: ${taken.verdict}`,
      );
    }
  }
}

/** A subscription that is enabled, or disabled while its worker still lives. */
export function isStreaming(world: World, target: number, source: number): boolean {
  const { sealed, lingering } = zoneOf(world, target);
  return areLinked(world, target, source) && (sealed & ~lingering & bit(source)) === 0;
}

/** @returns undefined when the stream stops here: the guard raised, or a unique key is taken */
function takenIn(
  world: World,
  target: number,
  source: number,
  { write, row, isUpdate }: Entry,
  rules: Rules,
): { draft: Draft; verdict: ApplyVerdict | 'dropped' } | undefined {
  const { rows, copy, applied } = zoneOf(world, target);
  const held = at(rows, write);
  const verdict = verdictOn(
    row,
    held,
    isUpdate,
    isBeyondCut(copy.cutZone === source, copy.cutAt, at(applied, source)) || !rules['guard-knows-the-cut'],
    copy.epoch,
    rules,
  );
  if (verdict === 'stopped' || verdict === 'raise') return undefined;
  const draft = draftOf(world);
  const zone = zoneIn(draft, target);
  zone.applied = withAt(zone.applied, source, at(zone.applied, source) + 1);
  if (verdict === 'apply' || verdict === 'keep-as-receipt-and-apply') {
    if (stampOf(row) < stampOf(held)) {
      draft.breach = `an older row over a newer one: write ${write} at zone ${nameOf(target)}, from zone ${nameOf(source)}`;
    }
    zone.rows = withAt(zone.rows, write, row);
  }
  return { draft, verdict };
}

/** The cut is of this source, and the entry stands beyond it; of a source that was sealed off everything does. */
function isBeyondCut(isOfSource: boolean, cutAt: number, position: number): boolean {
  return isOfSource && (cutAt < 0 || position >= cutAt);
}

function verdictOn(
  row: Row,
  held: Row,
  isUpdate: boolean,
  beyondCut: boolean,
  knownEpoch: number,
  rules: Rules,
): ApplyVerdict | 'dropped' | 'stopped' {
  if (!rules.guard) {
    if (isUpdate) return held === 0 ? 'dropped' : 'apply';
    return held === 0 ? 'apply' : 'stopped';
  }
  const verdict = judgeIncoming({
    incoming: { epoch: epochOf(row), version: versionOf(row) },
    local: stampsOf(held),
    isCollision: held !== 0 && effectOf(held) !== effectOf(row),
    knownEpoch,
    isBeyondCut: beyondCut,
  });
  if (verdict === 'raise') return rules['guard-raises'] ? 'raise' : 'skip';
  return verdict === 'apply' && isUpdate && held === 0 ? 'dropped' : verdict;
}

/** Zones crash and start, are cut off and reached again; a zone may miss an entry of one that does not wait for it. */
export function faultSteps(world: World, rules: Rules, emit: Emit<World>): void {
  const { budget } = world;
  for (const self of ZONES) {
    const zone = zoneOf(world, self);
    if (zone.isUp && budget.crashes > 0) {
      const draft = draftOf(world);
      crash(zoneIn(draft, self));
      spend(draft, 'crashes');
      emit(draft, 'fault', () => `zone ${nameOf(self)} crashes`);
    }
    if (zone.isUp && !zone.isCutOff && budget.cutOffs > 0) {
      const draft = draftOf(world);
      zoneIn(draft, self).isCutOff = true;
      spend(draft, 'cutOffs');
      emit(draft, 'fault', () => `zone ${nameOf(self)} is cut off`);
    }
    if (budget.missed > 0) {
      for (const source of ZONES) missStep(world, self, source, rules, emit);
    }
  }
  repairSteps(world, rules, emit);
}

function missStep(world: World, self: number, source: number, rules: Rules, emit: Emit<World>): void {
  const { applied, isUp } = zoneOf(world, self);
  const { log, setting } = zoneOf(world, source);
  const isWaitedFor = ((setting | maskOfRecord(world, source)) & bit(self)) !== 0;
  if (self === source || !isUp || isWaitedFor || at(applied, source) >= log.length) return;
  const draft = draftOf(world);
  const zone = zoneIn(draft, self);
  zone.applied = withAt(applied, source, log.length);
  spend(draft, 'missed');
  if (rules['remade-streams-count']) {
    draft.records = withAt(draft.records, source, {
      ...recordOf(world, source),
      version: recordOf(world, source).version + 1,
    });
  }
  emit(
    draft,
    'fault',
    () => `zone ${nameOf(self)} loses its place in the log of zone ${nameOf(source)}, and goes on from the end`,
  );
}

function maskOfRecord(world: World, zone: number): number {
  return maskOf(recordOf(world, zone).members);
}

function crash(zone: Zone): void {
  zone.isUp = false;
  zone.lingering = 0;
  endBackends(zone);
  zone.agent = NO_WORK;
}

export function repairSteps(world: World, rules: Rules, emit: Emit<World>): void {
  for (const self of ZONES) {
    const zone = zoneOf(world, self);
    if (!zone.isUp) {
      const draft = draftOf(world);
      const started = zoneIn(draft, self);
      started.isUp = true;
      started.loaded = ZONES.map(() => zone.setting);
      started.doCommitsWait = zone.setting !== 0;
      if (!rules['only-rejoin-unseals']) started.lingering = zone.sealed;
      emit(draft, 'repair', () => `zone ${nameOf(self)} starts again`);
    }
    if (zone.isCutOff) {
      const draft = draftOf(world);
      zoneIn(draft, self).isCutOff = false;
      emit(draft, 'repair', () => `zone ${nameOf(self)} is reached again`);
    }
  }
}

/** Walsenders load the setting each in its own time, or start anew with it; the checkpointer switches waiting on or off. */
export function settingSteps(world: World, emit: Emit<World>): void {
  for (const self of ZONES) {
    const { isUp, loaded, setting, doCommitsWait } = zoneOf(world, self);
    if (!isUp) continue;
    for (const peer of ZONES) {
      if (peer === self || at(loaded, peer) === setting) continue;
      const draft = draftOf(world);
      zoneIn(draft, self).loaded = withAt(loaded, peer, setting);
      emit(draft, 'step', () => `the walsender of zone ${nameOf(self)} for zone ${nameOf(peer)} loads the setting`);
    }
    if (doCommitsWait !== (setting !== 0)) {
      const draft = draftOf(world);
      zoneIn(draft, self).doCommitsWait = setting !== 0;
      emit(
        draft,
        'step',
        () => `the checkpointer of zone ${nameOf(self)} switches waiting ${setting === 0 ? 'off' : 'on'}`,
      );
    }
  }
}

/** Healing: rows from the owner to a zone it does not wait for. Rows that only the healed zone has become receipts. */
export function healSteps(world: World, rules: Rules, emit: Emit<World>): void {
  for (const source of ZONES) {
    for (const target of ZONES) {
      if (target === source || !areLinked(world, source, target) || areEqual(world, source, target)) continue;
      if (rules['heal-from-the-owner'] && !mayHeal(world, source, target)) continue;
      const draft = draftOf(world);
      heal(draft, source, target, rules);
      emit(draft, 'step', () => `zone ${nameOf(target)} is healed from zone ${nameOf(source)}`);
    }
  }
}

function mayHeal(world: World, source: number, target: number): boolean {
  const { copy } = zoneOf(world, source);
  const healed = zoneOf(world, target);
  if (copy.owner !== source || copy.state === 'accepted' || healed.copy.owner === target) return false;
  if (healed.copy.epoch > copy.epoch || (healed.sealed & bit(source)) !== 0) return false;
  return (maskOfRecord(world, source) & bit(target)) === 0;
}

/** Row by row, from the owner as it is now; positions stay. */
export function heal(draft: Draft, source: number, target: number, rules: Rules): void {
  const { rows, copy } = zoneOf(draft, source);
  const zone = zoneIn(draft, target);
  zone.rows = zone.rows.map((local, write) => {
    const owners = at(rows, write);
    if (!rules['heal-replaces-the-tail']) return owners === 0 || stampOf(owners) >= stampOf(local) ? owners : local;
    const verdict = judgeHealing({ owners: stampsOf(owners), local: stampsOf(local), ownerEpoch: copy.epoch });
    return verdict === 'keep' ? local : owners;
  });
}

const stampsOf = (row: Row): RowStamp | undefined =>
  row === 0 ? undefined : { epoch: epochOf(row), version: versionOf(row) };

export function areEqual(world: World, one: number, other: number): boolean {
  const { rows } = zoneOf(world, other);
  return zoneOf(world, one).rows.every((row, write) => row === at(rows, write));
}
