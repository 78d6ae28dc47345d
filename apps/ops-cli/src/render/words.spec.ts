import { expect, it } from 'vitest';
import { shardsOf } from '../commands/arguments.js';
import { bytes, count, duration, instant, numberList, shellWord, targetWords } from './words.js';

it('counts, times and sizes are said in the unit that fits', () => {
  expect([count(1, 'shard'), count(0, 'shard')]).toEqual(['1 shard', '0 shards']);
  expect([0, 0.42, 8.4, 1400, 125_000].map(duration)).toEqual(['0 ms', '0.4 ms', '8 ms', '1.4 s', '2 min 5 s']);
  expect([999, 1200, 1_234_567].map(bytes)).toEqual(['999 B', '1.2 kB', '1.2 MB']);
  expect(instant('2026-11-23T15:31:05.123+01:00')).toBe('2026-11-23 14:31:05Z');
});

it('a list of shards is one that the command line takes back', () => {
  const shards = [12, 3, 7, 8, 9];
  expect(numberList(shards)).toBe('3, 7-9, 12');
  expect(shardsOf([numberList(shards).replaceAll(' ', '')])).toEqual([3, 7, 8, 9, 12]);
});

it('targets are named', () => {
  expect(targetWords({ kind: 'shards', shards: [4], to: 'b' })).toBe('shard 4 to b');
  expect(targetWords({ kind: 'drain', zone: 'a', to: 'b' })).toBe('drain of zone a to b');
  expect(targetWords({ kind: 'undrain', zone: 'a' })).toBe('undrain of zone a');
});

it('a word for the shell stays one word', () => {
  expect(shellWord('plain')).toBe('plain');
  expect(shellWord("it's $HOME")).toBe("'it'\\''s $HOME'");
});
