/**
 * Loses zones under load, one after the other, and checks what came of it.
 *
 *   whole → load → break → failover? → mend → whole again → shards back home → load ends → check → the next round
 *
 * Each round has a load of its own, with orders of its own, so it can be checked by itself; at the end everything is
 * checked once more against the rows that are left.
 */
import { type MoveView } from '@borough/contracts';
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { FAILOVER_STEPS } from '../../../apps/coordinator/src/moves/crash-points.js';
import { type ClusterAddresses } from '../../../infra/local/cluster-addresses.js';
import { type Cluster, startCluster } from '../../../infra/local/cluster.js';
import { consoleReport } from '../../../infra/local/console.js';
import { freeBaseAfter, planPorts, portBaseFromEnvironment } from '../../../infra/local/ports.js';
import { seededRandom } from '../../load/replay/seeded-random.js';
import { audited } from '../audit/audited.js';
import { type Breach } from '../checker/breach.js';
import { checkHistory } from '../checker/check-history.js';
import { type RequestRecord } from '../checker/history.js';
import { nowMs } from '../clock.js';
import { coordinatorsReady } from '../faults.js';
import { type DrillParts } from '../handover-drill.js';
import { PlainClient, SdkClient } from '../load/clients.js';
import { Load } from '../load/load.js';
import { locksOf, MoveDriver } from '../moves.js';
import { type FailoverOptions } from '../options.js';
import { type DrillArea, setUpAreas } from '../set-up.js';
import { writeHistory } from '../write-history.js';
import { quietZones } from '../zone-rows.js';
import { breakThings } from './break-things.js';
import { ClusterState } from './cluster-state.js';
import { type Holds, readHolds } from './holds.js';
import { FaultyLinks } from './links.js';
import { expectsFailover, hasDirectClients, planRounds, type PlannedRound } from './plan.js';
import { type FailoverReport, failoverReportOf, roundLine, type RoundResult } from './report.js';
import { roundResultOf } from './round-result.js';

const ZONES = ['a', 'b', 'c'];
const SDK_CLIENTS = 4;
/** Where the ports of the proxies begin, above the cluster's own and below those of the next. */
const PROXIES_FROM = 50;
/** Load before the fault, in ms: connections are open, caches warm, orders in process. */
const WARM_UP_MS = 2_000;
/** Load with the zone still away after its failover, and with nothing away after its return, in ms. */
const STAY_MS = 1_000;
/** How long a fault lasts that nobody is to answer with a failover, in ms. */
const HARMLESS_MS = 4_000;
/** In ms: by default a zone that was left is not left again by itself for longer than a round takes. */
const BACK_OFF_MS = '2000';
/** Requests a second to the API of the zone itself. */
const DIRECT_RATE = 20;

/** Bounds on waiting; what takes longer is a breach. A zone that lost its disk is filled anew first. */
const FAILOVER_WITHIN_MS = 20_000;
const WHOLE_WITHIN_MS = 90_000;
const HOME_WITHIN_MS = 30_000;

interface PlayedRound {
  readonly result: RoundResult;
  readonly breaches: readonly Breach[];
}

/** @throws StarterError when the cluster cannot start; Error when the drill itself could not go on */
export async function failoverDrill(options: FailoverOptions, parts: DrillParts): Promise<FailoverReport> {
  const { directory, signal } = parts;
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true });
  const crashPointFile = join(directory, 'crash-point');
  const portBase = await freeBaseAfter(portBaseFromEnvironment());
  const { routers, coordinators } = options;
  const links = await FaultyLinks.open(planPorts(portBase, ZONES, routers, coordinators), portBase + PROXIES_FROM);
  const report = consoleReport(process.stdout);
  let isStarted = false;
  try {
    const cluster = await startCluster({
      directory,
      portBase,
      zones: ZONES,
      services: 'all',
      routers,
      coordinators,
      failoverPolicy: 'automatic',
      addressFor: links.addressFor,
      environment: { CRASH_POINT_FILE: crashPointFile, FAILOVER_BACK_OFF_MS: BACK_OFF_MS },
      // Once things are broken on purpose, every service has much to warn of: that is in the logs.
      report: (step) => {
        if (!isStarted) report(step);
      },
      signal,
    });
    isStarted = true;
    try {
      return await new FailoverDrill(cluster, links, crashPointFile, options, parts).run();
    } finally {
      await cluster.stop();
    }
  } finally {
    await links.close();
  }
}

class FailoverDrill {
  private readonly addresses: ClusterAddresses;
  private readonly driver: MoveDriver;
  private readonly state: ClusterState;
  private readonly played: PlayedRound[] = [];
  /** All that was asked so far. */
  private readonly records: RequestRecord[] = [];
  private readonly wrong: string[] = [];
  private areas: DrillArea[] = [];
  /** Zone by shard. */
  private homes: ReadonlyMap<number, string> = new Map();

  constructor(
    private readonly cluster: Cluster,
    private readonly links: FaultyLinks,
    private readonly crashPointFile: string,
    private readonly options: FailoverOptions,
    private readonly parts: DrillParts,
  ) {
    this.addresses = cluster.addresses;
    this.driver = new MoveDriver(cluster.addresses, seededRandom(options.seed + 1));
    this.state = new ClusterState(cluster.addresses, this.driver);
  }

  async run(): Promise<FailoverReport> {
    const { options, parts } = this;
    const startedAt = new Date();
    const begin = performance.now();
    this.areas = await setUpAreas(this.addresses, options.shards);
    this.homes = await this.driver.owners();
    const plan = planRounds({
      rounds: options.rounds,
      faults: options.fault,
      zones: ZONES,
      crashPoints: FAILOVER_STEPS,
      random: seededRandom(options.seed),
    });
    parts.say(
      `${this.areas.length} areas in ${ZONES.length} zones; ${options.rate} requests a second, ${plan.length} rounds`,
    );
    let stopped: Error | undefined;
    try {
      await this.playAll(plan);
    } catch (error) {
      stopped = error instanceof Error ? error : new Error('the drill could not go on', { cause: error });
    }
    const { records } = this;
    await writeHistory(join(parts.directory, 'history.ndjson'), records);
    if (stopped !== undefined) throw stopped;
    parts.say(`checking ${records.length} requests against the rows of every zone`);
    const breaches = await this.checkAll(plan.some(({ fault }) => expectsFailover(fault)));
    return failoverReportOf({
      startedAt,
      seconds: (performance.now() - begin) / 1_000,
      seed: options.seed,
      results: this.played.map(({ result }) => result),
      breaches,
      requests: records.length,
      wrong: this.wrong,
      judgesAims: options.bounds,
    });
  }

  /** A cluster that does not become whole again ends the drill: later rounds would prove nothing. */
  private async playAll(plan: readonly PlannedRound[]): Promise<void> {
    for (const round of plan) {
      const missing = await this.state.whole(WHOLE_WITHIN_MS, this.parts.signal);
      if (this.parts.signal.aborted) return;
      if (missing !== undefined) {
        this.wrong.push(`no more rounds: before round ${round.round} the cluster was not whole: ${missing}`);
        return;
      }
      await coordinatorsReady(this.cluster);
      const played = await this.play(round);
      this.played.push(played);
      this.parts.say(roundLine(played.result));
    }
  }

  private async play(round: PlannedRound): Promise<PlayedRound> {
    const { addresses, options } = this;
    const runId = `f${options.seed}r${round.round}-`;
    const seed = options.seed + 1_000 * round.round;
    const clients = [new PlainClient(addresses.routerUrls), new SdkClient(addresses.routerUrls, SDK_CLIENTS)];
    const load = new Load(this.areas, clients, options.rate, seededRandom(seed), `${runId}load`);
    const direct = hasDirectClients(round.fault) ? this.directLoad(round.zone, `${runId}direct`, seed + 1) : undefined;
    load.start();
    direct?.start();
    await sleep(WARM_UP_MS);
    let course: Course;
    try {
      course = await this.takeItsCourse(round, async () => direct?.stop());
    } finally {
      await direct?.stop();
      await load.stop();
      await Promise.all(clients.map((client) => client.close()));
      this.records.push(...load.records, ...(direct?.records ?? []));
    }
    const checked = await this.checkRound(runId, [...load.records, ...(direct?.records ?? [])], course);
    return {
      breaches: checked.breaches,
      result: roundResultOf({
        round,
        seed: options.seed,
        ...course,
        ...checked,
        records: load.records,
        direct: direct?.records,
        homes: this.homes,
      }),
    };
  }

  /** Breaks things, and waits for what is to come of it. */
  private async takeItsCourse(round: PlannedRound, stopDirect: () => Promise<void>): Promise<Course> {
    const wrong: string[] = [];
    const { cluster, links, crashPointFile } = this;
    const { at, mend, unplayed } = await breakThings(round, { cluster, links, crashPointFile });
    let move: MoveView | undefined;
    if (expectsFailover(round.fault)) {
      move = await this.state.endedFailover(round.zone, at, FAILOVER_WITHIN_MS);
      if (move === undefined) wrong.push(`no failover within ${FAILOVER_WITHIN_MS} ms`);
      else if (move.outcome !== 'moved') {
        wrong.push(`${move.moveId} is ${move.outcome ?? 'still running'}: ${move.problem ?? 'no reason recorded'}`);
      }
      await sleep(STAY_MS);
    } else await sleep(HARMLESS_MS);
    const missed = unplayed?.();
    if (missed !== undefined) wrong.push(missed);
    const mendedAt = nowMs();
    await mend().catch((error: unknown) => {
      wrong.push(`could not be mended: ${error instanceof Error ? error.message : String(error)}`);
    });
    const missing = await this.state.whole(WHOLE_WITHIN_MS);
    const wholeAt = nowMs();
    if (missing !== undefined) wrong.push(`not whole within ${WHOLE_WITHIN_MS} ms: ${missing}`);
    for (const other of await this.state.failoversSince(at)) {
      if (other.moveId !== move?.moveId) wrong.push(`${other.moveId} was not called for: ${other.seen ?? other.why}`);
    }
    await stopDirect();
    const kept = missing === undefined ? await this.state.bringHome(this.homes, HOME_WITHIN_MS) : undefined;
    if (kept !== undefined) wrong.push(`its shards did not come home: ${kept}`);
    await sleep(STAY_MS);
    return { at, move, wrong, convergeMs: missing === undefined ? wholeAt - mendedAt : undefined };
  }

  /** Clients that never hear of a failover: connected to the zone itself, and writing and reading there. */
  private directLoad(zone: string, runId: string, seed: number): DirectLoad {
    const url = this.addresses.zones.find(({ id }) => id === zone)?.apiUrl ?? '';
    const client = new PlainClient([url], 'direct');
    const areas = this.areas.filter(({ shard }) => this.homes.get(shard) === zone);
    const load = new Load(areas, [client], DIRECT_RATE, seededRandom(seed), runId);
    let stopped: Promise<void> | undefined;
    const stop = async (): Promise<void> => {
      load.pause();
      // Closed first: what is still waited for then ends at once.
      await client.close();
      await load.stop();
    };
    return {
      records: load.records,
      start: () => {
        load.start();
      },
      stop: () => (stopped ??= stop()),
    };
  }

  private async checkRound(runId: string, records: readonly RequestRecord[], course: Course): Promise<Checked> {
    try {
      const moves = await this.state.allMoves();
      const zones = await quietZones(this.addresses.zones, runId);
      const found = checkHistory({ requests: records, zones, locks: locksOf(moves), clockErrorMs: clockErrorMs() });
      const [first] = this.addresses.zones;
      const holds = first === undefined ? undefined : await readHolds(first, course.at);
      const { view: audit } = await audited(this.addresses, {});
      if (!audit.isEqual) {
        const problems = audit.pairs.flatMap(({ problem }) => problem ?? []);
        course.wrong.push(
          `the audit found ${audit.differing} rows that differ, and ${audit.undecided} undecided ones; ` +
            [...audit.unanswered.map((zone) => `zone ${zone} did not answer`), ...problems].join('; '),
        );
      }
      // What a whole drill must show, one round need not.
      return { breaches: found.filter(({ kind }) => kind !== 'empty-history'), holds };
    } catch (error) {
      course.wrong.push(`could not be checked: ${error instanceof Error ? error.message : String(error)}`);
      return { breaches: [], holds: undefined };
    }
  }

  /** Everything once more, against what is left of it; and what a round found that has gone since. */
  private async checkAll(hadFailovers: boolean): Promise<Breach[]> {
    const earlier = this.played.flatMap(({ breaches }) => breaches);
    let found: Breach[] = [];
    try {
      const locks = locksOf(await this.state.allMoves());
      const zones = await quietZones(this.addresses.zones);
      found = checkHistory({ requests: this.records, zones, locks, clockErrorMs: clockErrorMs() });
    } catch (error) {
      this.wrong.push(`the whole could not be checked: ${error instanceof Error ? error.message : String(error)}`);
    }
    // With nothing but harmless faults no shard changes hands.
    if (!hadFailovers) found = found.filter(({ kind }) => kind !== 'empty-history');
    const known = new Set(found.map(({ detail }) => detail));
    return [...found, ...earlier.filter(({ detail }) => !known.has(detail))];
  }
}

interface Course {
  /** When it broke, in ms since 1970. */
  readonly at: number;
  /** Of the failover, where there was one. */
  readonly move: MoveView | undefined;
  /** From when it was mended until every zone was a full member again. */
  readonly convergeMs: number | undefined;
  readonly wrong: string[];
}

interface Checked {
  readonly breaches: readonly Breach[];
  readonly holds: Holds | undefined;
}

interface DirectLoad {
  readonly records: readonly RequestRecord[];
  start(): void;
  /** Safe to call again. */
  stop(): Promise<void>;
}

/** Coordinators and zones note whole ms; the drill's own clock may have drifted from the machine's since it started. */
function clockErrorMs(): number {
  return 2 + Math.abs(Date.now() - nowMs());
}
