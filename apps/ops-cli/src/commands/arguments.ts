/** Reads what verbs are given by hand; what cannot be read is refused before anybody is asked. */
import { hostname, userInfo } from 'node:os';
import { MOVE_ID_PATTERN } from '@borough/contracts';
import { isShardNumber, parseId, SHARD_COUNT, ZONE_ID_PATTERN } from '@borough/topology';
import { CliFault } from '../terminal/cli-fault.js';
import { EXIT } from '../terminal/exit-codes.js';

/** The contract's bound on who asks. */
const WHO_MAX_CHARACTERS = 100;

/**
 * Shards in the order of their numbers, each once.
 *
 * @param words like `3`, `3,4`, `7-9`, `shard:12`
 */
export function shardsOf(words: readonly string[]): number[] {
  const parts = words.flatMap((word) => word.split(',')).filter((part) => part !== '');
  const shards = new Set(parts.flatMap(shardRange));
  if (shards.size === 0) throw usage('no shard is named', ['write  3  or  3,4  or  7-9']);
  return [...shards].sort((a, b) => a - b);
}

function shardRange(part: string): number[] {
  const match = /^(?:shard:)?(\d{1,4})(?:-(\d{1,4}))?$/.exec(part);
  const from = Number(match?.[1]);
  const to = Number(match?.[2] ?? match?.[1]);
  if (match === null || !isShardNumber(from) || !isShardNumber(to) || to < from) {
    throw usage(`${part} names no shard`, [
      `shards are numbers from 0 to ${SHARD_COUNT - 1}: write  3  or  3,4  or  7-9`,
      'borough explain <tag>  finds the shard of a place or an id',
    ]);
  }
  return Array.from({ length: to - from + 1 }, (_, index) => from + index);
}

export function zoneOf(text: string): string {
  if (ZONE_ID_PATTERN.test(text)) return text;
  throw usage(`${text} is no zone`, ['borough status  lists the zones']);
}

export function moveIdOf(text: string): string {
  if (MOVE_ID_PATTERN.test(text)) return text;
  throw usage(`${text} is no move`, ['moves have names like mov_01h455vb4pex5vsknk084sn02q', 'borough move list']);
}

export function orderIdOf(text: string): string {
  if (parseId(text)?.kind === 'order') return text;
  throw usage(`${text} is no order`, [
    'orders have names like ord_01h455vb4pex5vsknk084sn02q',
    'borough orders held  lists those that are held',
  ]);
}

export function auditIdOf(text: string): string {
  if (/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text)) return text.toLowerCase();
  throw usage(`${text} is no audit`, ['audits are named by UUIDs', 'borough audit list']);
}

const MS_OF = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/**
 * @param text like `30m`, `2h`, `7d`, or an instant like `2026-11-23T10:00:00Z`
 * @returns that moment as an instant
 */
export function sinceOf(text: string, nowMs: number): string {
  const span = /^(\d{1,6})([smhd])$/.exec(text);
  const unit = span?.[2];
  if (unit === 's' || unit === 'm' || unit === 'h' || unit === 'd') {
    return new Date(nowMs - Number(span?.[1]) * MS_OF[unit]).toISOString();
  }
  const atMs = /^\d{4}-\d{2}-\d{2}T/.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(atMs) || atMs > nowMs) {
    throw usage(`${text} is no moment in the past`, ['write  30m  or  2h  or  7d  or  2026-11-23T10:00:00Z']);
  }
  return new Date(atMs).toISOString();
}

/** @param text like `a/12` */
export function receiptOf(text: string): { zone: string; id: number } {
  const [zone = '', id = '', ...rest] = text.split('/');
  if (ZONE_ID_PATTERN.test(zone) && /^[1-9]\d{0,14}$/.test(id) && rest.length === 0) return { zone, id: Number(id) };
  throw usage(`${text} is no receipt`, ['receipts have names like a/12', 'borough receipts list']);
}

/** @param given value of `--by`; without it the user and the machine, like `ana@laptop` */
export function whoOf(given: string | undefined, env: Readonly<Record<string, string | undefined>>): string {
  const who = given ?? `${userName(env)}@${hostname()}`;
  if (who.trim() === '') throw usage('--by names nobody', ['write  --by ana@laptop']);
  return who.slice(0, WHO_MAX_CHARACTERS);
}

export function usage(title: string, next: readonly string[] = []): CliFault {
  return new CliFault({ code: 'usage', title, next, exitCode: EXIT.usage });
}

/** In a container the user often has no name. */
function userName(env: Readonly<Record<string, string | undefined>>): string {
  try {
    return userInfo().username;
  } catch {
    return env['USER'] ?? 'unknown';
  }
}
