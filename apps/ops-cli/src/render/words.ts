/** How counts, lengths of time and moves are said, everywhere alike. */
import { type MoveTarget } from '@borough/contracts';

/** `1 shard`, `3 shards` */
export function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`;
}

/** `8 ms`, `1.4 s`, `2 min 5 s` */
export function duration(ms: number): string {
  if (ms < 1) return `${ms === 0 ? 0 : ms.toFixed(1)} ms`;
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`;
  return `${Math.floor(ms / 60_000)} min ${Math.floor((ms % 60_000) / 1000)} s`;
}

/** `512 B`, `1.2 MB` */
export function bytes(number: number): string {
  if (number < 1000) return `${number} B`;
  if (number < 1_000_000) return `${(number / 1000).toFixed(1)} kB`;
  return `${(number / 1_000_000).toFixed(1)} MB`;
}

/** `2026-11-23 14:31:05Z`: seconds are enough for people, and UTC is the same for everyone. */
export function instant(text: string): string {
  const date = new Date(text);
  return Number.isNaN(date.getTime()) ? text : `${date.toISOString().slice(0, 19).replace('T', ' ')}Z`;
}

/** `shards 3, 7 to b`, `drain of zone a`, `undrain of zone a` */
export function targetWords(target: MoveTarget): string {
  switch (target.kind) {
    case 'shards':
      return `${target.shards.length === 1 ? 'shard' : 'shards'} ${numberList(target.shards)} to ${target.to}`;
    case 'drain':
      return `drain of zone ${target.zone}${target.to === undefined ? '' : ` to ${target.to}`}`;
    case 'undrain':
      return `undrain of zone ${target.zone}`;
    case 'failover':
      return `failover of zone ${target.zone}${target.declareLost === true ? ', which is declared lost' : ''}`;
  }
}

/** `3, 7-9, 12` in the form that `move apply` takes. */
export function numberList(numbers: readonly number[]): string {
  const ranges: { from: number; to: number }[] = [];
  for (const number of [...numbers].sort((a, b) => a - b)) {
    const last = ranges.at(-1);
    if (last !== undefined && number === last.to + 1) last.to = number;
    else ranges.push({ from: number, to: number });
  }
  const texts = ranges.map(({ from, to }) => (from === to ? `${from}` : `${from}-${to}`));
  return texts.join(', ');
}

/** What others wrote may hold anything, control characters of a terminal included: these become dots. */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}]/gu, '·');
}

/** A word that a shell takes as one: quoted where it must be. */
export function shellWord(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
