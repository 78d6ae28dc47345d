/** A fault whose message tells a person what to do; it is shown without a stack. Anything else that is thrown is a bug of ours. */
export class StarterError extends Error {
  override name = 'StarterError';
}
