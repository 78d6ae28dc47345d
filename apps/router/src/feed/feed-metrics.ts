import { metrics } from '@borough/server-kit';
import { Counter, Gauge } from 'prom-client';

const registers = [metrics];

export const feedClients = new Gauge({
  name: 'borough_feed_clients',
  help: 'Clients that listen to changes of the routing table just now.',
  registers,
});

export const feedTold = new Counter({
  name: 'borough_feed_told_total',
  help: 'Changes of the routing table told, counted once for each listener.',
  registers,
});

export const feedDropped = new Counter({
  name: 'borough_feed_dropped_total',
  help: 'Listeners dropped because they did not read.',
  registers,
});
