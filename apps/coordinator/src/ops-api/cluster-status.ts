import { type AuditEntry, type MoveView, type ShardsView, type ZoneStatus, type ZonesView } from '@borough/contracts';
import { majority, type ZoneId } from '@borough/topology';
import { type Moves } from '../moves/moves.js';
import { type RoutingPublisher } from '../publish/routing-publisher.js';
import { type RouterReports } from '../watch/router-reports.js';
import { type ZoneProbes } from '../watch/zone-probes.js';
import { type Leadership } from '../voters/leadership.js';
import { ownershipOf, type ShardOwnership } from '../voters/ownership-of.js';
import { type ZoneFacts } from '../voters/voter.js';
import { areasHeldBy, type Voters } from '../voters/voters.js';

export interface StatusParts {
  readonly voters: Voters;
  readonly leadership: Leadership;
  readonly publisher: RoutingPublisher;
  readonly moves: Moves;
  readonly routers: RouterReports;
  readonly probes: ZoneProbes;
}

/** What ops people see of the whole: asked of the zones when it is looked at, never from memory. */
export class ClusterStatus {
  constructor(private readonly parts: StatusParts) {}

  /** @throws Problem `no-majority` */
  async zones(): Promise<ZonesView> {
    const { voters, leadership, publisher, moves, routers, probes } = this.parts;
    const [readings, facts, apiReady] = await Promise.all([voters.read(), voters.facts(), probes.areReady()]);
    const ownership = ownershipOf(readings, voters.zoneIds.length);
    const { leader } = leadership;
    const running = new Set([
      ...moves.runningIds,
      ...[...readings.values()].flatMap(({ runningMoves }) => runningMoves.map(({ moveId }) => moveId)),
    ]);
    return {
      answeredBy: voters.coordinatorName,
      ...(leader === undefined ? {} : { leader: { ...leader } }),
      tableVersion: publisher.tableVersion,
      zones: voters.zoneIds.map((zone) =>
        zoneStatus(zone, voters.zoneIds, ownership, facts.get(zone), apiReady.get(zone)),
      ),
      routers: routers.all(),
      runningMoves: [...running].sort(),
    };
  }

  /** @throws Problem `no-majority` */
  async shards(): Promise<ShardsView> {
    const { voters, publisher } = this.parts;
    const readings = await voters.read();
    const names = new Map(
      areasHeldBy(readings, majority(voters.zoneIds.length)).map(({ shard, name }) => [shard, name]),
    );
    const shards = ownershipOf(readings, voters.zoneIds.length)
      .sort((a, b) => a.shard - b.shard)
      .flatMap(({ shard, adopted, copies }) => {
        if (adopted.kind !== 'settled') return [];
        const area = names.get(shard);
        const { moveId } = adopted.row;
        return [
          {
            ...adopted.entry,
            ...(area === undefined ? {} : { area }),
            ...(moveId === undefined ? {} : { moveId }),
            copies: Object.fromEntries(
              copies.map(({ voter, row }) => [
                voter,
                row === undefined ? 'none' : `${row.state} ${row.owner}@${row.epoch}`,
              ]),
            ),
          },
        ];
      });
    return { tableVersion: publisher.tableVersion, shards };
  }
}

function zoneStatus(
  zone: ZoneId,
  zones: readonly ZoneId[],
  ownership: readonly ShardOwnership[],
  facts: ZoneFacts | undefined,
  isApiReady: boolean | undefined,
): ZoneStatus {
  const owned = ownership.filter(({ adopted }) => adopted.kind === 'settled' && adopted.entry.owner === zone).length;
  const status = {
    zone,
    isDatabaseReachable: facts !== undefined,
    ...(isApiReady === undefined ? {} : { isApiReady }),
    ownedShards: owned,
  };
  const apiProblems = isApiReady === false ? ['its API is not ready'] : [];
  if (facts === undefined) return { ...status, problems: ['its database does not answer', ...apiProblems] };
  const { waitsFor, behindBytes, frozenBy, unguardedTables, closedTables } = facts;
  const missing = zones.filter((other) => other !== zone && !waitsFor.includes(other));
  return {
    ...status,
    waitsFor: [...waitsFor],
    isSolo: waitsFor.length === 0,
    frozenBy: [...frozenBy],
    behindBytes: { ...behindBytes },
    problems: [
      ...apiProblems,
      ...(waitsFor.length === 0
        ? ['it acknowledges writes ALONE: losing it loses them']
        : missing.map((other) => `it does not wait for zone ${other}`)),
      ...unguardedTables.map((table) => `table ${table} is not guarded`),
      ...closedTables.map((table) => `table ${table} takes no writes yet`),
    ],
  };
}

/** What the records of moves say of who did what, the newest first. */
export function auditEntriesOf(moves: readonly MoveView[]): AuditEntry[] {
  return moves.flatMap(auditEntriesOfMove).sort((a, b) => (a.at < b.at ? 1 : -1));
}

function auditEntriesOfMove(move: MoveView): AuditEntry[] {
  const { moveId, requestedBy, requestedAt, endedAt, why, outcome, problem, pauseMs, shards } = move;
  const { abortRequestedBy, abortRequestedAt } = move;
  const moved = shards.filter(({ state }) => state === 'moved').length;
  const pause = pauseMs === undefined ? '' : `, writes paused ${pauseMs.p50} ms (longest ${pauseMs.max} ms)`;
  const asked = `${targetText(move)}: ${shards.length} shards`;
  return [
    { at: requestedAt, who: requestedBy, what: 'move.requested', moveId, why, detail: asked },
    ...(abortRequestedBy === undefined || abortRequestedAt === undefined
      ? []
      : [
          {
            at: abortRequestedAt,
            who: abortRequestedBy,
            what: 'move.abort-requested',
            moveId,
            why,
            detail: 'shards not yet accepted for the heir go back',
          },
        ]),
    ...(endedAt === undefined || outcome === undefined
      ? []
      : [
          {
            at: endedAt,
            who: abortRequestedBy ?? requestedBy,
            what: 'move.ended',
            moveId,
            why,
            detail: `${outcome}: ${moved} of ${shards.length} shards moved${pause}${problem === undefined ? '' : `; ${problem}`}`,
          },
        ]),
  ];
}

function targetText({ target }: MoveView): string {
  if (target.kind === 'shards') return `shards ${target.shards.join(', ')} to zone ${target.to}`;
  if (target.kind === 'undrain') return `undrain zone ${target.zone}`;
  return target.to === undefined ? `drain zone ${target.zone}` : `drain zone ${target.zone} to zone ${target.to}`;
}
