import { type AreaMapView, type RoutingSnapshot, type RoutingUpdate } from '@borough/contracts';
import { Problem } from '@borough/server-kit';
import { type RoutingEntry, type RoutingTable } from '@borough/topology';
import { createHash } from 'node:crypto';
import { type LiveTable } from '../table/live-table.js';

/** A body with its tag: a digest, since a table version is no identity (SPEC.md, section 7). */
export interface Published {
  readonly body: Buffer;
  readonly etag: string;
}

/** The routing table and the area map as clients get them; each is serialised once per change, when somebody asks. */
export class PublishedTable {
  private routing: { of: RoutingTable; areas: AreaMapView; published: Published; whole: string } | undefined;
  private areas: { of: AreaMapView; published: Published } | undefined;

  /** @param routers the public address of each zone's router, where known */
  constructor(
    private readonly table: LiveTable,
    private readonly routers: ReadonlyMap<string, string> | undefined,
  ) {}

  /** @throws Problem `routing-unknown` before there is a table */
  routingSnapshot(): Published {
    return this.currentRouting().published;
  }

  /** @throws Problem `routing-unknown` before there is an area map */
  areaMap(): Published {
    this.requireKnown();
    const view = this.table.areaMapView;
    if (this.areas?.of !== view) this.areas = { of: view, published: publish(JSON.stringify(view)) };
    return this.areas.published;
  }

  /** All entries, as the data of an event. @throws Problem `routing-unknown` */
  wholeUpdate(): string {
    return this.currentRouting().whole;
  }

  /** These entries, as the data of an event. */
  updateOf(entries: Iterable<RoutingEntry>): string {
    return JSON.stringify({ ...this.snapshotOf(entries), isWhole: false } satisfies RoutingUpdate);
  }

  private currentRouting(): { published: Published; whole: string } {
    this.requireKnown();
    const { routingTable, areaMapView } = this.table;
    if (this.routing?.of !== routingTable || this.routing.areas !== areaMapView) {
      const snapshot = this.snapshotOf(
        [...routingTable.entries.values()].sort((one, other) => one.shard - other.shard),
      );
      const whole = JSON.stringify({ ...snapshot, isWhole: true } satisfies RoutingUpdate);
      this.routing = { of: routingTable, areas: areaMapView, published: publish(JSON.stringify(snapshot)), whole };
    }
    return this.routing;
  }

  private snapshotOf(entries: Iterable<RoutingEntry>): RoutingSnapshot {
    return {
      tableVersion: this.table.tableVersion,
      areaMapVersion: this.table.areaMapView.areaMapVersion,
      entries: [...entries],
      ...(this.routers === undefined ? {} : { routers: Object.fromEntries(this.routers) }),
    };
  }

  private requireKnown(): void {
    if (!this.table.isKnown) throw new Problem('routing-unknown', { retryAfterSeconds: 1 });
  }
}

function publish(text: string): Published {
  const body = Buffer.from(text);
  return { body, etag: `"${createHash('sha256').update(body).digest('base64url')}"` };
}
