import { metrics } from '@borough/server-kit';
import { Gauge } from 'prom-client';

const registers = [metrics];

export const differingRows = new Gauge({
  name: 'borough_audit_differing_rows',
  help: 'Rows in which a copy here differs from its owner, as the last audit of this zone found them; healed ones left out.',
  registers,
});

export const undecidedRows = new Gauge({
  name: 'borough_audit_undecided_rows',
  help: 'Rows of which the last audit of this zone could not tell: they moved all the time, or their stream is stuck.',
  registers,
});

export const rowsCompared = new Gauge({
  name: 'borough_audit_rows_compared',
  help: 'Rows that the last audit of this zone compared.',
  registers,
});

export const endedAtSeconds = new Gauge({
  name: 'borough_audit_ended_timestamp_seconds',
  help: 'When the last audit of this zone ended, in seconds since 1970.',
  registers,
});
