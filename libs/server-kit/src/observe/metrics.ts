import { Counter, Registry } from 'prom-client';

/** One registry per process, shown at `GET /metrics`. */
export const metrics = new Registry();

export const refusals = new Counter({
  name: 'borough_refusals_total',
  help: 'Requests answered with a problem, by its code.',
  labelNames: ['code'] as const,
  registers: [metrics],
});
