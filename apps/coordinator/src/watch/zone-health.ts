/**
 * What is the matter with a zone, from what was seen of it: pure, so that every case stands in a table of tests.
 *
 * Three ways to look: this coordinator asks its database, and its API, directly; and the other zones say whether its
 * changes still come in. Each by itself may be wrong about who is to blame, so a failover needs two of them.
 *
 * | database | API     | heard by others | seen as                                                          |
 * | -------- | ------- | --------------- | ---------------------------------------------------------------- |
 * | answers  | answers | yes             | `healthy`                                                        |
 * | answers  | not     | –               | `api-down`, `api-silent`                                         |
 * | answers  | answers | no              | `replication-cut`; `isolated` when its writes wait               |
 * | refuses  | –       | no              | `database-down`                                                  |
 * | silent   | –       | no              | `database-silent`                                                |
 * | silent   | –       | yes             | `database-silent` too, where all others have stopped waiting for |
 * |          |         |                 | it: it speaks and hears nothing, so its writes wait for ever     |
 * | either   | –       | yes             | `cut-off`: from this coordinator only, nothing is done           |
 */

/** How one way of asking went lately. */
export type Answer =
  | { readonly kind: 'answers' }
  /** The connection is refused or closed: nobody is there. */
  | { readonly kind: 'refuses'; readonly forMs: number }
  /** No answer in time: frozen, or cut off. */
  | { readonly kind: 'silent'; readonly forMs: number };

export interface Seen {
  readonly database: Answer;
  /** Undefined where the coordinator knows no address of it. */
  readonly api: Answer | undefined;
  /** How long ago any other zone last heard of it, in ms; Infinity when none is even connected to it. */
  readonly unheardForMs: number;
  /** Any other zone that answers waits for it with its own commits. */
  readonly isCountedOn: boolean;
  /** Commits of the zone wait for members; only known while its database answers. */
  readonly areCommitsWaiting: boolean;
}

export const ZONE_HEALTHS = [
  'healthy',
  'api-down',
  'api-silent',
  'replication-cut',
  'isolated',
  'database-down',
  'database-silent',
  'cut-off',
] as const;
export type ZoneHealth = (typeof ZONE_HEALTHS)[number];

/** Bounds, in ms. */
const REFUSED_FOR_MS = 40;
const SILENT_FOR_MS = 900;
/** Zones beat every second at least, so less is no news. */
const UNHEARD_FOR_MS = 1_300;
const API_DOWN_FOR_MS = 150;
const API_SILENT_FOR_MS = 1_200;

export function healthOf({ database, api, unheardForMs, isCountedOn, areCommitsWaiting }: Seen): ZoneHealth {
  if (database.kind === 'refuses' && database.forMs >= REFUSED_FOR_MS) {
    return unheardForMs >= UNHEARD_FOR_MS ? 'database-down' : 'cut-off';
  }
  if (database.kind === 'silent' && database.forMs >= SILENT_FOR_MS) {
    return unheardForMs >= UNHEARD_FOR_MS || !isCountedOn ? 'database-silent' : 'cut-off';
  }
  if (unheardForMs >= UNHEARD_FOR_MS && database.kind === 'answers') {
    return areCommitsWaiting ? 'isolated' : 'replication-cut';
  }
  // Of a zone that cannot be reached at all its API says nothing more than its database does.
  if (database.kind !== 'answers') return 'healthy';
  if (api?.kind === 'refuses' && api.forMs >= API_DOWN_FOR_MS) return 'api-down';
  if (api?.kind === 'silent' && api.forMs >= API_SILENT_FOR_MS) return 'api-silent';
  return 'healthy';
}

/** What a policy does about it: leave the zone, hand its shards over (its database answers), or nothing. */
export type Remedy = 'failover' | 'none';

export function remedyFor(health: ZoneHealth): Remedy {
  switch (health) {
    case 'database-down':
    case 'database-silent':
    case 'isolated':
    case 'api-down':
    case 'api-silent':
      return 'failover';
    case 'healthy':
    case 'replication-cut':
    case 'cut-off':
      return 'none';
  }
}

/** In words for people. */
export function healthText(health: ZoneHealth): string {
  switch (health) {
    case 'healthy':
      return 'all is well';
    case 'api-down':
      return 'its API refuses connections, its database answers';
    case 'api-silent':
      return 'its API gives no answer, its database does';
    case 'replication-cut':
      return 'its changes reach no other zone';
    case 'isolated':
      return 'its changes reach no other zone, and its writes wait';
    case 'database-down':
      return 'its database refuses connections, and no other zone hears of it';
    case 'database-silent':
      return 'its database gives no answer, and no other zone hears of it';
    case 'cut-off':
      return 'this coordinator cannot reach it; other zones do';
  }
}
