import { metrics } from '@borough/server-kit';
import { Counter, Gauge, Histogram } from 'prom-client';

const registers = [metrics];

export const heldNow = new Gauge({ name: 'borough_hold_requests', help: 'Requests held just now.', registers });

export const heldTotal = new Counter({
  name: 'borough_hold_held_total',
  help: 'Requests that were held, by what made them wait.',
  labelNames: ['reason'] as const,
  registers,
});

export const releasedTotal = new Counter({
  name: 'borough_hold_released_total',
  help: 'Held requests that were let go to a zone.',
  registers,
});

export const refusedTotal = new Counter({
  name: 'borough_hold_refused_total',
  help: 'Requests not held, or not to the end: full, bytes, share, body, timeout, stopping.',
  labelNames: ['reason'] as const,
  registers,
});

export const abandonedTotal = new Counter({
  name: 'borough_hold_abandoned_total',
  help: 'Held requests whose client went away.',
  registers,
});

export const holdSeconds = new Histogram({
  name: 'borough_hold_seconds',
  help: 'How long requests were held, whatever came of it.',
  buckets: [0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10],
  registers,
});
