import { type StoreView } from '@borough/contracts';
import { toId } from '@borough/topology';
import { type StoreRow } from './store.entity.js';

export function storeView(row: StoreRow): StoreView {
  return {
    id: toId('store', row.id),
    name: row.name,
    location: { latitude: row.latitude, longitude: row.longitude },
    createdAt: row.createdAt.toISOString(),
    version: row.version,
  };
}
