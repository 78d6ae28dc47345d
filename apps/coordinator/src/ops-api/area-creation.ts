import { type CreateAreaRequest, type CreatedArea } from '@borough/contracts';
import { type Logger, Problem } from '@borough/server-kit';
import {
  type Area,
  buildAreaMap,
  type Epoch,
  FIRST_EPOCH,
  overlappingArea,
  SHARD_COUNT,
  type ShardNumber,
  type ZoneId,
} from '@borough/topology';
import { type RoutingPublisher } from '../publish/routing-publisher.js';
import { ownershipOf, type ShardOwnership } from '../voters/ownership-of.js';
import { publishedAreas } from '../voters/settle.js';
import { areasHeldBy, type Judgement, type Readings, type Voters } from '../voters/voters.js';

/**
 * Adds areas, one at a time (`asLeader`): two at once could take one shard number or each other's cells.
 *
 * Order of writes: the shard gets its owner first, then the area is added; so a place is never mapped to a shard that
 * nobody serves. A coordinator that dies in between leaves a shard without an area. Its area may have reached a voter
 * that is away just now, and would overlap with a new one of the same place; so the next area takes that shard, and under
 * one shard the newer area replaces the older.
 */
export class AreaCreation {
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
  async create(request: CreateAreaRequest): Promise<{ area: CreatedArea; isNew: boolean }> {
    this.requireKnownZone(request.zone);
    // Finishes what was begun: a shard that is half-installed is not free.
    await this.publisher.readVoters();
    const created = await this.voters.asLeader((judgement) => this.decide(request, judgement));
    if (created.isNew) await this.publisher.readVoters();
    return created;
  }

  /** Under one term, so that no other coordinator can be choosing the same number. */
  private async decide(
    request: CreateAreaRequest,
    { term, readings }: Judgement,
  ): Promise<{ area: CreatedArea; isNew: boolean }> {
    const areas = areasHeldBy(readings, 1);
    const ownership = ownershipOf(readings, this.voters.zoneIds.length);
    const cells = [...new Set(request.cells)].sort();
    const existing = areas.find((area) => area.name === request.name);
    if (existing !== undefined) {
      const area = sameArea(existing, cells, ownership);
      // It may have been begun only: nothing is said to be there before a majority has it.
      const isChosen = publishedAreas(this.voters, readings).some(({ shard }) => shard === existing.shard);
      if (!isChosen) await this.voters.putArea(term, existing);
      return { area, isNew: false };
    }
    requireFreeCells(areas, cells);

    const { shard, epoch, owner } = this.placeFor(request.zone, areas, ownership, readings);
    await this.voters.install(term, shard, epoch, owner);
    await this.voters.putArea(term, { shard, name: request.name, cells });
    this.logger.info({ shardId: shard, owner, area: request.name }, 'area added');
    return { area: { shard, name: request.name, cells, zone: owner }, isNew: true };
  }

  /** @throws Problem `zone-unavailable`, `no-free-shard` */
  private placeFor(
    wanted: ZoneId | undefined,
    areas: readonly Area[],
    ownership: readonly ShardOwnership[],
    readings: Readings,
  ): { shard: ShardNumber; epoch: Epoch; owner: ZoneId } {
    if (wanted !== undefined && !readings.has(wanted)) throw needed(wanted);
    const taken = new Set(areas.map(({ shard }) => shard));
    const left = ownership.filter(({ shard }) => !taken.has(shard));
    const [reused] = left
      .flatMap(({ adopted }) => (adopted.kind === 'settled' ? [adopted.entry] : []))
      .filter(({ owner }) => readings.has(owner) && (wanted === undefined || owner === wanted));
    const away = this.voters.zoneIds.find((zone) => !readings.has(zone));
    if (away !== undefined && left.some(({ shard }) => shard !== reused?.shard)) throw needed(away);
    if (reused !== undefined) return reused;
    return {
      shard: freeShard(areas, ownership),
      epoch: FIRST_EPOCH,
      owner: wanted ?? leastLoadedZone(readings, ownership),
    };
  }

  private requireKnownZone(zone: ZoneId | undefined): void {
    if (zone === undefined || this.voters.zoneIds.includes(zone)) return;
    const errors = [{ path: 'zone', message: `must be one of ${this.voters.zoneIds.join(', ')}` }];
    throw new Problem('validation-failed', { detail: `There is no zone ${zone}.`, members: { errors } });
  }
}

function sameArea(existing: Area, cells: readonly string[], ownership: readonly ShardOwnership[]): CreatedArea {
  if (existing.cells.toSorted().join() !== cells.join()) {
    throw new Problem('area-name-taken', {
      detail: `"${existing.name}" is shard ${existing.shard}, with other cells.`,
    });
  }
  const owner = ownership.find(({ shard }) => shard === existing.shard)?.adopted;
  if (owner?.kind !== 'settled') {
    throw new Problem('zone-unavailable', { detail: 'The zone that is to own it is away.', retryAfterSeconds: 1 });
  }
  return { shard: existing.shard, name: existing.name, cells: [...cells], zone: owner.entry.owner };
}

function needed(zone: ZoneId): Problem {
  return new Problem('zone-unavailable', { detail: `Zone ${zone} is needed and away.`, retryAfterSeconds: 1 });
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
