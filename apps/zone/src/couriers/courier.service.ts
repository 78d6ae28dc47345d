import { Injectable } from '@nestjs/common';
import { type CourierView, type RegisterCourierRequest } from '@borough/contracts';
import { Problem } from '@borough/server-kit';
import { toId } from '@borough/topology';
import { DataSource } from 'typeorm';
import { AreaLookup } from '../areas/area-lookup.js';
import { freshUuid } from '../http/new-uuid.js';
import { requireTagAgrees, type WriteRequest } from '../http/write-request.js';
import { IdempotentWrites } from '../writes/idempotent-writes.js';
import { newRow } from '../writes/new-rows.js';
import { type Answer } from '../writes/pending-write.js';
import { courierEntity, type CourierRow } from './courier.entity.js';
import { courierView } from './courier.view.js';

@Injectable()
export class CourierService {
  constructor(
    private readonly source: DataSource,
    private readonly areas: AreaLookup,
    private readonly writes: IdempotentWrites,
  ) {}

  /**
   * Registers a courier in the area of their location.
   *
   * @throws Problem `area-not-served`, `tag-mismatch`, and all that `IdempotentWrites.run` throws
   */
  async register(write: WriteRequest, body: RegisterCourierRequest): Promise<Answer> {
    const shard = await this.areas.shardOf(body.location);
    requireTagAgrees(write, shard, `shard:${shard}`);
    const row: CourierRow = {
      id: freshUuid(shard),
      shard,
      epoch: 0,
      version: 1,
      name: body.name,
      vehicle: body.vehicle,
      latitude: body.location.latitude,
      longitude: body.location.longitude,
      createdAt: new Date(),
    };
    return this.writes.run(write, shard, body, courierView(row), newRow(courierEntity, row));
  }

  /** @throws Problem `courier-not-found` */
  async get(uuid: string): Promise<CourierView> {
    const row = await this.source.manager.findOneBy(courierEntity, { id: uuid });
    if (row === null) {
      throw new Problem('courier-not-found', { detail: `There is no courier ${toId('courier', uuid)}.` });
    }
    return courierView(row);
  }
}
