import 'reflect-metadata';
import { runMain } from '@borough/server-kit';
import { startRouter } from './router.js';
import { readRouterConfig } from './router.config.js';

runMain(async () => {
  await startRouter(readRouterConfig());
});
