import {
  type AreaMapView,
  ROUTING_CHANGED_SUBJECT,
  type RoutingChanged,
  type RoutingSnapshot,
} from '@borough/contracts';
import { BackgroundLoop, type Logger, type Notices, Problem, type Readiness } from '@borough/server-kit';
import {
  type Area,
  emptyTable,
  merge,
  type RoutingEntry,
  type RoutingTable,
  type ShardNumber,
} from '@borough/topology';
import { ownershipOf } from '../voters/ownership-of.js';
import { publishedAreas, settle } from '../voters/settle.js';
import { type Readings, type Voters } from '../voters/voters.js';

/**
 * The routing table as a majority of voters has it: read again and again, served as a snapshot, and told to routers
 * when it changes. With the voters away the last table is kept and served: routers are no worse off for our waiting.
 */
export class RoutingPublisher {
  private table: RoutingTable = emptyTable();
  private areas: readonly Area[] = [];
  private lastSnapshot: RoutingSnapshot | undefined;
  private lastAreaMap: AreaMapView | undefined;
  private hasRead = false;
  private readonly reading: BackgroundLoop;

  constructor(
    private readonly voters: Voters,
    private readonly notices: Notices,
    private readonly readiness: Readiness,
    private readonly logger: Logger,
    readEveryMs: number,
    /** Whether this coordinator may finish what was begun for a shard: it leads, and no move has the shard. */
    private readonly mayRepair: (shard: ShardNumber) => boolean,
  ) {
    voters.onSettled((entries) => {
      this.take(entries, this.areas);
    });
    readiness.wait('voters', 'no majority of voters has been read yet');
    this.reading = new BackgroundLoop({
      name: 'voters',
      intervalMs: readEveryMs,
      maxPauseMs: 2_000,
      round: () => this.readVoters(),
      logger,
      isStarting: () => !this.hasRead,
    });
  }

  start(): void {
    this.reading.start();
  }

  stop(): Promise<void> {
    return this.reading.stop();
  }

  /** The same object until something changes. @throws Problem `no-majority` before the first reading */
  snapshot(): RoutingSnapshot {
    this.requireRead();
    this.lastSnapshot ??= {
      tableVersion: this.table.tableVersion,
      areaMapVersion: this.areas.length,
      entries: [...this.table.entries.values()].sort((a, b) => a.shard - b.shard),
    };
    return this.lastSnapshot;
  }

  /** The same object until something changes. @throws Problem `no-majority` before the first reading */
  areaMap(): AreaMapView {
    this.requireRead();
    this.lastAreaMap ??= {
      // Areas are only ever added, so their number counts the changes.
      areaMapVersion: this.areas.length,
      areas: this.areas.map(({ shard, name, cells }) => ({ shard, name, cells: [...cells] })),
    };
    return this.lastAreaMap;
  }

  /** Reads the voters now; after a change, so that it need not wait for the next round. */
  async readVoters(): Promise<void> {
    this.publish(await settle(this.voters, await this.voters.read(), this.logger, this.mayRepair));
  }

  /** Of the last table that was published. */
  get tableVersion(): number {
    return this.table.tableVersion;
  }

  private publish(readings: Readings): void {
    const settled = ownershipOf(readings, this.voters.zoneIds.length).flatMap(({ adopted }) =>
      adopted.kind === 'settled' ? [adopted.entry] : [],
    );
    this.take(settled, publishedAreas(this.voters, readings));
    this.hasRead = true;
    this.readiness.done('voters');
  }

  private take(entries: readonly RoutingEntry[], areas: readonly Area[]): void {
    const before = this.table;
    this.table = merge(before, entries);
    const changed = [...this.table.entries.values()].filter((entry) => before.entries.get(entry.shard) !== entry);
    const areasBefore = this.areas.length;
    // Never fewer than before: a reading that began before an area was added may end after one that shows it.
    const published = [...this.areas, ...areas];
    this.areas = [...new Map(published.map((area) => [area.shard, area])).values()].sort((a, b) => a.shard - b.shard);
    if (changed.length === 0 && this.areas.length === areasBefore) return;
    this.lastSnapshot = undefined;
    this.lastAreaMap = undefined;
    this.tell(changed);
  }

  private tell(entries: readonly RoutingEntry[]): void {
    const notice: RoutingChanged = {
      tableVersion: this.table.tableVersion,
      areaMapVersion: this.areas.length,
      entries: [...entries],
    };
    this.notices.publish(ROUTING_CHANGED_SUBJECT, notice);
    // A move says of itself what it does; a line for each of its steps would be no news.
    this.logger.debug(
      { tableVersion: notice.tableVersion, areaMapVersion: notice.areaMapVersion, shards: entries.length },
      'routing table changed',
    );
  }

  private requireRead(): void {
    if (!this.hasRead) throw new Problem('no-majority', { retryAfterSeconds: 1 });
  }
}
