import { metrics } from '@borough/server-kit';
import { Counter, Gauge } from 'prom-client';

const registers = [metrics];

export const reroutesTotal = new Counter({
  name: 'borough_reroutes_total',
  help: 'Requests sent at once to the owner that a 421 named.',
  registers,
});

export const replaysTotal = new Counter({
  name: 'borough_replays_total',
  help: 'Requests sent again, by the code of what came of the try before.',
  labelNames: ['reason'] as const,
  registers,
});

export const takenBackTotal = new Counter({
  name: 'borough_taken_back_total',
  help: 'Writes given up at a zone that had lost their shard, and sent to its new owner.',
  registers,
});

export const hedgesTotal = new Counter({
  name: 'borough_read_hedges_total',
  help: 'Reads asked of another zone because the one before did not answer in time.',
  registers,
});

export const silentZones = new Gauge({
  name: 'borough_silent_zones',
  help: '1 for a zone that does not answer this router.',
  labelNames: ['zone'] as const,
  registers,
});
