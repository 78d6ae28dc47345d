import { type Problem } from '@borough/server-kit';
import { type NewRows } from './new-rows.js';
import { type OrderChange } from './order-change.js';

/** What a write answers; kept with its key and given again, byte for byte. */
export interface Answer {
  readonly status: number;
  /** JSON text. */
  readonly body: string;
  /** Whether this repeats the answer of an earlier request with the same key. */
  readonly isReplay: boolean;
}

/** Method and path pattern, caller and key: together the scope of one effect. */
export interface WriteScope {
  readonly route: string;
  readonly caller: string;
  readonly key: string;
}

interface KeyedWrite extends WriteScope {
  /** SHA-256 of what was asked, in hexadecimal: another body under the same key is refused. */
  readonly fingerprint: string;
}

/** Rows that are new; nothing that stands can refuse them. */
export interface PendingRows extends KeyedWrite {
  readonly kind: 'new-rows';
  readonly answer: Answer;
  readonly rows: NewRows;
}

/** A step of an order that stands; the database answers with what became of it. */
export interface PendingChange extends KeyedWrite {
  readonly kind: 'order-change';
  /** HTTP status of the answer when the step is taken. */
  readonly status: number;
  readonly change: OrderChange;
}

/** One request's effect, ready to be written together with others of its shard. */
export type PendingWrite = PendingRows | PendingChange;

/** What became of one write of a batch that was committed. */
export type Outcome = { kind: 'answered'; answer: Answer } | { kind: 'refused'; problem: Problem };

/** Text that is equal for two writes exactly when they share a key. */
export function scopeOf({ route, caller, key }: WriteScope): string {
  return JSON.stringify([route, caller, key]);
}
