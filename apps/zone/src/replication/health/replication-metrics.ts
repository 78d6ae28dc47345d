/** Links go one way: changes of `from` are applied at `to`. A zone shows both its ends, as far as it can see them. */
import { metrics } from '@borough/server-kit';
import { Gauge } from 'prom-client';

const registers = [metrics];
const labelNames = ['from', 'to'] as const;

export const lagBytes = new Gauge({
  name: 'borough_replication_lag_bytes',
  help: 'Log of this zone (from) that the other zone (to) has not confirmed, in bytes.',
  labelNames,
  registers,
});

export const logLeftBytes = new Gauge({
  name: 'borough_replication_slot_log_left_bytes',
  help: 'How much longer the log may grow until this zone (from) gives up what the other zone (to) has not got, in bytes. 0: given up. Absent where all is kept.',
  labelNames,
  registers,
});

export const beatAgeSeconds = new Gauge({
  name: 'borough_replication_beat_age_seconds',
  help: 'Age of the newest beat of the other zone (from) that was applied here (to).',
  labelNames,
  registers,
});

export const linkUp = new Gauge({
  name: 'borough_replication_link_up',
  help: '1 while changes of the other zone (from) come in here (to), 0 while they do not, also because it is sealed off.',
  labelNames,
  registers,
});

export const applyErrors = new Gauge({
  name: 'borough_replication_apply_errors',
  help: 'Attempts to apply changes of the other zone (from) here (to) that failed, since the subscription was made.',
  labelNames,
  registers,
});

export const conflicts = new Gauge({
  name: 'borough_replication_conflicts',
  help: 'Changes of the other zone (from) that met another row here (to) than they should, by kind. update_origin_differs and delete_missing are normal.',
  labelNames: ['from', 'to', 'kind'] as const,
  registers,
});

export const inSyncMembers = new Gauge({
  name: 'borough_in_sync_members',
  help: 'Zones that each commit of this zone waits for.',
  labelNames: ['zone'] as const,
  registers,
});

export const isSolo = new Gauge({
  name: 'borough_zone_is_solo',
  help: '1 while this zone acknowledges writes that are on no other disk.',
  labelNames: ['zone'] as const,
  registers,
});

export const seals = new Gauge({
  name: 'borough_seals',
  help: 'Zones that this zone takes in nothing of, because a failover left them.',
  labelNames: ['zone'] as const,
  registers,
});

/** All of them without any value: another process of the zone shows them now. */
export function clearReplicationMetrics(): void {
  for (const gauge of [
    lagBytes,
    logLeftBytes,
    beatAgeSeconds,
    linkUp,
    applyErrors,
    conflicts,
    inSyncMembers,
    isSolo,
    seals,
  ]) {
    gauge.reset();
  }
}
