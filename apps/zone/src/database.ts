import pg from 'pg';
import { DataSource } from 'typeorm';
import { courierEntity } from './couriers/courier.entity.js';
import { orderEventEntity } from './orders/order-event.entity.js';
import { orderEntity } from './orders/order.entity.js';
import { storeEntity } from './stores/store.entity.js';

// Epochs and versions are far below 2^53; the driver's default for int8 is text.
pg.types.setTypeParser(pg.types.builtins.INT8, Number);

/**
 * The pool that serves requests, as a role that may read and write rows and nothing else.
 *
 * @param connections most connections at once; a request that gets none within 2 s is refused as `overloaded`
 */
export function requestPool(apiUrl: string, connections: number): DataSource {
  return new DataSource({
    type: 'postgres',
    url: apiUrl,
    applicationName: 'borough-zone',
    entities: [orderEntity, orderEventEntity, storeEntity, courierEntity],
    synchronize: false,
    extra: { max: connections, connectionTimeoutMillis: 2_000, keepAlive: true },
  });
}
