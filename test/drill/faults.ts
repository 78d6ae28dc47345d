/** What goes wrong in a drill, each around some moves: the moves go on meanwhile. */
import { writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { HANDOVER_STEPS } from '../../apps/coordinator/src/moves/crash-points.js';
import { type Cluster } from '../../infra/local/cluster.js';
import { type MoveDriver, type MoveResult } from './moves.js';
import { type Fault } from './options.js';

export interface FaultParts {
  readonly cluster: Cluster;
  readonly driver: MoveDriver;
  readonly crashPointFile: string;
  readonly say: (line: string) => void;
  /** Requests answered well so far. */
  readonly answered: () => number;
}

/** How long a process stays frozen, or a service away, in ms. */
const AWAY_MS = 2_500;
/** How long orders go on with nobody to coordinate, in ms. */
const ALONE_MS = 5_000;

/** Plays one fault. @returns the moves it made itself */
export async function playFault(fault: Fault, parts: FaultParts): Promise<MoveResult[]> {
  switch (fault) {
    case 'nats':
      parts.say('NATS is killed, and stays dead');
      await parts.cluster.killService('nats', 'SIGKILL');
      return [];
    case 'coordinator':
      return killCoordinators(parts);
    case 'router-frozen':
      return freezeRouter(parts);
    case 'zone-api-frozen':
      return freezeZone(parts);
    case 'all-coordinators':
      await goAlone(parts);
      return [];
  }
}

/** The coordinator that carries out a move is killed at each of its steps in turn. */
async function killCoordinators({ cluster, driver, crashPointFile, say }: FaultParts): Promise<MoveResult[]> {
  const results: MoveResult[] = [];
  for (const point of HANDOVER_STEPS) {
    // The one killed before may still be starting: a cluster that loses both at once waits for that.
    await coordinatorsReady(cluster);
    writeFileSync(crashPointFile, point);
    const startedAt = performance.now();
    const [target] = await movableShard(driver);
    const result = await driver.carryOut(target);
    results.push(result);
    const became = result.kind === 'ended' ? result.move.outcome : result.code;
    say(
      `leading coordinator killed after "${point}": ${became}, ${Math.round(performance.now() - startedAt)} ms in all`,
    );
  }
  return results;
}

/** Every coordinator answers that it is ready. */
export async function coordinatorsReady({ addresses }: Cluster): Promise<void> {
  for (const url of addresses.coordinatorUrls) {
    while (!(await isReady(url))) await sleep(20);
  }
}

async function isReady(url: string): Promise<boolean> {
  try {
    return (await fetch(`${url}/health/ready`)).ok;
  } catch {
    return false;
  }
}

async function freezeRouter({ cluster, driver, say }: FaultParts): Promise<MoveResult[]> {
  const name = cluster.addresses.routerUrls.length > 1 ? 'router-2' : 'router';
  say(`${name} is frozen across moves`);
  await cluster.killService(name, 'SIGSTOP');
  const results: MoveResult[] = [];
  const until = performance.now() + AWAY_MS;
  while (performance.now() < until) results.push(...(await driver.next()));
  await cluster.killService(name, 'SIGCONT');
  say(`${name} goes on after ${results.length} moves`);
  return results;
}

/** The API of an owner is frozen, its shard is handed over meanwhile, and then it goes on with what it had begun. */
async function freezeZone({ cluster, driver, say }: FaultParts): Promise<MoveResult[]> {
  const [target, zone] = await movableShard(driver);
  say(`the API of zone ${zone} is frozen, and one of its shards is handed over`);
  await cluster.killService(`zone-${zone}`, 'SIGSTOP');
  // So that writes are on their way to it, and in it.
  await sleep(200);
  const result = await driver.carryOut(target);
  await sleep(200);
  await cluster.killService(`zone-${zone}`, 'SIGCONT');
  say(`the API of zone ${zone} goes on`);
  return [result];
}

/** P7: nobody coordinates and nobody tells, and orders go on. */
async function goAlone({ cluster, say, answered }: FaultParts): Promise<void> {
  const names = cluster.addresses.coordinatorUrls.map((_, at) => (at === 0 ? 'coordinator' : `coordinator-${at + 1}`));
  for (const name of [...names, 'nats']) await cluster.killService(name, 'SIGKILL');
  const before = answered();
  await sleep(ALONE_MS);
  const rate = Math.round((answered() - before) / (ALONE_MS / 1_000));
  say(`with every coordinator and NATS dead for ${ALONE_MS / 1_000} s: ${rate} requests a second were answered`);
  for (const name of ['nats', ...names]) await cluster.startService(name);
}

type ShardsTarget = Parameters<MoveDriver['carryOut']>[0];

/** One shard, its owner, and a move of it to another zone. */
async function movableShard(driver: MoveDriver): Promise<[ShardsTarget, string]> {
  const [first] = await driver.owners();
  if (first === undefined) throw new Error('there is no shard');
  const [shard, owner] = first;
  return [{ kind: 'shards', shards: [shard], to: owner === 'a' ? 'b' : 'a' }, owner];
}
