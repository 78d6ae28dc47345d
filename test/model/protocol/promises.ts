/**
 * What must never be, and what "all is well" means. Numbered as in issue 3, item 7:
 *
 * 1. no acknowledged write is missing at the owner, or at a zone in the record of the owner
 * 2. never do two zones acknowledge writes of the shard (also asserted where a write is acknowledged)
 * 3. a half-done move can be finished or reverted, and
 * 5. something leads back to normal service: both are the way home that the checker looks for (`isHome`)
 * 4. no older row replaces a newer one (asserted where rows are taken in)
 */
import { settingCovers } from '@borough/topology';
import { at, effectOf, latestOwner, nameOf, namesOf, recordOf, type World, ZONES, zoneNamed, zoneOf } from './world.js';

export function breachOf(world: World): string | undefined {
  return world.breach ?? twoOwners(world) ?? missingWrite(world);
}

function twoOwners(world: World): string | undefined {
  const owners = ZONES.filter((zone) => {
    const { copy } = zoneOf(world, zone);
    return copy.owner === zone && (copy.state === 'serving' || copy.state === 'moving');
  });
  const epochs = owners.map((zone) => zoneOf(world, zone).copy.epoch);
  if (new Set(epochs).size === epochs.length) return undefined;
  return `two writers: zones ${owners.map(nameOf).join(' and ')} own one epoch`;
}

function missingWrite(world: World): string | undefined {
  const owner = latestOwner(world);
  if (owner < 0) return undefined;
  const holders = [owner, ...recordOf(world, owner).members.map(zoneNamed)];
  for (let write = 0; write < world.acknowledged.length; write++) {
    const effect = at(world.acknowledged, write);
    if (effect === 0) continue;
    for (const holder of holders) {
      if (effectOf(at(zoneOf(world, holder).rows, write)) === effect) continue;
      const role = holder === owner ? 'the owner' : `in the record of the owner ${nameOf(owner)}`;
      return `acknowledged write ${write} is missing at zone ${nameOf(holder)}, which is ${role}`;
    }
  }
  return undefined;
}

/** Everyone is up and agrees on one serving owner; nothing is frozen, sealed, moving, waiting or half-changed. */
export function isHome(world: World): boolean {
  const { move, rejoining, zones, records } = world;
  if (move.isRunning || rejoining >= 0) return false;
  if (records.some(({ frozenBy }) => frozenBy.length > 0)) return false;
  const owner = latestOwner(world);
  if (owner < 0) return false;
  const { copy } = zoneOf(world, owner);
  const areSettled = zones.every(
    (zone) =>
      zone.isUp &&
      !zone.isCutOff &&
      zone.sealed === 0 &&
      zone.agent.kind === 'none' &&
      zone.copy.epoch === copy.epoch &&
      zone.copy.owner === owner &&
      zone.copy.state === 'serving' &&
      zone.backends.every((backend) => backend === 'none'),
  );
  return areSettled && canWrite(world, owner);
}

/** The owner waits for everyone recorded; no stream has stopped for good; and every zone has the rows of the owner. */
function canWrite(world: World, owner: number): boolean {
  if (!settingCovers(namesOf(zoneOf(world, owner).setting), recordOf(world, owner))) return false;
  const { rows } = zoneOf(world, owner);
  return ZONES.every((source) => {
    const { log, rows: others } = zoneOf(world, source);
    if (rows.some((row, write) => row !== at(others, write))) return false;
    return ZONES.every((zone) => zone === source || at(zoneOf(world, zone).applied, source) === log.length);
  });
}

/** One line for the end of a story. */
export function describe(world: World): string {
  const zones = ZONES.map((zone) => {
    const { isUp, isCutOff, copy, rows, setting, sealed } = zoneOf(world, zone);
    const state = isUp ? (isCutOff ? 'cut off' : 'up') : 'down';
    const { members, frozenBy } = recordOf(world, zone);
    const parts = [
      `${nameOf(zone)} is ${state}`,
      `copy ${copy.state} epoch ${copy.epoch} of ${nameOf(copy.owner)}`,
      `rows ${rows.map((row) => (row === 0 ? '–' : `e${effectOf(row)}`)).join(' ')}`,
      `record {${members.join(' ')}}${frozenBy.length > 0 ? ' frozen' : ''}, setting {${namesOf(setting).join(' ')}}`,
    ];
    return parts.join(', ') + (sealed === 0 ? '' : `, seals off ${namesOf(sealed).join(' ')}`);
  });
  const acknowledged = world.acknowledged.flatMap((epoch, write) =>
    epoch === 0 ? [] : [`${write} (of epoch ${epoch})`],
  );
  return `${zones.join('; ')}. Acknowledged: ${acknowledged.length === 0 ? 'nothing' : acknowledged.join(', ')}.`;
}
