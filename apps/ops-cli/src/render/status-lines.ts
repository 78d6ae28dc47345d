/** The cluster at a glance, and what is wrong with it. */
import { type LinkStatus, type ZonesView, type ZoneStatus } from '@borough/contracts';
import { type Paint } from '../terminal/paint.js';
import { tableLines } from './table.js';
import { bytes, count, duration } from './words.js';

/** Routers report every second, and a move waits only for those heard of within three. */
const ROUTER_SILENT_MS = 3_000;

/** Everything that is wrong, the worst first, one sentence each; empty when all is well. */
export function faultsOf(view: ZonesView): string[] {
  const solo = view.zones.filter(({ isSolo }) => isSolo === true);
  const others = view.zones.filter(({ isSolo }) => isSolo !== true);
  return [
    ...solo.flatMap((zone) => zoneFaults(zone, view)),
    ...(view.leader === undefined ? ['no coordinator leads: moves cannot begin or go on until one does'] : []),
    ...others.flatMap((zone) => zoneFaults(zone, view)),
    ...view.routers.flatMap((router) => routerFaults(router, view.tableVersion)),
    ...(view.routers.length === 0 ? ['no router reports: a move cannot tell who has learnt of it'] : []),
  ];
}

/** @param faults of `faultsOf` the same view */
export function statusLines(view: ZonesView, faults: readonly string[], paint: Paint): string[] {
  const { leader, answeredBy, tableVersion, runningMoves } = view;
  const led = leader === undefined ? paint.red('nobody') : `${leader.coordinator} (term ${leader.term})`;
  return [
    faults.length === 0
      ? paint.green('✓ All is well')
      : paint.red(`✗ ${count(faults.length, 'thing')} ${faults.length === 1 ? 'is' : 'are'} wrong`),
    ...faults.map((fault) => paint.red(`  ✗ ${fault}`)),
    '',
    `leader ${led} · table version ${tableVersion} · answered by ${answeredBy}`,
    '',
    ...tableLines(
      ['ZONE', 'DATABASE', 'API', 'SHARDS', 'WAITS FOR', 'NOT YET APPLIED ELSEWHERE', 'FROZEN BY'],
      view.zones.map((zone) => zoneRow(zone, paint)),
    ),
    '',
    ...linkLines(view.zones, paint),
    ...tableLines(
      ['ROUTER', 'TABLE', 'REPORTED', 'HELD'],
      view.routers.map(({ routerId, tableVersion: version, reportedMsAgo, heldRequests }) => [
        routerId,
        version,
        `${duration(reportedMsAgo)} ago`,
        heldRequests,
      ]),
    ),
    ...(view.routers.length === 0 ? [] : ['']),
    ...(runningMoves.length === 0
      ? ['no move runs']
      : runningMoves.map((moveId) => `move runs: borough move watch ${moveId}`)),
  ];
}

/** All links, once one of them does not stream: the others say whose fault it is. */
function linkLines(zones: readonly ZoneStatus[], paint: Paint): string[] {
  const links = zones.flatMap(({ zone, links: incoming }) => (incoming ?? []).map((link) => ({ to: zone, link })));
  if (links.every(({ link }) => link.state === 'streaming')) return [];
  return [
    ...tableLines(
      ['LINK', 'STATE', 'NEWEST BEAT', 'NOT YET APPLIED', 'ERRORS', 'CONFLICTS', 'LOG KEPT FOR'],
      links.map(({ to, link }) => [
        `${link.from} to ${to}`,
        stateWords(link, paint),
        link.beatAgeMs === undefined ? '–' : `${duration(link.beatAgeMs)} ago`,
        link.lagBytes === undefined ? '–' : bytes(link.lagBytes),
        link.applyErrors,
        link.conflicts,
        link.logLeftBytes === undefined ? '–' : `${bytes(link.logLeftBytes)} more`,
      ]),
    ),
    '',
  ];
}

/** A link that is sealed off is as it should be, until the zone rejoins. */
function stateWords({ state }: LinkStatus, paint: Paint): string {
  return state === 'streaming' || state === 'sealed' ? state : paint.red(state);
}

function zoneRow(zone: ZoneStatus, paint: Paint): (string | number)[] {
  const api = zone.isApiReady === undefined ? '–' : zone.isApiReady ? 'ready' : paint.red('not ready');
  const behind = Object.entries(zone.behindBytes ?? {}).map(([other, left]) => `${other} ${bytes(left)}`);
  return [
    zone.zone,
    zone.isDatabaseReachable ? 'answers' : paint.red('silent'),
    api,
    zone.ownedShards,
    zone.isSolo === true ? paint.red('nobody: SOLO') : listed(zone.waitsFor),
    listed(behind),
    listed(zone.frozenBy),
  ];
}

function listed(items: readonly string[] | undefined): string {
  return items === undefined || items.length === 0 ? '–' : items.join(', ');
}

/** What the coordinator says; and where it says nothing, what its figures say. */
function zoneFaults(zone: ZoneStatus, { zones, runningMoves }: ZonesView): string[] {
  const seen = zone.problems.length > 0 ? zone.problems : figureFaults(zone, zones);
  const stale = (zone.frozenBy ?? []).filter((moveId) => !runningMoves.includes(moveId));
  return [
    ...seen.map((fault) => `zone ${zone.zone}: ${fault}`),
    ...(stale.length > 0 ? [`zone ${zone.zone}: still frozen by ${stale.join(', ')}, which does not run`] : []),
  ];
}

function figureFaults(zone: ZoneStatus, zones: readonly ZoneStatus[]): string[] {
  if (zone.isSolo === true) return ['it is SOLO: what it acknowledges is on no other disk'];
  if (!zone.isDatabaseReachable) return ['its database does not answer'];
  const missing = zones.flatMap((other) =>
    other.zone === zone.zone || (zone.waitsFor?.includes(other.zone) ?? true) ? [] : [other.zone],
  );
  return [
    ...(zone.isApiReady === false ? ['its API is not ready'] : []),
    ...missing.map((other) => `its commits do not wait for zone ${other}`),
  ];
}

function routerFaults(
  { routerId, tableVersion, reportedMsAgo }: ZonesView['routers'][number],
  newest: number,
): string[] {
  if (reportedMsAgo > ROUTER_SILENT_MS) return [`router ${routerId} is silent for ${duration(reportedMsAgo)}`];
  if (tableVersion < newest) return [`router ${routerId} still has table version ${tableVersion}, not ${newest}`];
  return [];
}
