import 'reflect-metadata';
import { runMain } from '@borough/server-kit';
import { startCoordinator } from './coordinator.js';
import { readCoordinatorConfig } from './coordinator.config.js';

runMain(async () => {
  await startCoordinator(readCoordinatorConfig());
});
