import { type DynamicModule, Global, Module, type OnApplicationShutdown } from '@nestjs/common';
import { type Logger } from '@borough/server-kit';
import { DataSource } from 'typeorm';
import { type ZoneConfig } from './zone.config.js';

/** Injection tokens of what the process was started with. */
export const ZONE_CONFIG = Symbol('ZoneConfig');
export const LOGGER = Symbol('Logger');

/** What every room of the zone may lean on: its configuration, its log, and the pool that serves requests. */
@Global()
@Module({})
export class PlatformModule implements OnApplicationShutdown {
  constructor(private readonly pool: DataSource) {}

  static with(config: ZoneConfig, logger: Logger, pool: DataSource): DynamicModule {
    return {
      module: PlatformModule,
      providers: [
        { provide: ZONE_CONFIG, useValue: config },
        { provide: LOGGER, useValue: logger },
        { provide: DataSource, useValue: pool },
      ],
      exports: [ZONE_CONFIG, LOGGER, DataSource],
    };
  }

  async onApplicationShutdown(): Promise<void> {
    await this.pool.destroy();
  }
}
