import { type Vehicle } from '@borough/contracts';
import { EntitySchema } from 'typeorm';

export interface CourierRow {
  id: string;
  shard: number;
  epoch: number;
  version: number;
  name: string;
  vehicle: Vehicle;
  latitude: number;
  longitude: number;
  createdAt: Date;
}

export const courierEntity = new EntitySchema<CourierRow>({
  name: 'Courier',
  tableName: 'couriers',
  columns: {
    id: { type: 'uuid', primary: true },
    shard: { type: 'integer' },
    epoch: { type: 'bigint' },
    version: { type: 'bigint' },
    name: { type: 'text' },
    vehicle: { type: 'text' },
    latitude: { type: 'double precision' },
    longitude: { type: 'double precision' },
    createdAt: { type: 'timestamptz', name: 'created_at' },
  },
});
