import { Injectable } from '@nestjs/common';
import { type OpenStoreRequest, type StoreView } from '@borough/contracts';
import { Problem } from '@borough/server-kit';
import { toId } from '@borough/topology';
import { DataSource, type EntityManager } from 'typeorm';
import { AreaLookup } from '../areas/area-lookup.js';
import { freshUuid } from '../http/new-uuid.js';
import { requireTagAgrees, type WriteRequest } from '../http/write-request.js';
import { type Answer, IdempotentWrites } from '../idempotency/idempotent-writes.js';
import { StorePageCache } from './store-page-cache.js';
import { storeEntity, type StoreRow } from './store.entity.js';
import { storeView } from './store.view.js';

@Injectable()
export class StoreService {
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
    return this.writes.run(write, shard, body, storeView(row), async (tx, epoch) => {
      await tx.insert(storeEntity, { ...row, epoch });
    });
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
   * Inside the caller's transaction: the store exists, so its shard is right for an order.
   *
   * @throws Problem `store-not-found`
   */
  async requireStore(tx: EntityManager, uuid: string): Promise<void> {
    const found: unknown[] = await tx.query('SELECT 1 FROM stores s WHERE s.id = $1', [uuid]);
    if (found.length === 0) {
      throw new Problem('store-not-found', { detail: `There is no store ${toId('store', uuid)}.` });
    }
  }
}
