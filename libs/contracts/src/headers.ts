/** Names of the headers that carry meaning between parts. All lower case, as Node and HTTP/2 give them. */

/** Names the delivery area of a request: `geo:<H3 cell>`, `shard:<number>` or an id of ours. */
export const TRAFFIC_TAG_HEADER = 'traffic-tag';

/** Does for browsers what the header does for apps; the header wins. */
export const TRAFFIC_TAG_COOKIE = 'traffic_tag';

/** One effect per key; required on every POST. @see draft-ietf-httpapi-idempotency-key-header-07 */
export const IDEMPOTENCY_KEY_HEADER = 'idempotency-key';

/** `true` on an answer that repeats an earlier one. */
export const IDEMPOTENCY_REPLAYED_HEADER = 'idempotency-replayed';

/** On every answer and log line; taken from the caller where given and sane. */
export const REQUEST_ID_HEADER = 'request-id';

/** Set by the router, never by a client: the shard it read from the tag, and the epoch of the owner it chose. */
export const SHARD_HEADER = 'borough-shard';
export const EPOCH_HEADER = 'borough-epoch';

/** Which zone answered. */
export const ZONE_HEADER = 'borough-zone';

/** On every answer of a router: a client with a smaller version knows that its table is old. */
export const TABLE_VERSION_HEADER = 'borough-table-version';

/** A router's name and what it has held, on its polls of a coordinator: a report without NATS. */
export const ROUTER_ID_HEADER = 'borough-router';
export const HELD_REQUESTS_HEADER = 'borough-held-requests';

/**
 * Set by a router, never by a client: `true` when every zone that answers says `zone-not-current`. A zone then answers a
 * read with what it has, and says how old that may be.
 */
export const ALLOW_STALE_HEADER = 'allow-stale';

/** On such an answer: for how many ms the zone has not known whether it is current. */
export const STALE_MS_HEADER = 'borough-stale-ms';
