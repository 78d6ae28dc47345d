import { type CourierView } from '@borough/contracts';
import { toId } from '@borough/topology';
import { type CourierRow } from './courier.entity.js';

export function courierView(row: CourierRow): CourierView {
  return {
    id: toId('courier', row.id),
    name: row.name,
    vehicle: row.vehicle,
    location: { latitude: row.latitude, longitude: row.longitude },
    createdAt: row.createdAt.toISOString(),
    version: row.version,
  };
}
