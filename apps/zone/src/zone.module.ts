import { type DynamicModule, Module } from '@nestjs/common';
import { APP_GUARD, APP_INTERCEPTOR } from '@nestjs/core';
import { DeadlineInterceptor, type Logger } from '@borough/server-kit';
import { type DataSource } from 'typeorm';
import { CouriersModule } from './couriers/couriers.module.js';
import { CallerGuard } from './http/caller.guard.js';
import { OrdersModule } from './orders/orders.module.js';
import { PlatformModule } from './platform/platform.module.js';
import { StoresModule } from './stores/stores.module.js';
import { type ZoneConfig } from './platform/zone.config.js';

@Module({})
export class ZoneModule {
  static with(config: ZoneConfig, logger: Logger, pool: DataSource): DynamicModule {
    return {
      module: ZoneModule,
      imports: [PlatformModule.with(config, logger, pool), StoresModule, CouriersModule, OrdersModule],
      providers: [
        { provide: APP_GUARD, useClass: CallerGuard },
        { provide: APP_INTERCEPTOR, useValue: new DeadlineInterceptor(config.REQUEST_DEADLINE_MS) },
      ],
    };
  }
}
