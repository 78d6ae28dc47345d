/** The ops API for consoles and command lines: one typed call per endpoint, to whichever coordinator can answer. */
export {
  OpsClient,
  type CallOptions,
  type OpsClientOptions,
  type WatchOptions,
  type WriteOptions,
} from './ops-client.js';
export { AnswerNotUnderstood, NoCoordinator, OpsRefused, type FailedTry } from './ops-faults.js';
