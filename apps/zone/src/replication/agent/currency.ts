import { BackgroundLoop, type Logger, type PostgresSession } from '@borough/server-kit';
import { majority, type ZoneId } from '@borough/topology';

interface CurrencyVoter {
  readonly zoneId: ZoneId;
  readonly session: PostgresSession;
}

export interface CurrencyParts {
  readonly zoneId: ZoneId;
  /** This zone's own database. */
  readonly own: PostgresSession;
  readonly peers: readonly CurrencyVoter[];
  readonly logger: Logger;
}

/** How often everybody is asked, in ms. */
const ASK_EVERY_MS = 120;
const DEADLINE_MS = 400;
/** What was said holds for so long, in ms: less than it takes until a zone that fell silent is dropped, and left. */
const HOLDS_FOR_MS = 450;
/** A zone that was not heard for so long may have dropped us, in ms. */
const UNHEARD_MS = 450;

interface Entry {
  readonly shard: number;
  readonly epoch: number;
  readonly owner: ZoneId;
}

interface RecordCopy {
  readonly zone: ZoneId;
  readonly ballot: number;
  readonly members: readonly ZoneId[];
}

interface Voice {
  readonly entries: readonly Entry[];
  readonly records: readonly RecordCopy[];
}

const VOICE = `SELECT json_build_object(
  'entries', (SELECT coalesce(json_agg(json_build_object('shard', o.shard, 'epoch', o.epoch, 'owner', o.owner)), '[]')
                FROM control.ownership o WHERE o.state <> 'accepted'),
  'records', (SELECT coalesce(json_agg(json_build_object('zone', r.zone, 'ballot', r.ballot, 'members', r.members)), '[]')
                FROM control.in_sync r)) AS voice`;
const OWN = `SELECT pg_postmaster_start_time()::text AS started, control.zone_look($1)->'heardMsAgo' AS heard`;

/**
 * Whether this zone may show what it has of a shard as what is:
 *
 * - of its own shards, while a majority says that no other zone owns them, and once a commit has reached the in-sync zones
 *   since its PostgreSQL started (T20: before that a row may show that nobody acknowledged);
 * - of another zone's, while that zone's in-sync record names this one, and its changes come in.
 *
 * A clock that goes on while the process is frozen: a zone that wakes up knows nothing until it has asked again.
 */
export class Currency {
  private askedAtMs = -Infinity;
  private owners: ReadonlyMap<number, ZoneId> = new Map();
  private current: ReadonlySet<ZoneId> = new Set();
  private readonly lastCurrentMs = new Map<ZoneId, number>();
  private confirmedStart: string | undefined;
  private readonly asking: BackgroundLoop;

  constructor(private readonly parts: CurrencyParts) {
    this.asking = new BackgroundLoop({
      name: 'currency',
      intervalMs: ASK_EVERY_MS,
      maxPauseMs: ASK_EVERY_MS,
      round: () => this.ask(),
      isStarting: () => this.askedAtMs === -Infinity,
      logger: parts.logger,
    });
  }

  start(): void {
    this.asking.start();
  }

  async stop(): Promise<void> {
    await this.asking.stop();
    await Promise.all([this.parts.own, ...this.parts.peers.map(({ session }) => session)].map((each) => each.end()));
  }

  /**
   * How long ago what this zone has of a shard was last known to be current, in ms; 0 while it is.
   *
   * @param shard undefined: of every shard
   */
  staleForMs(shard: number | undefined): number {
    const owner = shard === undefined ? undefined : this.owners.get(shard);
    // A shard that nobody is known to own has no rows yet.
    if (shard !== undefined && owner === undefined && this.isFresh) return 0;
    const owners = owner === undefined ? [this.parts.zoneId, ...this.parts.peers.map(({ zoneId }) => zoneId)] : [owner];
    return Math.max(...owners.map((zone) => this.staleMsOf(zone)));
  }

  private get isFresh(): boolean {
    return performance.now() - this.askedAtMs <= HOLDS_FOR_MS;
  }

  private staleMsOf(owner: ZoneId): number {
    if (this.isFresh && this.current.has(owner)) return 0;
    return Math.ceil(performance.now() - (this.lastCurrentMs.get(owner) ?? 0));
  }

  private async ask(): Promise<void> {
    const { own, peers, zoneId } = this.parts;
    const askedAtMs = performance.now();
    const [state] = await own.query<{ started: string; heard: Record<ZoneId, number> }>(OWN, [
      peers.map((peer) => peer.zoneId),
    ]);
    const mine = await voiceOf(own);
    const voices = await firstMajority(
      peers.map(({ session }) => voiceOf(session)),
      majority(peers.length + 1) - 1,
    );
    if (state === undefined) return;
    if (this.confirmedStart !== state.started) {
      const commit = `SELECT set_config('synchronous_commit', 'on', true), pg_logical_emit_message(true, 'borough', 'started')`;
      await own.query(commit);
      this.confirmedStart = state.started;
    }
    const entries = newest(
      [mine, ...voices].flatMap((voice) => voice.entries),
      ({ shard }) => shard,
      ({ epoch }) => epoch,
    );
    const records = newest(
      [mine, ...voices].flatMap((voice) => voice.records),
      ({ zone }) => zone,
      ({ ballot }) => ballot,
    );
    const isDeposed = mine.entries.some(({ shard, owner }) => owner === zoneId && entries.get(shard)?.owner !== zoneId);
    const current = new Set<ZoneId>(isDeposed ? [] : [zoneId]);
    for (const peer of peers) {
      const isMember = records.get(peer.zoneId)?.members.includes(zoneId) === true;
      if (isMember && (state.heard[peer.zoneId] ?? Infinity) <= UNHEARD_MS) current.add(peer.zoneId);
    }
    this.owners = new Map([...entries.values()].map(({ shard, owner }) => [shard, owner]));
    this.current = current;
    this.askedAtMs = askedAtMs;
    for (const zone of current) this.lastCurrentMs.set(zone, askedAtMs);
  }
}

async function voiceOf(session: PostgresSession): Promise<Voice> {
  const [row] = await session.query<{ voice: Voice }>(VOICE, [], DEADLINE_MS);
  return row?.voice ?? { entries: [], records: [] };
}

function newest<Item, Key>(
  items: readonly Item[],
  keyOf: (item: Item) => Key,
  ageOf: (item: Item) => number,
): Map<Key, Item> {
  const found = new Map<Key, Item>();
  for (const item of items) {
    const known = found.get(keyOf(item));
    if (known === undefined || ageOf(item) > ageOf(known)) found.set(keyOf(item), item);
  }
  return found;
}

/** Resolves with the first `least` answers. @throws Error when so many do not come */
function firstMajority<Answer>(asked: readonly Promise<Answer>[], least: number): Promise<Answer[]> {
  if (least <= 0) return Promise.resolve([]);
  return new Promise((resolve, reject) => {
    const answers: Answer[] = [];
    let failed = 0;
    for (const answer of asked) {
      answer.then(
        (value) => {
          answers.push(value);
          if (answers.length >= least) resolve([...answers]);
        },
        (error: unknown) => {
          failed += 1;
          if (asked.length - failed < least) reject(error instanceof Error ? error : new Error(String(error)));
        },
      );
    }
  });
}
