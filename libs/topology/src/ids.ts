/**
 * Ids that carry their shard (SPEC.md I1–I3).
 *
 * An id is a UUIDv7 (RFC 9562, 5.7) whose 12 `rand_a` bits are the shard number, shown as a TypeID (prefix, underscore,
 * 26 characters of base 32):
 *
 *     unix_ts_ms (48) | ver = 7 (4) | rand_a = shard (12) | var (2) | rand_b = chance (62)
 *
 * So an id routes itself with no look-up, sorts by the millisecond it was made in, and outlives every move: no zone is
 * ever in it. Within one millisecond ids sort by shard, then by chance.
 */
import { fromUUID, toUUIDBytes, type TypeId } from 'typeid-js';
import { stringify, v7 } from 'uuid';

/** Number of a shard: a whole number from 0 to `SHARD_COUNT - 1`. */
export type ShardNumber = number;

/** How many shards there can be: what 12 bits hold. For ever: it is built into every id given out. */
export const SHARD_COUNT = 4096;

/** Is this a shard number: whole, and 0 <= value < `SHARD_COUNT`? */
export function isShardNumber(value: number): boolean {
  return Number.isInteger(value) && value >= 0 && value < SHARD_COUNT;
}

/**
 * What an id names.
 *
 * `order`, `store` and `courier` live in the shard their id carries; an `event` carries the shard of its order.
 * A `customer` lives in no shard: the shard bits of its id mean nothing and must never route anything.
 */
export type IdKind = 'order' | 'store' | 'courier' | 'customer' | 'event';

/** Prefix of each kind in the text form, without the underscore. All three letters long; never reused. */
export const ID_PREFIXES = {
  order: 'ord',
  store: 'str',
  courier: 'cou',
  customer: 'cus',
  event: 'evt',
} as const satisfies Record<IdKind, string>;

/** An id read from text. For a customer `shard` is what the bits say, and means nothing. */
export type ParsedId = { kind: IdKind; uuid: string; shard: ShardNumber };

/** Characters in the text form of every id: prefix (3), underscore, 26 of base 32. */
export const ID_LENGTH = 30;

const KIND_OF_PREFIX: ReadonlyMap<string, IdKind> = new Map([
  [ID_PREFIXES.order, 'order'],
  [ID_PREFIXES.store, 'store'],
  [ID_PREFIXES.courier, 'courier'],
  [ID_PREFIXES.customer, 'customer'],
  [ID_PREFIXES.event, 'event'],
]);

// Crockford's alphabet in lower case, without i, l, o, u. The first character holds the three bits that are left of 128
// after 25 x 5, so above 7 the text would stand for more than a UUID holds.
const SUFFIX_PATTERN = /^[0-7][0-9a-hjkmnp-tv-z]{25}$/;
const UUID_V7_PATTERN = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const UUID_BYTES = 16;
const MSECS_LIMIT = 2 ** 48;

/**
 * A fresh UUIDv7 that carries `shard`.
 *
 * @param shard 0 <= shard < 4096; for a customer any number will do
 * @param nowMs ms since 1970, whole, 0 <= nowMs < 2^48
 * @param random 16 fresh random bytes per call; the id takes 62 bits of them, so two ids of one shard and one
 *   millisecond differ by chance alone
 * @returns lower-case text with hyphens
 * @throws RangeError when an argument is out of its range: a bug of the caller
 * @see RFC 9562, 6.2 (a method may give rand_a to the application)
 */
export function newUuid(shard: ShardNumber, nowMs: number, random: () => Uint8Array): string {
  if (!isShardNumber(shard)) throw new RangeError(`not a shard number: ${shard}`);
  if (!Number.isInteger(nowMs) || nowMs < 0 || nowMs >= MSECS_LIMIT) throw new RangeError(`not a time in ms: ${nowMs}`);
  const bytes = random();
  if (bytes.length < UUID_BYTES) throw new RangeError(`16 random bytes needed, got ${bytes.length}`);
  // `seq` is 32 bits: the upper 12 fill rand_a, the lower 20 open rand_b, which takes the rest from `random`'s last bytes.
  const chance = new DataView(bytes.buffer, bytes.byteOffset).getUint32(6) & 0xf_ffff;
  return v7({ msecs: nowMs, seq: ((shard << 20) | chance) >>> 0, random: bytes });
}

/**
 * The shard a UUID of ours carries.
 *
 * @param uuid lower-case UUIDv7 text, from `newUuid`, from `parseId` or from a row of ours
 * @throws RangeError when it is no UUIDv7: a bug of the caller; text from outside goes through `parseId`
 */
export function shardOfUuid(uuid: string): ShardNumber {
  return Number.parseInt(requireUuidV7(uuid).slice(15, 18), 16);
}

/**
 * The text form shown outside, such as `ord_01h455vb4pex5vsknk084sn02q`.
 *
 * @param uuid lower-case UUIDv7 text
 * @throws RangeError when it is no UUIDv7: a bug of the caller
 * @see the TypeID specification, version 0.3
 */
export function toId(kind: IdKind, uuid: string): string {
  return fromUUID(requireUuidV7(uuid), ID_PREFIXES[kind]);
}

/**
 * Reads an id that came from outside. Safe on any text of any length, and never throws.
 *
 * One id has one text: upper case, look-alike letters, a first character above 7, an unknown prefix and a UUID that is
 * not version 7 are all refused. Otherwise two texts could name one order, and a cache or an idempotency key would take
 * them for two.
 *
 * @returns undefined for anything that is not the one text of an id of ours
 */
export function parseId(text: string): ParsedId | undefined {
  if (text.length !== ID_LENGTH || text[3] !== '_') return undefined;
  const kind = KIND_OF_PREFIX.get(text.slice(0, 3));
  if (kind === undefined || !SUFFIX_PATTERN.test(text.slice(4))) return undefined;
  // The patterns above prove what the type claims. `fromString` would decode everything once more to prove it again,
  // and the router reads an id in every request.
  const bytes = toUUIDBytes(text as TypeId<string>);
  const head = new DataView(bytes.buffer, bytes.byteOffset).getUint32(6);
  // 16 bits ver and rand_a, then the two bits of the variant: 0111 ssss ssss ssss 10.
  const isVersion7 = head >>> 28 === 7 && ((head >>> 14) & 3) === 2;
  return isVersion7 ? { kind, uuid: stringify(bytes), shard: (head >>> 16) & 0xfff } : undefined;
}

function requireUuidV7(uuid: string): string {
  if (!UUID_V7_PATTERN.test(uuid)) throw new RangeError(`not a lower-case UUIDv7: ${uuid.slice(0, 40)}`);
  return uuid;
}
