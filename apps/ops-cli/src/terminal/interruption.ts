/** Ctrl-C, twice: the first stops the watching and says how to go on, a second one ends the program at once. */
import { EXIT } from './exit-codes.js';
import { type Interruption } from './terminal.js';

/** Why a call ended that was waiting when Ctrl-C came. */
class Interrupted extends Error {
  override readonly name = 'Interrupted';
}

export function interruptionOfProcess(): Interruption {
  const controller = new AbortController();
  const interrupt = () => {
    controller.abort(new Interrupted('interrupted'));
    for (const name of ['SIGINT', 'SIGTERM'] as const) {
      process.removeListener(name, interrupt);
      process.once(name, () => process.exit(EXIT.interrupted));
    }
  };
  process.once('SIGINT', interrupt);
  process.once('SIGTERM', interrupt);
  return { signal: controller.signal, interrupt };
}
