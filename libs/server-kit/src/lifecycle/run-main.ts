import { ConfigError } from '../config/read-environment.js';
import { StartRefused } from './start-refused.js';

/**
 * Runs a process's `main`; a start that cannot work ends with a message a person can act on and exit status 1
 * (2 when the environment is at fault), not with a stack trace.
 */
export function runMain(main: () => Promise<void>): void {
  main().catch((error: unknown) => {
    const isForPeople = error instanceof ConfigError || error instanceof StartRefused;
    const text =
      error instanceof Error ? (isForPeople ? error.message : (error.stack ?? error.message)) : String(error);
    process.stderr.write(`${text}\n`);
    process.exit(error instanceof ConfigError ? 2 : 1);
  });
}
