import { type CreateAreaRequest, type CreatedArea } from '@borough/contracts';
import { Problem } from '@borough/server-kit';
import {
  type Area,
  buildAreaMap,
  FIRST_EPOCH,
  overlappingArea,
  SHARD_COUNT,
  type ShardNumber,
  type ZoneId,
} from '@borough/topology';
import { type RoutingPublisher } from '../publish/routing-publisher.js';
import { ownershipOf, type ShardOwnership } from '../voters/ownership-of.js';
import { settle } from '../voters/settle.js';
import { areasHeldBy, type Readings, type Voters } from '../voters/voters.js';
import { type Logger } from '@borough/server-kit';

/**
 * Adds areas, one at a time: two at once could take one shard number or each other's cells.
 *
 * Order of writes: the shard gets its owner first, then the area is added; so a place is never mapped to a shard that
 * nobody serves. A coordinator that dies in between leaves a shard without an area, which costs a number and no more.
 */
export class AreaCreation {
  private last: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly voters: Voters,
    private readonly publisher: RoutingPublisher,
    private readonly logger: Logger,
  ) {}

  /**
   * @returns the area, and whether it is new; the same name and cells again give the same area
   * @throws Problem `area-name-taken`, `area-overlaps`, `no-free-shard`, `validation-failed` for an unknown zone,
   *   `no-majority`, `stale-term`, `zone-unavailable`
   */
  create(request: CreateAreaRequest): Promise<{ area: CreatedArea; isNew: boolean }> {
    const created = this.last.then(() => this.createNow(request));
    this.last = created.catch(() => undefined);
    return created;
  }

  private async createNow(request: CreateAreaRequest): Promise<{ area: CreatedArea; isNew: boolean }> {
    this.requireKnownZone(request.zone);
    await settle(this.voters, await this.voters.read(), this.logger);
    // Under our own term, so that no other coordinator can be choosing the same number.
    const readings = await this.voters.readAsLeader();

    const areas = areasHeldBy(readings, 1);
    const ownership = ownershipOf(readings, this.voters.zoneIds.length);
    const cells = [...new Set(request.cells)].sort();
    const existing = areas.find((area) => area.name === request.name);
    if (existing !== undefined) return { area: sameArea(existing, cells, ownership), isNew: false };
    requireFreeCells(areas, cells);

    const shard = freeShard(areas, ownership);
    const zone = request.zone ?? leastLoadedZone(readings, ownership);
    await this.voters.install(shard, FIRST_EPOCH, zone);
    await this.voters.putArea({ shard, name: request.name, cells });
    await this.publisher.readVoters();
    this.logger.info({ shardId: shard, owner: zone, area: request.name }, 'area added');
    return { area: { shard, name: request.name, cells, zone }, isNew: true };
  }

  private requireKnownZone(zone: ZoneId | undefined): void {
    if (zone === undefined || this.voters.zoneIds.includes(zone)) return;
    const errors = [{ path: 'zone', message: `must be one of ${this.voters.zoneIds.join(', ')}` }];
    throw new Problem('validation-failed', { detail: `There is no zone ${zone}.`, members: { errors } });
  }
}

function sameArea(existing: Area, cells: readonly string[], ownership: readonly ShardOwnership[]): CreatedArea {
  const owner = ownership.find(({ shard }) => shard === existing.shard)?.adopted;
  if (existing.cells.toSorted().join() !== cells.join() || owner?.kind !== 'settled') {
    throw new Problem('area-name-taken', {
      detail: `"${existing.name}" is shard ${existing.shard}, with other cells.`,
    });
  }
  return { shard: existing.shard, name: existing.name, cells: [...cells], zone: owner.entry.owner };
}

function requireFreeCells(areas: readonly Area[], cells: readonly string[]): void {
  const other = overlappingArea(buildAreaMap(areas), cells);
  if (other === undefined) return;
  throw new Problem('area-overlaps', {
    detail: `"${other.name}" (shard ${other.shard}) has some of these cells, or cells around or inside them.`,
    members: { shard: other.shard },
  });
}

function freeShard(areas: readonly Area[], ownership: readonly ShardOwnership[]): ShardNumber {
  const taken = new Set([...areas, ...ownership].map(({ shard }) => shard));
  for (let shard = 0; shard < SHARD_COUNT; shard += 1) if (!taken.has(shard)) return shard;
  throw new Problem('no-free-shard');
}

/** Among the zones that answered, so that a new area never starts in a zone that is away. */
function leastLoadedZone(readings: Readings, ownership: readonly ShardOwnership[]): ZoneId {
  const owned = new Map([...readings.keys()].sort().map((zone) => [zone, 0]));
  for (const { adopted } of ownership) {
    if (adopted.kind !== 'settled') continue;
    const count = owned.get(adopted.entry.owner);
    if (count !== undefined) owned.set(adopted.entry.owner, count + 1);
  }
  const [least] = [...owned].sort(([, a], [, b]) => a - b);
  if (least === undefined) throw new Problem('no-majority');
  return least[0];
}
