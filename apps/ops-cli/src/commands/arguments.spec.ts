import { describe, expect, it } from 'vitest';
import { placesLast } from '../program.js';
import { moveIdOf, shardsOf, whoOf, zoneOf } from './arguments.js';

describe('shards', () => {
  it.each([
    [['3'], [3]],
    [
      ['3,4', '7-9'],
      [3, 4, 7, 8, 9],
    ],
    [
      ['shard:12', '12', '0'],
      [0, 12],
    ],
    [['4095'], [4095]],
  ])('%j are %j', (words, expected) => {
    expect(shardsOf(words)).toEqual(expected);
  });

  it.each([['4096'], ['9-7'], ['-1'], ['1.5'], ['x'], ['1-'], [','], ['99999'], ['geo:851f1553fffffff']])(
    '%j are none',
    (word) => {
      expect(() => shardsOf([word])).toThrow(expect.objectContaining({ exitCode: 2 }) as Error);
    },
  );
});

it('zones and moves have names of one form', () => {
  expect(zoneOf('eu-west')).toBe('eu-west');
  expect(() => zoneOf('A')).toThrow('A is no zone');
  expect(moveIdOf('mov_01h455vb4pex5vsknk084sn02q')).toMatch(/^mov_/);
  expect(() => moveIdOf('mov_1')).toThrow('mov_1 is no move');
});

it('who asks is the user at the machine unless named, and fits the contract', () => {
  expect(whoOf(undefined, {})).toMatch(/^.+@.+$/);
  expect(whoOf('ana@laptop', {})).toBe('ana@laptop');
  expect(whoOf('x'.repeat(300), {})).toHaveLength(100);
  expect(() => whoOf(' ', {})).toThrow(expect.objectContaining({ exitCode: 2 }) as Error);
});

describe('places that begin with a minus', () => {
  it('are no options, wherever they stand', () => {
    expect(placesLast(['explain', '-33.9,18.4', '--json'])).toEqual(['explain', '--json', '--', '-33.9,18.4']);
  });

  it('change no other command line', () => {
    for (const args of [['explain', '33.9,-18.4'], ['move', 'plan', '-1,2'], ['explain', '--', '-1,2'], []]) {
      expect(placesLast(args)).toEqual(args);
    }
  });
});
