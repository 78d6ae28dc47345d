import { type HeldOrder, type HeldOrdersView, type ReleasedOrder, type ReleaseOrderRequest } from '@borough/contracts';
import { type Logger, Problem } from '@borough/server-kit';
import { parseId, type ShardNumber, toId, type ZoneId } from '@borough/topology';
import pg from 'pg';
import { type Leadership } from '../voters/leadership.js';
import { ownershipOf } from '../voters/ownership-of.js';
import { type Readings, type Voters } from '../voters/voters.js';

/** SQLSTATEs of the control functions: what the zone says of the order or of its shard. */
const REFUSALS = new Map<string, 'order-not-found' | 'shard-moving' | 'shard-unsettled'>([
  ['BR404', 'order-not-found'],
  ['BR503', 'shard-moving'],
  ['BR421', 'shard-unsettled'],
  // Its writers kept the lock.
  ['55P03', 'shard-moving'],
]);

/** Orders that nobody may change since a failover, or since the loss of writes was declared. Asked of the zones, kept nowhere. */
export class HeldOrders {
  constructor(
    private readonly voters: Voters,
    private readonly leadership: Leadership,
    private readonly logger: Logger,
  ) {}

  /**
   * The longest held first. A zone that was left by a failover and does not know it yet is not believed.
   *
   * @throws Problem `no-majority`
   */
  async list(limit: number): Promise<HeldOrdersView> {
    const [readings, answers] = await Promise.all([this.voters.read(), this.voters.heldOrders(limit)]);
    const owners = this.ownersIn(readings);
    let total = 0;
    const orders: HeldOrder[] = [];
    for (const [zone, answer] of answers) {
      const own = answer.orders.filter(({ shard }) => owners.get(shard) === zone);
      total += answer.total - (answer.orders.length - own.length);
      for (const { orderId, placedAt, ...order } of own) {
        orders.push({ ...order, zone, orderId: toId('order', orderId), placedAt: new Date(placedAt).toISOString() });
      }
    }
    orders.sort((a, b) => compare(a.since, b.since) || compare(a.orderId, b.orderId));
    return {
      total,
      orders: orders.slice(0, limit),
      unanswered: this.voters.zoneIds.filter((zone) => !answers.has(zone)),
    };
  }

  /**
   * Asks the zone that owns the order's shard. What was released stays so when the shard moves on.
   *
   * @throws Problem `not-leader`, `no-majority`, `stale-term`; `order-not-found`; `order-not-held` when nothing holds it,
   *   or only a failover that still runs; `shard-unsettled`, `shard-moving`, `zone-unavailable`: in a moment
   */
  async release(orderId: string, { requestedBy, why }: ReleaseOrderRequest): Promise<ReleasedOrder> {
    const id = parseId(orderId);
    if (id?.kind !== 'order') throw new Problem('malformed-id', { detail: 'An order is named like ord_….' });
    this.leadership.requireLead();
    const { term, zone } = await this.voters.asLeader(({ term, readings }) =>
      Promise.resolve({ term, zone: this.ownerOf(id.shard, readings) }),
    );
    let isReleased: boolean;
    try {
      isReleased = await this.voters.at(term, zone, (voter) => voter.releaseOrder(term, id.uuid, requestedBy, why));
    } catch (error) {
      throw this.refusalOf(error, zone);
    }
    if (!isReleased) throw new Problem('order-not-held');
    this.logger.info({ orderId, zoneId: zone, requestedBy, why }, 'an order held after a declared loss was released');
    return { orderId, shard: id.shard, zone };
  }

  /** @throws Problem `order-not-found` when there is no such shard, `shard-unsettled` */
  private ownerOf(shard: ShardNumber, readings: Readings): ZoneId {
    const ownership = ownershipOf(readings, this.voters.zoneIds.length).find((entry) => entry.shard === shard);
    if (ownership === undefined) throw new Problem('order-not-found');
    if (ownership.adopted.kind !== 'settled') throw new Problem('shard-unsettled', { retryAfterSeconds: 1 });
    return ownership.adopted.entry.owner;
  }

  private ownersIn(readings: Readings): ReadonlyMap<ShardNumber, ZoneId> {
    return new Map(
      ownershipOf(readings, this.voters.zoneIds.length).flatMap(({ shard, adopted }) =>
        adopted.kind === 'settled' ? [[shard, adopted.entry.owner] as const] : [],
      ),
    );
  }

  private refusalOf(error: unknown, zone: ZoneId): Problem {
    if (error instanceof Problem) return error;
    const code = error instanceof pg.DatabaseError ? REFUSALS.get(error.code ?? '') : 'zone-unavailable';
    if (code === 'order-not-found') return new Problem(code, { cause: error });
    if (code !== undefined) {
      const detail = `Zone ${zone} owns the shard of the order.`;
      return new Problem(code, { detail, retryAfterSeconds: 1, cause: error });
    }
    return new Problem('internal-error', { cause: error });
  }
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
