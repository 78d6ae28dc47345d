import { type ExitCode } from './exit-codes.js';

export interface CliFaultParts {
  /** Stable, for scripts: a problem code of the wire, or one of this program's own. */
  readonly code: string;
  readonly title: string;
  /** Facts, one a line. */
  readonly details?: readonly string[];
  /** What to do now, one a line. */
  readonly next?: readonly string[];
  readonly exitCode: ExitCode;
  /** Further facts for `--json`, such as the problem document or the blocked plan. */
  readonly facts?: Readonly<Record<string, unknown>>;
}

/** Why a verb did not do what it was asked for, as a person and a script are to be told. */
export class CliFault extends Error {
  override readonly name = 'CliFault';
  readonly code: string;
  readonly details: readonly string[];
  readonly next: readonly string[];
  readonly exitCode: ExitCode;
  readonly facts: Readonly<Record<string, unknown>>;

  constructor(parts: CliFaultParts) {
    super(parts.title);
    this.code = parts.code;
    this.details = parts.details ?? [];
    this.next = parts.next ?? [];
    this.exitCode = parts.exitCode;
    this.facts = parts.facts ?? {};
  }
}
