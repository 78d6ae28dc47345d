/** The kinds of field that several resources share. Messages are for the developer who calls the API. */
import { ID_PREFIXES, isCell, parseId, type IdKind } from '@borough/topology';
import { z } from 'zod';

/** An id of the given kind, in its one text (I2). The pattern is for the OpenAPI document; `parseId` decides. */
export function idField(kind: IdKind): z.ZodString {
  const prefix = ID_PREFIXES[kind];
  const message = `must be an id like ${prefix}_01h455vb4pex5vsknk084sn02q`;
  return z
    .string()
    .regex(new RegExp(`^${prefix}_[0-7][0-9a-hjkmnp-tv-z]{25}$`), { error: message, abort: true })
    .refine((text) => parseId(text)?.kind === kind, message);
}

/**
 * Text a person wrote: 1 to `maxCharacters` Unicode code points (an emoji is one or more, and up to twice as many UTF-16
 * units), without NUL and without half surrogate pairs, because PostgreSQL stores neither.
 */
export function textField(maxCharacters: number): z.ZodString {
  return z
    .string()
    .min(1)
    .max(maxCharacters)
    .refine((text) => !text.includes('\0') && !HALF_PAIR.test(text), 'must not hold NUL or half a surrogate pair');
}

/** With the `u` flag a whole pair is one character, so this finds halves only. */
const HALF_PAIR = /\p{Surrogate}/u;

/** A place on the ground, WGS 84, in degrees. */
export const placeField = z.strictObject({
  latitude: z.number().min(-90).max(90),
  longitude: z.number().min(-180).max(180),
});
export type Place = z.infer<typeof placeField>;

const EARLIEST_YEAR = 2000;
const LATEST_YEAR = 2100;

/** RFC 3339 with an offset, from the year 2000 to 2100; given back as UTC. */
export const instantField = z.iso
  .datetime({ offset: true, error: 'must be an RFC 3339 time with an offset, like 2026-11-22T19:30:00Z' })
  .refine((text) => {
    const year = new Date(text).getUTCFullYear();
    return year >= EARLIEST_YEAR && year <= LATEST_YEAR;
  }, `must lie between the years ${EARLIEST_YEAR} and ${LATEST_YEAR}`);

/** An H3 cell index, lower-case hexadecimal. */
export const cellField = z.string().max(16).refine(isCell, 'must be an H3 cell index, like 85283473fffffff');

/** Counts the changes of an entity from 1. */
export const versionField = z.int().min(1);
