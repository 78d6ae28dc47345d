import { describe, expect, it } from 'vitest';
import { Problem } from '../problem/problem.js';
import { readJsonBody } from './json-body.js';

function read(text: string, maxDepth = 4): unknown {
  return readJsonBody(Buffer.from(text), maxDepth);
}

/** The code of the problem a body is refused with. */
function refusalOf(text: string, maxDepth?: number): string {
  try {
    read(text, maxDepth);
  } catch (error) {
    if (error instanceof Problem) return error.code;
    throw error;
  }
  return 'taken';
}

function nested(levels: number): string {
  return '['.repeat(levels) + ']'.repeat(levels);
}

describe('a body', () => {
  it.each([
    ['an object', '{"a":[1,2,{"b":null}]}'],
    ['a bare value', '"text"'],
    ['null', 'null'],
    ['text with emoji', '{"note":"🍕 à la carte"}'],
    ['white space around', ' \n{"a":1}\t'],
  ])('is read as JSON: %s', (_what, text) => {
    expect(read(text)).toEqual(JSON.parse(text));
  });

  it.each([
    ['nothing', ''],
    ['half an object', '{"a":'],
    ['two values', '{} {}'],
    ['a comma too many', '[1,]'],
    ['single quotes', "{'a':1}"],
    ['NaN', '{"a":NaN}'],
    ['a comment', '{} // hello'],
    ['too many closing brackets', '[]]]]'],
    ['an open string', '"abc'],
    ['a string that ends in a backslash', '"abc\\'],
  ])('that is not JSON is malformed: %s', (_what, text) => {
    expect(refusalOf(text)).toBe('malformed-json');
  });
});

describe('a key that would change objects behind our back', () => {
  it.each([
    ['plainly', '{"__proto__":{"isAdmin":true}}'],
    ['deep inside', '{"a":[{"__proto__":null}]}'],
    ['spelt with escapes', '{"\\u005f\\u005fproto\\u005f_":{"isAdmin":true}}'],
    ['by the constructor', '{"constructor":{"prototype":{"isAdmin":true}}}'],
  ])('is refused: %s', (_how, text) => {
    expect(refusalOf(text)).toBe('malformed-json');
  });

  it('is only text when it stands in a value', () => {
    expect(read('{"note":"__proto__"}')).toEqual({ note: '__proto__' });
  });
});

describe('depth', () => {
  it('is accepted up to the bound and refused one level beyond, of arrays and objects alike', () => {
    expect(refusalOf(nested(4), 4)).toBe('taken');
    expect(refusalOf(nested(5), 4)).toBe('body-too-deep');
    expect(refusalOf('{"a":[{"b":[]}]}', 4)).toBe('taken');
    expect(refusalOf('{"a":[{"b":[{}]}]}', 4)).toBe('body-too-deep');
  });

  it('counts what is inside each other, not what stands side by side', () => {
    expect(refusalOf(`[${'[],'.repeat(10_000)}{}]`, 2)).toBe('taken');
  });

  it.each([
    ['brackets in a string', '["[[[[[[[[{{{{"]'],
    ['brackets in a key', '{"[[[[[[[[": 1}'],
    ['brackets after an escaped quote', '["\\"[[[[[[[["]'],
    ['brackets after an escaped backslash and quote', '["\\\\\\"[[[[[[[["]'],
    ['brackets after the escape of a character', '["\\u0022[[[[[[[["]'],
  ])('does not count %s', (_what, text) => {
    expect(read(text, 1)).toEqual(JSON.parse(text));
  });

  it('counts brackets again after a string that ends in an escaped backslash', () => {
    expect(refusalOf('["\\\\",[[[]]]]', 3)).toBe('body-too-deep');
  });

  it('is refused before anything is built: a body that no parser could finish, and one that is not even JSON', () => {
    expect(refusalOf(nested(10_000), 32)).toBe('body-too-deep');
    expect(refusalOf('['.repeat(1_000_000), 32)).toBe('body-too-deep');
    expect(refusalOf('{"a":'.repeat(200_000), 32)).toBe('body-too-deep');
  });
});
