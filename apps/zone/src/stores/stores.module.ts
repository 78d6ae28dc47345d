import { Module } from '@nestjs/common';
import { AreasModule } from '../areas/areas.module.js';
import { WritesModule } from '../writes/writes.module.js';
import { StorePageCache } from './store-page-cache.js';
import { StoreController } from './store.controller.js';
import { StoreService } from './store.service.js';

@Module({
  imports: [AreasModule, WritesModule],
  controllers: [StoreController],
  providers: [StoreService, StorePageCache],
  exports: [StoreService],
})
export class StoresModule {}
