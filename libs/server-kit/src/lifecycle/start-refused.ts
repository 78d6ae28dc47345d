/** A start that must not go on; the message tells a person what to change, so no stack trace is shown. */
export class StartRefused extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'StartRefused';
  }
}
