/** How a zone that was sealed off comes back, step by step as `nextRejoinStep` says. */
import { nextRejoinStep, type RoutingEntry } from '@borough/topology';
import { type Emit } from '../checker/model.js';
import { changeByMove } from './agent-steps.js';
import { holdsMajority, type Options } from './calls.js';
import { hasPromisedMore, endBackends } from './voter.js';
import {
  areLinked,
  at,
  bit,
  coordinatorName,
  coordinatorOf,
  draftOf,
  epochOf,
  moveName,
  nameOf,
  reachable,
  recordOf,
  withAt,
  type World,
  ZONES,
  zoneIn,
  zoneNamed,
  zoneOf,
} from './world.js';
import { heal } from './zone-steps.js';

/** @param entry the owner that a majority knows */
export function rejoin(world: World, self: number, entry: RoutingEntry, options: Options, emit: Emit<World>): void {
  const { rules } = options;
  const zone = world.rejoining;
  const owner = zoneNamed(entry.owner);
  const { term } = coordinatorOf(world, self);
  const reached = reachable(world);
  if ((reached & bit(zone)) === 0 || owner === zone) return;
  const back = zoneOf(world, zone);
  const moveId = moveName(world.rejoinMove);
  const others = ZONES.filter(
    (other) => other !== zone && (rules['every-zone-passes-the-tail'] || (reached & bit(other)) !== 0),
  );
  const step = nextRejoinStep({
    zone: nameOf(zone),
    knowsItsLoss: back.copy.epoch >= entry.epoch,
    oldBackends: rules['rejoin-ends-backends'] ? back.backends.filter((backend) => backend !== 'none').length : 0,
    isHealed: !rules['rejoin-heals'] || isHealed(world, zone, owner, entry.epoch),
    others: others.map((other) => ({
      zone: nameOf(other),
      knowsTheLoss: !rules['seal-names-its-epoch'] || zoneOf(world, other).copy.epoch >= entry.epoch,
      hasPassedTail: !rules['tail-is-passed'] || at(zoneOf(world, other).applied, zone) >= back.log.length,
      isSealed: (zoneOf(world, other).sealed & bit(zone)) !== 0,
    })),
    record: recordOf(world, zone),
    moveId,
  });
  const draft = draftOf(world);
  switch (step.kind) {
    case 'take-epochs-and-end-old-backends': {
      if (hasPromisedMore(back, term)) return;
      const told = zoneIn(draft, zone);
      told.promised = term;
      if (rules['rejoin-ends-backends']) endBackends(told);
      told.copy = { epoch: entry.epoch, state: 'serving', owner, heir: -1, move: 0, term, cutZone: -1, cutAt: 0 };
      emit(
        draft,
        'step',
        () =>
          `zone ${nameOf(zone)} takes epoch ${entry.epoch}${rules['rejoin-ends-backends'] ? ', and its old backends end' : ''}`,
      );
      return;
    }
    case 'heal-and-keep-receipts':
      if (!areLinked(world, zone, owner)) return;
      heal(draft, owner, zone, rules);
      emit(
        draft,
        'step',
        () => `zone ${nameOf(zone)} is healed from zone ${nameOf(owner)}; its tail is kept as receipts`,
      );
      return;
    case 'pass-tail-and-unseal': {
      const other = zoneNamed(step.zone);
      if ((reached & bit(other)) === 0 || hasPromisedMore(zoneOf(world, other), term)) return;
      const passing = zoneIn(draft, other);
      passing.promised = term;
      if (rules['tail-is-passed']) passing.applied = withAt(passing.applied, zone, back.log.length);
      passing.sealed &= ~bit(zone);
      passing.lingering &= ~bit(zone);
      emit(
        draft,
        'step',
        () => `zone ${nameOf(other)} unseals zone ${nameOf(zone)}${rules['tail-is-passed'] ? ', past its tail' : ''}`,
      );
      return;
    }
    case 'tell':
      // By whoever brings voters up to what is settled.
      return;
    case 'thaw':
    case 'done':
      if (!holdsMajority(world, self, options)) return;
      changeByMove(draft, zone, { kind: 'thaw', by: moveId });
      draft.rejoining = -1;
      for (const other of ZONES) if (other !== zone) zoneIn(draft, other).sealed &= ~bit(zone);
      emit(draft, 'step', () => `${coordinatorName(self)} thaws the record of zone ${nameOf(zone)}: it has rejoined`);
  }
}

/** What it wrote and the owner has not is gone from its tables. */
function isHealed(world: World, zone: number, owner: number, ownerEpoch: number): boolean {
  const { rows } = zoneOf(world, owner);
  return zoneOf(world, zone).rows.every(
    (row, write) => row === at(rows, write) || (row !== 0 && epochOf(row) >= ownerEpoch),
  );
}
