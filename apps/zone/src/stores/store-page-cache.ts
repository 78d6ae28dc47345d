import { Inject, Injectable, type OnModuleDestroy } from '@nestjs/common';
import { type StoreView, storeView } from '@borough/contracts';
import { type Logger } from '@borough/server-kit';
import { Redis } from 'ioredis';
import { LOGGER, ZONE_CONFIG } from '../platform/platform.module.js';
import { type ZoneConfig } from '../platform/zone.config.js';

/** How long a page may be shown without asking the database, in seconds. */
const PAGE_SECONDS = 30;
/** Longest time a reader waits for Redis, in ms; past it the database is asked. */
const REDIS_DEADLINE_MS = 100;

/**
 * Store pages in the zone's Redis. A convenience: with Redis slow, hung, empty or gone, a page is only slower, since
 * every failure here means "ask the database".
 */
@Injectable()
export class StorePageCache implements OnModuleDestroy {
  private readonly redis: Redis;
  private isReachable = true;

  constructor(
    @Inject(ZONE_CONFIG) config: ZoneConfig,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {
    this.redis = new Redis(config.REDIS_URL, {
      enableOfflineQueue: false,
      maxRetriesPerRequest: 1,
      commandTimeout: REDIS_DEADLINE_MS,
      connectTimeout: 1_000,
      retryStrategy: (attempt) => Math.min(attempt * 100, 2_000),
      connectionName: 'borough-zone',
    });
    // Said when it goes and when it is back, not at every attempt.
    this.redis.on('error', (error: Error) => {
      if (this.isReachable)
        this.logger.warn({ err: error }, 'Redis cannot be reached: store pages come from the database');
      this.isReachable = false;
    });
    this.redis.on('ready', () => {
      if (!this.isReachable) this.logger.info('Redis can be reached again');
      this.isReachable = true;
    });
  }

  async get(uuid: string): Promise<StoreView | undefined> {
    const text = await this.redis.get(keyOf(uuid)).catch(() => null);
    if (text === null) return undefined;
    // Other releases may have written another shape.
    const page = storeView.safeParse(JSON.parse(text));
    return page.success ? page.data : undefined;
  }

  /** Returns at once; a page that could not be kept is read again. */
  put(uuid: string, page: StoreView): void {
    this.redis.set(keyOf(uuid), JSON.stringify(page), 'EX', PAGE_SECONDS).catch(() => undefined);
  }

  onModuleDestroy(): void {
    this.redis.disconnect();
  }
}

function keyOf(uuid: string): string {
  return `store-page:${uuid}`;
}
