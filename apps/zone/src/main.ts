import 'reflect-metadata';
import { runMain } from '@borough/server-kit';
import { startZone } from './zone.js';
import { readZoneConfig } from './platform/zone.config.js';

runMain(async () => {
  await startZone(readZoneConfig());
});
