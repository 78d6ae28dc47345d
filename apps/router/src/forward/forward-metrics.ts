import { metrics } from '@borough/server-kit';
import { Counter } from 'prom-client';

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
