/** What must be true before a process takes traffic, by name, and why it is not yet. */
export class Readiness {
  private readonly missing = new Map<string, string>();

  /** @param reason shown to whoever asks `GET /health/ready` meanwhile */
  wait(name: string, reason: string): void {
    this.missing.set(name, reason);
  }

  done(name: string): void {
    this.missing.delete(name);
  }

  get isReady(): boolean {
    return this.missing.size === 0;
  }

  get waitingFor(): Readonly<Record<string, string>> {
    return Object.fromEntries(this.missing);
  }
}
