import { Injectable } from '@nestjs/common';
import { type OpenStoreRequest, type StoreView } from '@borough/contracts';
import { Problem } from '@borough/server-kit';
import { toId } from '@borough/topology';
import { DataSource } from 'typeorm';
import { AreaLookup } from '../areas/area-lookup.js';
import { freshUuid } from '../http/new-uuid.js';
import { requireTagAgrees, type WriteRequest } from '../http/write-request.js';
import { IdempotentWrites } from '../writes/idempotent-writes.js';
import { newRow } from '../writes/new-rows.js';
import { type Answer } from '../writes/pending-write.js';
import { StorePageCache } from './store-page-cache.js';
import { storeEntity, type StoreRow } from './store.entity.js';
import { storeView } from './store.view.js';

/** Most stores a process remembers to exist, some 100 bytes each. */
const MAX_SEEN_STORES = 100_000;

@Injectable()
export class StoreService {
  private readonly seen = new Set<string>();

  constructor(
    private readonly source: DataSource,
    private readonly areas: AreaLookup,
    private readonly writes: IdempotentWrites,
    private readonly pages: StorePageCache,
  ) {}

  /**
   * Opens a store in the area of its location.
   *
   * @throws Problem `area-not-served`, `tag-mismatch`, and all that `IdempotentWrites.run` throws
   */
  async open(write: WriteRequest, body: OpenStoreRequest): Promise<Answer> {
    const shard = await this.areas.shardOf(body.location);
    requireTagAgrees(write, shard, `shard:${shard}`);
    const row: StoreRow = {
      id: freshUuid(shard),
      shard,
      epoch: 0,
      version: 1,
      name: body.name,
      latitude: body.location.latitude,
      longitude: body.location.longitude,
      createdAt: new Date(),
    };
    return this.writes.run(write, shard, body, storeView(row), newRow(storeEntity, row));
  }

  /** @throws Problem `store-not-found` */
  async get(uuid: string): Promise<StoreView> {
    const cached = await this.pages.get(uuid);
    if (cached !== undefined) return cached;
    const row = await this.source.manager.findOneBy(storeEntity, { id: uuid });
    if (row === null) throw new Problem('store-not-found', { detail: `There is no store ${toId('store', uuid)}.` });
    const view = storeView(row);
    this.pages.put(uuid, view);
    return view;
  }

  /**
   * A store that was seen once exists for good, so it is looked for once per process.
   *
   * @throws Problem `store-not-found`
   */
  async requireStore(uuid: string): Promise<void> {
    if (this.seen.has(uuid)) return;
    if (!(await this.source.manager.existsBy(storeEntity, { id: uuid }))) {
      throw new Problem('store-not-found', { detail: `There is no store ${toId('store', uuid)}.` });
    }
    if (this.seen.size >= MAX_SEEN_STORES) this.seen.clear();
    this.seen.add(uuid);
  }
}
