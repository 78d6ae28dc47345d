import { type Problem } from '@borough/server-kit';
import { type NewRows } from './new-rows.js';

/** What a write answers; kept with its key and given again, byte for byte. */
export interface Answer {
  readonly status: number;
  /** JSON text. */
  readonly body: string;
  /** Whether this repeats the answer of an earlier request with the same key. */
  readonly isReplay: boolean;
}

/** One request's effect, ready to be written together with others of its shard. */
export interface PendingWrite {
  /** Method and path pattern, caller and key: together the scope of one effect. */
  readonly route: string;
  readonly caller: string;
  readonly key: string;
  /** SHA-256 of what was asked, in hexadecimal: another body under the same key is refused. */
  readonly fingerprint: string;
  readonly answer: Answer;
  readonly rows: NewRows;
}

/** What became of one write of a batch that was committed. */
export type Outcome = { kind: 'answered'; answer: Answer } | { kind: 'refused'; problem: Problem };

/** Text that is equal for two writes exactly when they share a key. */
export function scopeOf({ route, caller, key }: Pick<PendingWrite, 'route' | 'caller' | 'key'>): string {
  return JSON.stringify([route, caller, key]);
}
