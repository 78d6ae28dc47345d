import {
  type AuditEntry,
  type AuditSummary,
  type MoveView,
  type ShardsView,
  type ZoneStatus,
  type ZonesView,
} from '@borough/contracts';
import { majority, type ZoneId } from '@borough/topology';
import { type Moves } from '../moves/moves.js';
import { type RoutingPublisher } from '../publish/routing-publisher.js';
import { type LinkReport } from '../watch/link-health.js';
import { type LinkHealthWatch } from '../watch/link-health-watch.js';
import { type RouterReports } from '../watch/router-reports.js';
import { healthText, type ZoneHealth } from '../watch/zone-health.js';
import { type ZoneWatch } from '../watch/zone-watch.js';
import { type ZoneProbes } from '../watch/zone-probes.js';
import { type Leadership } from '../voters/leadership.js';
import { ownershipOf, type ShardOwnership } from '../voters/ownership-of.js';
import { type ZoneFacts, type ZoneWork } from '../voters/voter.js';
import { areasHeldBy, recordsOf, type Readings, type Voters } from '../voters/voters.js';

const HOUR_MS = 3_600_000;
/** Zones audit themselves every hour, unless they were told otherwise. */
const AUDIT_OLD_MS = 3 * HOUR_MS;

export interface StatusParts {
  readonly voters: Voters;
  readonly leadership: Leadership;
  readonly publisher: RoutingPublisher;
  readonly moves: Moves;
  readonly routers: RouterReports;
  readonly probes: ZoneProbes;
  readonly watch: ZoneWatch;
  readonly links: LinkHealthWatch;
}

/** What ops people see of the whole: asked of the zones when it is looked at; links also by what was seen of them before. */
export class ClusterStatus {
  constructor(private readonly parts: StatusParts) {}

  /** @throws Problem `no-majority` */
  async zones(): Promise<ZonesView> {
    const { voters, leadership, publisher, moves, routers, probes } = this.parts;
    const [readings, facts, work, apiReady] = await Promise.all([
      voters.read(),
      voters.facts(),
      voters.work(),
      probes.areReady(),
    ]);
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
        zoneStatus(zone, {
          zones: voters.zoneIds,
          ownership,
          readings,
          facts: facts.get(zone),
          work: work.get(zone),
          isApiReady: apiReady.get(zone),
          health: this.parts.watch.healthOf(zone),
          rejoinWaitsFor: moves.waitsFor(zone),
          links: this.parts.links.linksOf(zone),
          commitProblems: this.parts.links.commitProblems(zone),
        }),
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

interface StatusFacts {
  readonly zones: readonly ZoneId[];
  readonly ownership: readonly ShardOwnership[];
  readonly readings: Readings;
  readonly facts: ZoneFacts | undefined;
  readonly work: ZoneWork | undefined;
  readonly isApiReady: boolean | undefined;
  readonly health: ZoneHealth;
  readonly rejoinWaitsFor: string | undefined;
  readonly links: readonly LinkReport[];
  readonly commitProblems: readonly string[];
}

function zoneStatus(zone: ZoneId, seen: StatusFacts): ZoneStatus {
  const { zones, ownership, readings, facts, work, isApiReady, health, rejoinWaitsFor, links, commitProblems } = seen;
  const owned = ownership.filter(({ adopted }) => adopted.kind === 'settled' && adopted.entry.owner === zone).length;
  const record = recordsOf(readings, zones.length).get(zone);
  const sealedOffBy = [...readings].flatMap(([other, { seals }]) =>
    seals.some((seal) => seal.zone === zone) ? [other] : [],
  );
  const status = {
    zone,
    isDatabaseReachable: facts !== undefined,
    ...(isApiReady === undefined ? {} : { isApiReady }),
    ownedShards: owned,
    health,
    ...(record === undefined ? {} : { recordedMembers: [...record.members], frozenBy: [...record.frozenBy] }),
    ...(sealedOffBy.length === 0 ? {} : { sealedOffBy: sealedOffBy.sort() }),
    ...(rejoinWaitsFor === undefined ? {} : { rejoinWaitsFor }),
  };
  const problems = [
    ...(health === 'healthy' ? [] : [healthText(health)]),
    ...(isApiReady === false ? ['its API is not ready'] : []),
    ...(sealedOffBy.length === 0
      ? []
      : [`it was left by a failover and has not rejoined: zone ${sealedOffBy.join(', ')} takes in nothing of it`]),
  ];
  if (facts === undefined) return { ...status, problems: ['its database does not answer', ...problems] };
  const { waitsFor, behindBytes, unguardedTables, closedTables } = facts;
  const missing = zones.filter((other) => other !== zone && !waitsFor.includes(other));
  return {
    ...status,
    isVoting: readings.has(zone),
    waitsFor: [...waitsFor],
    isSolo: waitsFor.length === 0,
    behindBytes: { ...behindBytes },
    links: links.map(({ status: link }) => link),
    ...(work === undefined ? {} : work),
    problems: [
      ...problems,
      ...(waitsFor.length === 0
        ? ['it acknowledges writes ALONE: losing it loses them. Runbook: zone-solo']
        : missing.map((other) => `it does not wait for zone ${other}. Runbook: member-not-acknowledging`)),
      ...commitProblems,
      ...links.flatMap((link) => link.problems),
      ...unguardedTables.map((table) => `table ${table} is not guarded`),
      ...closedTables.map((table) => `table ${table} takes no writes yet`),
      ...auditProblems(work?.lastAudit),
    ],
  };
}

/** What the last audit of everything a zone holds of others came to. */
function auditProblems(audit: AuditSummary | undefined): string[] {
  if (audit === undefined) return [];
  const { differing, undecided, problem, ageMs } = audit;
  return [
    ...(differing > 0
      ? [
          `its last audit found other rows than their owners have (${differing}): run borough audit --heal. Runbook: audit`,
        ]
      : []),
    ...(undecided > 0 ? [`its last audit could not tell of ${undecided} rows. Runbook: audit`] : []),
    ...(problem === undefined ? [] : [`its last audit did not see everything: ${problem}. Runbook: audit`]),
    ...(ageMs > AUDIT_OLD_MS ? [`its last audit ended ${Math.floor(ageMs / HOUR_MS)} hours ago. Runbook: audit`] : []),
  ];
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
  if (target.kind === 'failover') {
    return `fail zone ${target.zone} over${target.declareLost === true ? ', declared lost' : ''}`;
  }
  return target.to === undefined ? `drain zone ${target.zone}` : `drain zone ${target.zone} to zone ${target.to}`;
}
