/**
 * Name of a zone: a place that serves, with its own API processes, Postgres and Redis (SPEC.md, Words).
 *
 * A voter that is no zone (a small Postgres with the control schema only) is named by the same rule.
 * A plain string, not a brand: it crosses the wire, SQL and configuration, and a wrong name is refused where it enters.
 */
export type ZoneId = string;

/**
 * What a zone name looks like: a lower-case letter, then up to 15 lower-case letters, digits or hyphens.
 *
 * Narrow on purpose: the name becomes part of a subscription name, a NATS subject, a log field and a host name.
 */
export const ZONE_ID_PATTERN = /^[a-z][a-z0-9-]{0,15}$/;
