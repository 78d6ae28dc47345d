import fc from 'fast-check';
import { validate, version } from 'uuid';
import { describe, expect, it } from 'vitest';
import {
  ID_LENGTH,
  ID_PREFIXES,
  isShardNumber,
  newUuid,
  parseId,
  SHARD_COUNT,
  shardOfUuid,
  toId,
  type IdKind,
} from './ids.js';

const NOW_MS = Date.UTC(2025, 0, 1);
const ZEROS = () => new Uint8Array(16);
const ONES = () => new Uint8Array(16).fill(255);
const ALPHABET = '0123456789abcdefghjkmnpqrstvwxyz';

const kinds = fc.constantFrom<IdKind>('order', 'store', 'courier', 'customer', 'event');
const shards = fc.integer({ min: 0, max: SHARD_COUNT - 1 });
const times = fc.integer({ min: 0, max: 2 ** 48 - 1 });
const chances = fc.uint8Array({ minLength: 16, maxLength: 16 });
const uuids = fc.tuple(shards, times, chances).map(([shard, nowMs, chance]) => newUuid(shard, nowMs, () => chance));

const bits = (uuid: string) => BigInt(`0x${uuid.replaceAll('-', '')}`);
const orderId = () => toId('order', newUuid(17, NOW_MS, ZEROS));

describe('I1: a UUID of ours', () => {
  it('carries its shard in the 12 bits after the version', () => {
    fc.assert(
      fc.property(shards, times, chances, (shard, nowMs, chance) => {
        const uuid = newUuid(shard, nowMs, () => chance);
        expect(shardOfUuid(uuid)).toBe(shard);
        expect(Number((bits(uuid) >> 64n) & 0xfffn)).toBe(shard);
      }),
    );
  });

  it('is a version 7 UUID with its time in the first 48 bits', () => {
    fc.assert(
      fc.property(shards, times, chances, (shard, nowMs, chance) => {
        const uuid = newUuid(shard, nowMs, () => chance);
        expect(validate(uuid) && version(uuid)).toBe(7);
        expect(Number(bits(uuid) >> 80n)).toBe(nowMs);
      }),
    );
  });

  it('has 62 bits of chance and no other', () => {
    const differing = bits(newUuid(17, NOW_MS, ZEROS)) ^ bits(newUuid(17, NOW_MS, ONES));
    expect(differing).toBe(2n ** 62n - 1n);
  });

  it('takes its chance from a view into a larger buffer', () => {
    const pool = new Uint8Array(64).fill(255);
    pool.fill(0, 32, 48);
    expect(newUuid(17, NOW_MS, () => pool.subarray(32, 48))).toBe(newUuid(17, NOW_MS, ZEROS));
  });

  it('sorts after every one made in an earlier millisecond, as a UUID and as an id', () => {
    fc.assert(
      fc.property(shards, shards, fc.integer({ min: 0, max: 2 ** 48 - 2 }), (one, other, nowMs) => {
        const [before, after] = [newUuid(one, nowMs, ONES), newUuid(other, nowMs + 1, ZEROS)];
        expect(before < after).toBe(true);
        expect(toId('order', before) < toId('order', after)).toBe(true);
      }),
    );
  });

  it.each([-1, SHARD_COUNT, 1.5, Number.NaN])('is never made for shard %d', (shard) => {
    expect(isShardNumber(shard)).toBe(false);
    expect(() => newUuid(shard, NOW_MS, ZEROS)).toThrow(RangeError);
  });

  it.each([-1, 2 ** 48, 0.5, Number.NaN, Infinity])('is never made at time %d', (nowMs) => {
    expect(() => newUuid(0, nowMs, ZEROS)).toThrow(RangeError);
  });

  it('is never made from too few random bytes', () => {
    expect(() => newUuid(0, NOW_MS, () => new Uint8Array(15))).toThrow(RangeError);
  });

  it.each(['', 'x', '00000000-0000-4000-8000-000000000000', newUuid(1, NOW_MS, ONES).toUpperCase()])(
    'is not %j, which has no shard and no id',
    (uuid) => {
      expect(() => shardOfUuid(uuid)).toThrow(RangeError);
      expect(() => toId('order', uuid)).toThrow(RangeError);
    },
  );
});

describe('I2: the text of an id', () => {
  it('gives back its kind, its UUID and its shard', () => {
    fc.assert(
      fc.property(kinds, uuids, (kind, uuid) => {
        const id = toId(kind, uuid);
        expect(id).toMatch(new RegExp(`^${ID_PREFIXES[kind]}_`));
        expect(id).toHaveLength(ID_LENGTH);
        expect(parseId(id)).toEqual({ kind, uuid, shard: shardOfUuid(uuid) });
      }),
    );
  });

  it('agrees with the published example of the format', () => {
    expect(parseId('ord_01h455vb4pex5vsknk084sn02q')?.uuid).toBe('01890a5d-ac96-774b-bcce-b302099a8057');
  });

  it('is the only text of that id', () => {
    fc.assert(
      fc.property(
        kinds,
        uuids,
        fc.nat(ID_LENGTH - 1),
        fc.string({ unit: 'binary', maxLength: 2 }),
        (kind, uuid, at, other) => {
          const id = toId(kind, uuid);
          const changed = id.slice(0, at) + other + id.slice(at + 1);
          const parsed = parseId(changed);
          if (parsed !== undefined) expect(toId(parsed.kind, parsed.uuid)).toBe(changed);
        },
      ),
      { numRuns: 1000 },
    );
  });
});

describe('I3: reading an id from outside', () => {
  it('never throws, whatever the text', () => {
    fc.assert(fc.property(fc.string({ unit: 'binary' }), (text) => parseId(text) === undefined));
    const alike = fc.string({ unit: fc.constantFrom(...Array.from(ALPHABET)), minLength: 26, maxLength: 26 });
    fc.assert(
      fc.property(alike, (suffix) => {
        const parsed = parseId(`ord_${suffix}`);
        if (parsed !== undefined) expect(toId('order', parsed.uuid)).toBe(`ord_${suffix}`);
      }),
    );
  });

  it('refuses ten million characters at once', () => {
    expect(parseId(`ord_${'0'.repeat(10_000_000)}`)).toBeUndefined();
    expect(parseId('_'.repeat(10_000_000))).toBeUndefined();
  });

  it.each([
    ['upper case', () => orderId().toUpperCase()],
    ['one upper-case letter in the suffix', () => 'ord_01H455vb4pex5vsknk084sn02q'],
    ['a first character above 7', () => orderId().replace('_0', '_8')],
    ['a letter outside the alphabet', () => orderId().replace(/.$/, 'u')],
    ['an unknown prefix', () => orderId().replace('ord', 'abc')],
    ['a prefix that every object has', () => orderId().replace('ord_', 'constructor_')],
    ['no prefix', () => orderId().slice(4)],
    ['another separator', () => orderId().replace('_', '-')],
    ['a space in front', () => ` ${orderId()}`],
    ['a line end behind', () => `${orderId()}\n`],
    ['a missing character', () => orderId().slice(0, -1)],
    ['a bare UUID', () => newUuid(17, NOW_MS, ZEROS)],
    ['a UUID of another version', () => 'ord_00000000000000000000000000'],
    ['a UUID of another variant', () => 'ord_01h455vb4pex5zsknk084sn02q'],
    ['nothing', () => ''],
  ])('refuses %s', (_, text) => {
    expect(parseId(text())).toBeUndefined();
  });
});
