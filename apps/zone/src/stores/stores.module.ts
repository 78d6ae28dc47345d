import { Module } from '@nestjs/common';
import { AreasModule } from '../areas/areas.module.js';
import { IdempotencyModule } from '../idempotency/idempotency.module.js';
import { StorePageCache } from './store-page-cache.js';
import { StoreController } from './store.controller.js';
import { StoreService } from './store.service.js';

@Module({
  imports: [AreasModule, IdempotencyModule],
  controllers: [StoreController],
  providers: [StoreService, StorePageCache],
  exports: [StoreService],
})
export class StoresModule {}
