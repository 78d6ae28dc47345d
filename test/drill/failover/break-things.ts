/** What each fault does to a cluster, and what mends it. */
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Cluster } from '../../../infra/local/cluster.js';
import { nowMs } from '../clock.js';
import { anyOf, betweenZones, changesOf, everyLink, type FaultyLinks, fromCoordinators, ofZone } from './links.js';
import { type PlannedRound } from './plan.js';

/** How long what a zone sends to another is held back before the zone is killed, in ms. */
const STALLED_MS = 1_500;

export interface Breakable {
  readonly cluster: Cluster;
  readonly links: FaultyLinks;
  /** What coordinators read before each step of a move. */
  readonly crashPointFile: string;
}

export interface Broken {
  /** When it broke, in ms since 1970. */
  readonly at: number;
  /** Asked before it is mended: what of the fault never came about, in words. */
  readonly unplayed?: () => string | undefined;
  /** Resolves when whatever was killed is ready again. */
  readonly mend: () => Promise<void>;
}

/** Breaks what the round says. */
export async function breakThings(round: PlannedRound, breakable: Breakable): Promise<Broken> {
  const { cluster, links, crashPointFile } = breakable;
  const { zone, peer } = round;
  const mendLinks = (): Promise<void> => links.set(everyLink, { kind: 'pass' });
  switch (round.fault) {
    case 'zone-killed':
      return killed(cluster, zone);
    case 'zone-killed-and-wiped': {
      const broken = await killed(cluster, zone);
      cluster.wipeZone(zone);
      return broken;
    }
    case 'coordinator-killed': {
      writeFileSync(crashPointFile, round.crashPoint ?? '');
      const { at, mend } = await killed(cluster, zone);
      return {
        at,
        // The coordinator that comes to the step removes the file.
        unplayed: () => (existsSync(crashPointFile) ? 'no coordinator came to the step it was to die at' : undefined),
        mend: () => {
          rmSync(crashPointFile, { force: true });
          return mend();
        },
      };
    }
    case 'heir-stalled': {
      const towardsHeir = changesOf(zone, peer);
      await links.set(towardsHeir, { kind: 'stall' });
      await sleep(STALLED_MS);
      const broken = await killed(cluster, zone);
      // What was held back is lost, as with a machine that is gone.
      await links.set(towardsHeir, { kind: 'reset' });
      return broken;
    }
    case 'database-killed':
      return killedService(cluster, `postgres-${zone}`);
    case 'api-killed':
      return killedService(cluster, `zone-${zone}`);
    case 'zone-frozen': {
      const at = nowMs();
      await cluster.killZone(zone, 'SIGSTOP');
      return { at, mend: () => cluster.killZone(zone, 'SIGCONT') };
    }
    case 'database-frozen': {
      const at = nowMs();
      await cluster.killService(`postgres-${zone}`, 'SIGSTOP');
      return { at, mend: () => cluster.killService(`postgres-${zone}`, 'SIGCONT') };
    }
    case 'cut-off': {
      const at = nowMs();
      await links.set(anyOf(ofZone(zone), fromCoordinators(zone)), { kind: 'cut' });
      return { at, mend: mendLinks };
    }
    case 'replication-cut': {
      const at = nowMs();
      await links.set(betweenZones(zone, peer), { kind: 'cut' });
      return { at, mend: mendLinks };
    }
    case 'coordinator-cut': {
      const at = nowMs();
      await links.set(fromCoordinators(zone), { kind: 'cut' });
      return { at, mend: mendLinks };
    }
    case 'one-way': {
      // What it says goes as requests where it connects, and as answers where it is connected to.
      const isSaid = round.lost === 'said';
      const at = nowMs();
      await Promise.all([
        links.set(({ from }) => from === `zone-${zone}`, { kind: 'one-way', lost: isSaid ? 'requests' : 'answers' }),
        links.set(
          anyOf(({ from, to }) => from.startsWith('zone-') && to === `postgres-${zone}`, fromCoordinators(zone)),
          { kind: 'one-way', lost: isSaid ? 'answers' : 'requests' },
        ),
      ]);
      return { at, mend: mendLinks };
    }
  }
}

async function killed(cluster: Cluster, zone: string): Promise<Broken> {
  const at = nowMs();
  await cluster.killZone(zone, 'SIGKILL');
  return { at, mend: () => cluster.startZone(zone) };
}

async function killedService(cluster: Cluster, name: string): Promise<Broken> {
  const at = nowMs();
  await cluster.killService(name, 'SIGKILL');
  return { at, mend: () => cluster.startService(name) };
}
