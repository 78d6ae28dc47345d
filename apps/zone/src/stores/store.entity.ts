import { EntitySchema } from 'typeorm';

export interface StoreRow {
  id: string;
  shard: number;
  epoch: number;
  version: number;
  name: string;
  latitude: number;
  longitude: number;
  createdAt: Date;
}

export const storeEntity = new EntitySchema<StoreRow>({
  name: 'Store',
  tableName: 'stores',
  columns: {
    id: { type: 'uuid', primary: true },
    shard: { type: 'integer' },
    epoch: { type: 'bigint' },
    version: { type: 'bigint' },
    name: { type: 'text' },
    latitude: { type: 'double precision' },
    longitude: { type: 'double precision' },
    createdAt: { type: 'timestamptz', name: 'created_at' },
  },
});
