import { type MoveTarget, type MoveView, type ShardStatus } from '@borough/contracts';
import { type TestCluster } from './cluster.js';
import { askLeader, type CoordinatorAnswer, readFromAny } from './coordinators.js';

export function askForMove({ addresses }: TestCluster, target: MoveTarget): Promise<CoordinatorAnswer> {
  return askLeader(addresses.coordinatorUrls, '/ops/v1/moves', { target, why: 'a test', requestedBy: 'spec' });
}

export function abortMove({ addresses }: TestCluster, moveId: string): Promise<CoordinatorAnswer> {
  return askLeader(addresses.coordinatorUrls, `/ops/v1/moves/${moveId}/abort`, { requestedBy: 'spec' });
}

/** The record of a move when it has ended; for polling, undefined until then and while no coordinator answers. */
export async function endedMove({ addresses }: TestCluster, moveId: string): Promise<MoveView | undefined> {
  const move = await readFromAny<MoveView>(addresses.coordinatorUrls, `/ops/v1/moves/${moveId}`);
  return move?.state === 'ended' ? move : undefined;
}

/** Every shard as the voters have it. */
export async function shardsOf({ addresses }: TestCluster): Promise<readonly ShardStatus[]> {
  return (await readFromAny<{ shards: ShardStatus[] }>(addresses.coordinatorUrls, '/ops/v1/shards'))?.shards ?? [];
}
