import { type AreaMapView, type RoutingSnapshot } from '@borough/contracts';
import {
  buildAreaMap,
  emptyTable,
  hasGap,
  merge,
  parseTrafficTag,
  resolveTag,
  type AreaMap,
  type RoutingEntry,
  type RoutingTable,
  type ZoneId,
} from '@borough/topology';

/** What changed in the routing table just now. */
export interface RoutingChange {
  readonly tableVersion: number;
  /** The entries that are new or later than before. */
  readonly changed: readonly RoutingEntry[];
}

export type RoutingListener = (change: RoutingChange) => void;

/**
 * This client's copy of the routing table, of the area map, and of where each zone's router is.
 *
 * It may be old, and is then still of use: whoever it names forwards to the owner (P8). What comes is merged, whatever
 * its order, so no source can take the copy back.
 */
export class TableCopy {
  #table: RoutingTable = emptyTable();
  #areaMapView: AreaMapView | undefined;
  #areaMap: AreaMap | undefined;
  #routers: Readonly<Record<ZoneId, string>> = {};
  readonly #listeners = new Set<RoutingListener>();

  /** 0 before there is a table. */
  get tableVersion(): number {
    return this.#table.tableVersion;
  }

  get isKnown(): boolean {
    return this.#table.entries.size > 0;
  }

  get areaMap(): AreaMap | undefined {
    return this.#areaMap;
  }

  get areaMapView(): AreaMapView | undefined {
    return this.#areaMapView;
  }

  /** Base URLs as they were told, by zone. */
  get routers(): Readonly<Record<ZoneId, string>> {
    return this.#routers;
  }

  get entries(): ReadonlyMap<number, RoutingEntry> {
    return this.#table.entries;
  }

  /** As a router would give it. */
  snapshot(): RoutingSnapshot {
    return {
      tableVersion: this.tableVersion,
      areaMapVersion: this.#areaMapView?.areaMapVersion ?? 0,
      entries: [...this.#table.entries.values()],
      routers: { ...this.#routers },
    };
  }

  /** Has this copy missed something that somebody else knows? Asked after what came with the version is taken in. */
  isBehind(tableVersion: number): boolean {
    return hasGap(this.#table, tableVersion);
  }

  /** The router of the zone that owns what the tag names; undefined while that is not known. */
  ownersRouter(tag: string): string | undefined {
    const parsed = parseTrafficTag(tag);
    if (parsed === undefined) return undefined;
    const shard = parsed.kind === 'geo' ? this.#areaMap && resolveTag(parsed, this.#areaMap) : parsed.shard;
    const owner = shard === undefined ? undefined : this.#table.entries.get(shard)?.owner;
    return owner === undefined ? undefined : this.#routers[owner];
  }

  /** Takes in a snapshot, or the entries of an update: both are merged. */
  take({ entries, routers }: Pick<RoutingSnapshot, 'entries' | 'routers'>): void {
    const before = this.#table;
    this.#table = merge(before, entries);
    if (routers !== undefined) this.#routers = routers;
    if (this.#table === before) return;
    const { tableVersion, entries: after } = this.#table;
    const changed = [...after.values()].filter((entry) => before.entries.get(entry.shard) !== entry);
    for (const listener of this.#listeners) listener({ tableVersion, changed });
  }

  /** Takes in an area map that is newer than this one. A broken one, which no router should send, is left. */
  takeAreaMap(view: AreaMapView): void {
    if (view.areaMapVersion <= (this.#areaMapView?.areaMapVersion ?? -1)) return;
    try {
      this.#areaMap = buildAreaMap(view.areas);
      this.#areaMapView = view;
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
    }
  }

  /** @returns ends it */
  onChange(listener: RoutingListener): () => void {
    // So that one function given twice is two listeners.
    const own: RoutingListener = (change) => {
      listener(change);
    };
    this.#listeners.add(own);
    return () => this.#listeners.delete(own);
  }
}
