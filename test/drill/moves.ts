import { moveView, shardsView, type MoveTarget, type MoveView } from '@borough/contracts';
import { type ClusterAddresses } from '../../infra/local/cluster-addresses.js';
import { askLeader, readFromAny } from '../support/coordinators.js';
import { type LockInterval } from './checker/history.js';

/** How often a move under way is asked after, in ms. */
const ASK_EVERY_MS = 10;
/** A move that has not ended by then is a breach: every coordinator that dies is followed within 3 s. */
const ENDED_WITHIN_MS = 60_000;

/** When a move kept each shard from being written: from its fence, or from when its owner was sealed off. */
export function locksOf(moves: readonly MoveView[]): LockInterval[] {
  return moves.flatMap(({ moveId, shards }) =>
    shards.flatMap(({ shard, epoch, fencedAt, servedAt }) =>
      fencedAt === undefined
        ? []
        : [
            {
              shard,
              epoch,
              moveId,
              fencedAt: Date.parse(fencedAt),
              ...(servedAt === undefined ? {} : { servedAt: Date.parse(servedAt) }),
            },
          ],
    ),
  );
}

/** What became of a move that was asked for. */
export type MoveResult =
  | { readonly kind: 'ended'; readonly move: MoveView }
  /** Nothing was changed; `code` says why. */
  | { readonly kind: 'refused'; readonly code: string; readonly detail: string };

/** Which moves are asked for, one after the other and now and then two at once: by chance, the same for one seed. */
export class MoveDriver {
  private drained: string | undefined;

  constructor(
    private readonly addresses: ClusterAddresses,
    private readonly random: () => number,
  ) {}

  /** Asks for the next move, or two of disjoint shards, and resolves when they have ended. */
  async next(): Promise<MoveResult[]> {
    const targets = await this.targets();
    return Promise.all(targets.map((target) => this.carryOut(target)));
  }

  /** @throws Error when it has not ended in time */
  async carryOut(target: MoveTarget): Promise<MoveResult> {
    const { addresses } = this;
    const request = { target, why: 'drill', requestedBy: 'drill' };
    const { status, body } = await askLeader(addresses.coordinatorUrls, '/ops/v1/moves', request);
    if (status >= 300) return { kind: 'refused', code: String(body['code']), detail: String(body['detail']) };
    const { moveId } = moveView.parse(body);
    const until = Date.now() + ENDED_WITHIN_MS;
    while (Date.now() < until) {
      const move = await readFromAny<MoveView>(addresses.coordinatorUrls, `/ops/v1/moves/${moveId}`);
      if (move?.state === 'ended') return { kind: 'ended', move };
      await new Promise((resolve) => setTimeout(resolve, ASK_EVERY_MS));
    }
    throw new Error(`move ${moveId} has not ended within ${ENDED_WITHIN_MS} ms`);
  }

  /** Owner by shard, as the voters have it. */
  async owners(): Promise<ReadonlyMap<number, string>> {
    for (;;) {
      const answer = await readFromAny(this.addresses.coordinatorUrls, '/ops/v1/shards');
      if (answer !== undefined) {
        return new Map(shardsView.parse(answer).shards.map(({ shard, owner }) => [shard, owner]));
      }
      await new Promise((resolve) => setTimeout(resolve, ASK_EVERY_MS));
    }
  }

  private async targets(): Promise<MoveTarget[]> {
    if (this.drained !== undefined) {
      const zone = this.drained;
      this.drained = undefined;
      return [{ kind: 'undrain', zone }];
    }
    const owners = [...(await this.owners())];
    const dice = this.random();
    if (dice < 0.1) return [this.drain(owners)];
    if (dice < 0.2) return this.twoBeside(owners);
    return [this.someShards(owners, dice < 0.4 ? 3 : 1)];
  }

  private drain(owners: readonly (readonly [number, string])[]): MoveTarget {
    const [, zone] = this.pick(owners);
    this.drained = zone;
    return { kind: 'drain', zone };
  }

  private twoBeside(owners: readonly (readonly [number, string])[]): MoveTarget[] {
    const [first] = this.pick(owners);
    const [second] = this.pick(owners.filter(([shard]) => shard !== first));
    return [first, second].map((shard) => this.moveOf([shard], owners));
  }

  /** Up to so many shards of one owner. */
  private someShards(owners: readonly (readonly [number, string])[], most: number): MoveTarget {
    const [first, owner] = this.pick(owners);
    const others = owners.filter(([shard, zone]) => zone === owner && shard !== first).map(([shard]) => shard);
    return this.moveOf([first, ...others.slice(0, most - 1)], owners);
  }

  private moveOf(shards: number[], owners: readonly (readonly [number, string])[]): MoveTarget {
    const from = owners.find(([shard]) => shard === shards[0])?.[1];
    const { id } = this.pick(this.addresses.zones.filter((zone) => zone.id !== from));
    return { kind: 'shards', shards, to: id };
  }

  private pick<Item>(items: readonly Item[]): Item {
    const item = items[Math.floor(this.random() * items.length)];
    if (item === undefined) throw new Error('nothing to choose from');
    return item;
  }
}
