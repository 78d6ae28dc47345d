/** The steps of a failover that a handover has not: the seal, the choice of the heir, and what the heir's set must be. */
import { chooseHeir } from '@borough/topology';
import { type Emit } from '../checker/model.js';
import { changeByMove } from './agent-steps.js';
import { callEach, holdsMajority, put, stepDown, type Options } from './calls.js';
import {
  ALL,
  areLinked,
  at,
  bit,
  coordinatorName,
  coordinatorOf,
  draftOf,
  maskOf,
  moveName,
  nameOf,
  recordOf,
  type ControlCall,
  type World,
  zoneNamed,
  zoneOf,
  zonesOf,
} from './world.js';
import { heal } from './zone-steps.js';

export function seal(world: World, self: number, options: Options, emit: Emit<World>): void {
  const { from, epoch } = world.move;
  const { term, done } = coordinatorOf(world, self);
  const call: ControlCall = { kind: 'seal', term, epoch, owner: from };
  if (options.rules['seal-an-unreachable-owner']) {
    callEach(
      world,
      self,
      ALL & ~bit(from),
      () => call,
      options,
      (draft, voter, answer) => {
        put(draft, self, answer === 'done' ? { done: done | bit(voter) } : { stage: 'judging', done: 0 });
      },
      emit,
    );
  }
  const sealed = options.rules['seal-an-unreachable-owner'] ? done : ALL & ~bit(from);
  for (const heir of heirsOf(world, sealed, options)) {
    const draft = draftOf(world);
    put(draft, self, {
      stage: 'preparing',
      owner: heir,
      epoch: world.move.epoch + 1,
      cutZone: from,
      cutAt: -1,
      done: sealed,
    });
    emit(
      draft,
      'step',
      () =>
        `${coordinatorName(self)} chooses zone ${nameOf(heir)} as the heir, of ${zonesOf(sealed).map(nameOf).join(' and ')}`,
    );
  }
}

function heirsOf(world: World, sealed: number, { rules }: Options): number[] {
  const { from } = world.move;
  const record = recordOf(world, from);
  if (!rules['heir-is-recorded']) return zonesOf(sealed);
  if (!rules['heir-has-the-most']) return zonesOf(sealed & maskOf(record.members));
  const heir = chooseHeir(
    record,
    zonesOf(sealed).map((zone) => ({ zone: nameOf(zone), appliedTo: BigInt(at(zoneOf(world, zone).applied, from)) })),
  );
  return heir === undefined ? [] : [zoneNamed(heir)];
}

/** Freezes the heir's record; the old owner leaves it; the others in it are healed from the heir, or leave it too. */
export function prepare(world: World, self: number, options: Options, emit: Emit<World>): void {
  const { rules } = options;
  const { from, id, epoch } = world.move;
  const { owner: heir, done, term } = coordinatorOf(world, self);
  const by = moveName(id);
  const record = recordOf(world, heir);
  if (!holdsMajority(world, self, options)) {
    stepDown(world, self, emit);
    return;
  }
  if (rules['freeze-the-heir'] && !record.frozenBy.includes(by)) {
    const draft = draftOf(world);
    changeByMove(draft, heir, { kind: 'freeze', by });
    emit(draft, 'step', () => `${coordinatorName(self)} freezes the record of the heir`);
    return;
  }
  const drop = (zone: number): void => {
    const draft = draftOf(world);
    changeByMove(draft, heir, { kind: 'drop', member: nameOf(zone), by });
    if (recordOf(draft, heir) === record) return;
    emit(draft, 'step', () => `${coordinatorName(self)} takes zone ${nameOf(zone)} out of the record of the heir`);
  };
  const members = maskOf(record.members);
  if (rules['owner-leaves-heirs-record'] && (members & bit(from)) !== 0) {
    drop(from);
    return;
  }
  const lacking = rules['heal-members-of-the-heir']
    ? zonesOf(members & ~bit(from)).filter((zone) => !isGood(world, zone, heir, done))
    : [];
  for (const zone of lacking) {
    drop(zone);
    if ((done & bit(zone)) === 0) {
      const call: ControlCall = { kind: 'seal', term, epoch, owner: from };
      callEach(
        world,
        self,
        bit(zone),
        () => call,
        options,
        (draft, _voter, answer) => {
          put(draft, self, answer === 'done' ? { done: done | bit(zone) } : { stage: 'judging', done: 0 });
        },
        emit,
      );
    } else if (areLinked(world, zone, heir)) {
      const draft = draftOf(world);
      heal(draft, heir, zone, rules);
      emit(draft, 'step', () => `zone ${nameOf(zone)} is healed from the heir`);
    }
  }
  if (lacking.length > 0) return;
  const draft = draftOf(world);
  put(draft, self, { stage: 'accepting', done: 0 });
  emit(draft, 'step', () => `${coordinatorName(self)} proposes zone ${nameOf(heir)}`);
}

/**
 * It has sealed the old owner off too, and has the rows of the heir, no fewer and no more: one that sealed late may hold
 * what the heir never had, and nobody heals a member.
 */
function isGood(world: World, zone: number, heir: number, sealed: number): boolean {
  const { rows } = zoneOf(world, zone);
  return (sealed & bit(zone)) !== 0 && zoneOf(world, heir).rows.every((row, write) => at(rows, write) === row);
}
