/** What the coordinators say of zones and moves, waited for. */
import { type MovePage, type MoveView, type ZonesView } from '@borough/contracts';
import { setTimeout as sleep } from 'node:timers/promises';
import { type ClusterAddresses } from '../../../infra/local/cluster-addresses.js';
import { readFromAny } from '../../support/coordinators.js';
import { type MoveDriver } from '../moves.js';

/** Asking is work for the coordinators and for every database: not so often that it shows in what is measured. */
const ASK_EVERY_MS = 150;

/** Why this is not a cluster in which every zone is a full member of every other one; empty when it is. */
export function whatIsMissing({ zones, leader, runningMoves }: ZonesView): string[] {
  const missing: string[] = [];
  if (leader === undefined) missing.push('nobody leads');
  if (runningMoves.length > 0) missing.push(`${runningMoves.join(', ')} is under way`);
  for (const { zone, isDatabaseReachable, isApiReady, health, recordedMembers, waitsFor, ...marks } of zones) {
    const peers = zones.map((other) => other.zone).filter((other) => other !== zone);
    const say = (what: string): void => {
      missing.push(`zone ${zone} ${what}`);
    };
    if (!isDatabaseReachable) say('has no database');
    if (isApiReady === false) say('is not ready');
    if (health !== undefined && health !== 'healthy') say(`is ${health}`);
    const unrecorded = peers.filter((peer) => recordedMembers?.includes(peer) !== true);
    if (unrecorded.length > 0) say(`has no record of ${unrecorded.join(', ')}`);
    const notWaitedFor = peers.filter((peer) => waitsFor?.includes(peer) !== true);
    if (notWaitedFor.length > 0) say(`does not wait for ${notWaitedFor.join(', ')}`);
    if ((marks.sealedOffBy ?? []).length > 0) say(`is sealed off by ${(marks.sealedOffBy ?? []).join(', ')}`);
    if ((marks.frozenBy ?? []).length > 0) say(`is frozen by ${(marks.frozenBy ?? []).join(', ')}`);
  }
  return missing;
}

/** Looks at one cluster, from outside, as an operator would. */
export class ClusterState {
  constructor(
    private readonly addresses: ClusterAddresses,
    private readonly driver: MoveDriver,
  ) {}

  /**
   * @returns undefined once every zone is a full member, twice in a row; what was missing last when that takes too long
   */
  async whole(withinMs: number, signal?: AbortSignal): Promise<string | undefined> {
    const until = performance.now() + withinMs;
    let times = 0;
    for (;;) {
      const view = await this.asTheLeaderSeesIt();
      const missing = view === undefined ? ['no coordinator that leads answers'] : whatIsMissing(view);
      times = missing.length === 0 ? times + 1 : 0;
      if (times === 2) return undefined;
      if (performance.now() > until || signal?.aborted === true) return missing.join('; ') || 'not for long enough';
      await sleep(ASK_EVERY_MS);
    }
  }

  /** The failover of a zone that was asked for after `since` (ms since 1970), once it has ended. */
  async endedFailover(zone: string, since: number, withinMs: number): Promise<MoveView | undefined> {
    const until = performance.now() + withinMs;
    for (;;) {
      const found = (await this.failoversSince(since)).find(({ target }) => isOf(target, zone));
      if (found?.state === 'ended') return found;
      if (performance.now() > until) return found;
      await sleep(ASK_EVERY_MS);
    }
  }

  /** The newest first. */
  async failoversSince(since: number): Promise<MoveView[]> {
    const page = await readFromAny<MovePage>(this.addresses.coordinatorUrls, '/ops/v1/moves?limit=20');
    return (page?.moves ?? []).filter(
      ({ kind, requestedAt }) => kind === 'failover' && Date.parse(requestedAt) >= Math.floor(since),
    );
  }

  /** Every move there ever was, the newest first. */
  async allMoves(): Promise<MoveView[]> {
    const moves: MoveView[] = [];
    let before = '';
    for (;;) {
      const page = await readFromAny<MovePage>(this.addresses.coordinatorUrls, `/ops/v1/moves?limit=100${before}`);
      if (page === undefined) throw new Error('no coordinator tells the moves');
      moves.push(...page.moves);
      if (page.next === undefined) return moves;
      before = `&before=${page.next}`;
    }
  }

  /**
   * Hands shards back to the zones they began in.
   *
   * @param homes zone by shard
   * @returns what kept it from it, when that takes too long
   */
  async bringHome(homes: ReadonlyMap<number, string>, withinMs: number): Promise<string | undefined> {
    const until = performance.now() + withinMs;
    let lastReason = 'never tried';
    while (performance.now() < until) {
      const owners = await this.driver.owners();
      const away = [...homes].filter(([shard, zone]) => owners.get(shard) !== zone);
      const [first] = away;
      if (first === undefined) return undefined;
      const to = first[1];
      const shards = away.filter(([, zone]) => zone === to).map(([shard]) => shard);
      const result = await this.driver.carryOut({ kind: 'shards', shards, to });
      // Refused for a moment after a failover, or the coordinator died: asked for again.
      if (result.kind === 'refused') lastReason = `${result.code}: ${result.detail}`;
      else if (result.move.outcome !== 'moved') lastReason = result.move.problem ?? 'no reason recorded';
      await sleep(ASK_EVERY_MS);
    }
    return lastReason;
  }

  private async asTheLeaderSeesIt(): Promise<ZonesView | undefined> {
    for (const url of this.addresses.coordinatorUrls) {
      const view = await readFromAny<ZonesView>([url], '/ops/v1/zones');
      if (view?.leader?.isThisOne === true) return view;
    }
    return undefined;
  }
}

function isOf(target: MoveView['target'], zone: string): boolean {
  return target.kind === 'failover' && target.zone === zone;
}
