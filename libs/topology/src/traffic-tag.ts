/**
 * Traffic tags: what a request carries to name its shard (SPEC.md I4–I6).
 *
 *     geo:8928308280fffff     an H3 cell; the area map says which shard
 *     shard:17                the shard itself
 *     ord_01h455vb4p…         an id of ours (order, store, courier, event), which carries its shard
 *
 * A tag says where a request is to go, and nothing about what it may do there: the zone's database checks ownership
 * again, whatever the tag said.
 */
import { areaOfShard, shardOfCell, isCell, type AreaMap } from './area-map.js';
import { ID_LENGTH, isShardNumber, parseId, type ShardNumber } from './ids.js';

/** A tag read from text. `cell` is an H3 cell, `id` the text form of the id, `shard` a valid shard number. */
export type TrafficTag =
  | { kind: 'geo'; cell: string }
  | { kind: 'shard'; shard: ShardNumber }
  | { kind: 'id'; id: string; shard: ShardNumber };

const GEO = 'geo:';
const SHARD = 'shard:';
const SHARD_NUMBER_PATTERN = /^(?:0|[1-9][0-9]{0,3})$/;

/**
 * Reads the value of a `Traffic-Tag` header or `traffic_tag` cookie. Safe on any text of any length, and never throws.
 *
 * One tag has one text: no spaces around it, no upper case, no leading zeros.
 *
 * @returns undefined when it is no tag. A customer's id is none: customers live in no shard.
 */
export function parseTrafficTag(text: string): TrafficTag | undefined {
  if (text.length > ID_LENGTH) return undefined; // the id is the longest form
  if (text.startsWith(GEO)) return geoTag(text.slice(GEO.length));
  if (text.startsWith(SHARD)) return shardTag(text.slice(SHARD.length));
  return idTag(text);
}

/**
 * The tag a path implies: its first segment that is a routable id of ours.
 *
 * @param pathname the path without its query, not percent-decoded; takes time linear in its length
 * @returns undefined when no segment is one
 */
export function tagOfPath(pathname: string): TrafficTag | undefined {
  for (let start = 0; start < pathname.length;) {
    const slash = pathname.indexOf('/', start);
    const end = slash === -1 ? pathname.length : slash;
    const tag = end - start === ID_LENGTH ? idTag(pathname.slice(start, end)) : undefined;
    if (tag !== undefined) return tag;
    start = end + 1;
  }
  return undefined;
}

/**
 * The shard a tag leads to.
 *
 * An id always leads to the shard it carries, even when no area has that shard any more: its rows are still there.
 *
 * @returns undefined when no area covers the cell, or no area has the shard: "area not served"
 */
export function resolveTag(tag: TrafficTag, areaMap: AreaMap): ShardNumber | undefined {
  switch (tag.kind) {
    case 'geo':
      return shardOfCell(areaMap, tag.cell);
    case 'shard':
      return areaOfShard(areaMap, tag.shard)?.shard;
    case 'id':
      return tag.shard;
  }
}

function geoTag(cell: string): TrafficTag | undefined {
  return isCell(cell) ? { kind: 'geo', cell } : undefined;
}

function shardTag(digits: string): TrafficTag | undefined {
  const shard = Number(digits);
  return SHARD_NUMBER_PATTERN.test(digits) && isShardNumber(shard) ? { kind: 'shard', shard } : undefined;
}

function idTag(id: string): TrafficTag | undefined {
  const parsed = parseId(id);
  if (parsed === undefined || parsed.kind === 'customer') return undefined;
  return { kind: 'id', id, shard: parsed.shard };
}
