import { cellOfPlace, ID_PREFIXES, type IdKind, newUuid, toId } from '@borough/topology';
import { describe, expect, it } from 'vitest';
import { cellField, idField, instantField, placeField, textField, versionField } from './fields.js';

const SUFFIX = '01h455vb4pex5vsknk084sn02q';
const KINDS = Object.keys(ID_PREFIXES) as IdKind[];

describe('an id field', () => {
  it.each(KINDS)('takes an id of its own kind that we made: %s', (kind) => {
    const id = toId(
      kind,
      newUuid(4095, Date.UTC(2026, 10, 22), () => crypto.getRandomValues(new Uint8Array(16))),
    );
    expect(idField(kind).safeParse(id).success).toBe(true);
  });

  it.each(KINDS)('refuses an id of every kind but its own: %s', (kind) => {
    const taken = KINDS.filter((other) => idField(kind).safeParse(`${ID_PREFIXES[other]}_${SUFFIX}`).success);
    expect(taken).toEqual([kind]);
  });

  it.each([
    ['upper case', `ord_${SUFFIX.toUpperCase()}`],
    ['an upper-case prefix', `ORD_${SUFFIX}`],
    ['a first character above 7, which is more than a UUID holds', `ord_8${SUFFIX.slice(1)}`],
    ['a letter that looks like a digit', `ord_${SUFFIX.slice(0, -1)}l`],
    ['the letter u, which the alphabet leaves out', `ord_${SUFFIX.slice(0, -1)}u`],
    ['one character less', `ord_${SUFFIX.slice(1)}`],
    ['one character more', `ord_${SUFFIX}0`],
    ['a space before it', ` ord_${SUFFIX}`],
    ['a line end after it', `ord_${SUFFIX}\n`],
    ['no prefix', SUFFIX],
    ['a bare UUID', '01890a5d-ac96-774b-bcce-b302099a8057'],
    ['a UUID of version 4 inside', 'ord_7mfb0gpp6c8dsaasre0asc7n3s'],
    ['the empty text', ''],
    ['a number', 1],
  ])('refuses any other way to write it: %s', (_what, text) => {
    expect(idField('order').safeParse(text).success).toBe(false);
  });

  it('says what an id of this kind looks like', () => {
    const [issue] = idField('courier').safeParse('nobody').error?.issues ?? [];
    expect(issue?.message).toMatch(/must be an id like cou_/);
  });
});

describe('a text field', () => {
  it.each([
    ['one character', 'a'],
    ['as many as it may hold', 'a'.repeat(10)],
    ['emoji, which are whole pairs and one code point each', '🍕'.repeat(10)],
    ['joined emoji', '👩‍👧'],
    ['a line end', 'two\nlines'],
    ['other scripts', 'ラーメン'],
  ])('takes %s', (_what, text) => {
    expect(textField(10).safeParse(text)).toEqual({ success: true, data: text });
  });

  it.each([
    ['the empty text', ''],
    ['one character too many', 'a'.repeat(11)],
    ['one emoji too many', '🍕'.repeat(11)],
    ['NUL, which PostgreSQL cannot store', 'a\0b'],
    ['the first half of a pair', 'a\ud83c'],
    ['the second half of a pair', '\udf55a'],
    ['two halves in the wrong order', '\udf55\ud83c'],
    ['null', null],
    ['a number', 5],
  ])('refuses %s', (_what, text) => {
    expect(textField(10).safeParse(text).success).toBe(false);
  });
});

describe('a place', () => {
  it.each([
    ['the equator', 0, 0],
    ['the north pole at the date line', 90, 180],
    ['the south pole at the date line', -90, -180],
  ])('may be %s', (_what, latitude, longitude) => {
    expect(placeField.safeParse({ latitude, longitude }).success).toBe(true);
  });

  it.each([
    ['NaN', Number.NaN],
    ['infinity', Number.POSITIVE_INFINITY],
    ['minus infinity', Number.NEGATIVE_INFINITY],
    ['just past the pole', 90.000001],
    ['text', '52.37'],
    ['null', null],
    ['nothing', undefined],
  ])('has no latitude that is %s', (_what, latitude) => {
    expect(placeField.safeParse({ latitude, longitude: 4.9 }).success).toBe(false);
  });

  it('has no longitude past the date line', () => {
    expect(placeField.safeParse({ latitude: 0, longitude: 180.5 }).success).toBe(false);
    expect(placeField.safeParse({ latitude: 0, longitude: Number.NaN }).success).toBe(false);
  });

  it('has no member besides, so that a misspelt one is not overlooked', () => {
    expect(placeField.safeParse({ latitude: 0, longitude: 0, lat: 1 }).success).toBe(false);
  });
});

describe('an instant', () => {
  it.each([
    ['UTC', '2026-11-22T19:30:00Z'],
    ['local time with an offset', '2026-11-22T19:30:00+05:30'],
    ['a time with milliseconds', '2026-11-22T19:30:00.123Z'],
    ['the first moment', '2000-01-01T00:00:00Z'],
    ['the last second', '2100-12-31T23:59:59Z'],
    ['the first moment, said with an offset in the year before', '1999-12-31T19:00:00-05:00'],
    ['29 February of a leap year', '2028-02-29T12:00:00Z'],
  ])('may be given as %s', (_what, text) => {
    expect(instantField.safeParse(text).success).toBe(true);
  });

  it.each([
    ['local time without an offset, another instant in every place', '2026-11-22T19:30:00'],
    ['a date alone', '2026-11-22'],
    ['a day that is not there', '2026-02-30T12:00:00Z'],
    ['29 February of a common year', '2027-02-29T12:00:00Z'],
    ['a month that is not there', '2026-13-01T12:00:00Z'],
    ['the 25th hour', '2026-11-22T25:00:00Z'],
    ['a year before 2000', '1999-12-31T23:59:59Z'],
    ['2000 by the local clock and 1999 by UTC', '2000-01-01T00:30:00+01:00'],
    ['2100 by the local clock and 2101 by UTC', '2100-12-31T23:30:00-01:00'],
    ['a year after 2100', '2101-01-01T00:00:00Z'],
    ['a year of five digits', '+12026-11-22T19:30:00Z'],
    ['milliseconds since 1970', 1_795_000_000_000],
    ['the empty text', ''],
  ])('may not be given as %s', (_what, text) => {
    expect(instantField.safeParse(text).success).toBe(false);
  });
});

describe('a cell', () => {
  it('is a lower-case H3 index and nothing else', () => {
    const cell = cellOfPlace(52.37, 4.9) ?? '';
    expect(cellField.safeParse(cell).success).toBe(true);
    for (const other of [cell.toUpperCase(), `0${cell}`, cell.slice(1), 'ffffffffffffffff', '', `${cell} `]) {
      expect(cellField.safeParse(other).success, other).toBe(false);
    }
  });
});

describe('a version', () => {
  it('counts from 1 in whole numbers', () => {
    expect([1, 2, 2 ** 31].every((version) => versionField.safeParse(version).success)).toBe(true);
    expect([0, -1, 1.5, '1', 2 ** 53].some((version) => versionField.safeParse(version).success)).toBe(false);
  });
});
