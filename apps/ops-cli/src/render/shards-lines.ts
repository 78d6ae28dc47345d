import { type ShardStatus, type ShardsView } from '@borough/contracts';
import { type Paint } from '../terminal/paint.js';
import { tableLines } from './table.js';
import { count } from './words.js';

/** Every shard on a line of its own. */
export function shardsLines({ tableVersion, shards }: ShardsView, paint: Paint): string[] {
  const rows = shards.map((shard) => [
    shard.shard,
    shard.area ?? '–',
    shard.owner,
    stateWords(shard, paint),
    shard.epoch,
    shard.moveId ?? '–',
    copiesWords(shard.copies),
  ]);
  return [
    ...tableLines(['SHARD', 'AREA', 'OWNER', 'STATE', 'EPOCH', 'MOVE', 'COPIES'], rows),
    `${count(shards.length, 'shard')} · table version ${tableVersion}`,
  ];
}

/** `alike` when every zone's copy says the same, else what each one says. */
export function copiesWords(copies: ShardStatus['copies']): string {
  const entries = Object.entries(copies);
  const isAlike = new Set(entries.map(([, copy]) => copy)).size === 1;
  if (entries.length === 0) return '–';
  return isAlike ? 'alike' : entries.map(([zone, copy]) => `${zone}: ${copy}`).join('; ');
}

function stateWords({ state, heir }: ShardStatus, paint: Paint): string {
  return state === 'serving' ? state : paint.yellow(heir === undefined ? state : `${state} → ${heir}`);
}
