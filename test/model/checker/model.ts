/** What the checker needs to know of a model: where it begins, what may happen next, and what must never be. */

/**
 * How a step counts. `fault`: something breaks, or somebody is slow; `repair`: something that was broken comes back;
 * `step`: everything else. Once faults have ended, repairs and steps alone must lead back to normal service.
 */
export type StepKind = 'step' | 'repair' | 'fault';

/** Called once per possible step. `say` tells it as a sentence; it is called only for a story that is shown. */
export type Emit<State> = (next: State, kind: StepKind, say: () => string) => void;

export interface Model<State> {
  readonly initial: State;
  /** Emits every state that one step leads to. Never changes `state`; always the same order. */
  readonly steps: (state: State, emit: Emit<State>) => void;
  /** The same without faults, and with as many repairs as it takes; used to ask what leads back. */
  readonly recoverySteps: (state: State, emit: Emit<State>) => void;
  /** Writes what makes the state different from others, as whole numbers from 0 to 65535. @returns how many */
  readonly encode: (state: State, into: Uint16Array) => number;
  /** What is wrong with the state; undefined when nothing is. */
  readonly breachOf: (state: State) => string | undefined;
  /** All is well: nothing is broken, half-done or left behind. */
  readonly isHome: (state: State) => boolean;
  /** One line about the state, for the end of a story. */
  readonly describe: (state: State) => string;
}

/** A path that should not exist. */
export interface Violation {
  readonly breach: string;
  /** The steps that lead there, as sentences. */
  readonly story: readonly string[];
  /** The state at its end. */
  readonly end: string;
}

export interface Finding {
  readonly violation: Violation | undefined;
  /** Different states seen. */
  readonly states: number;
  /** Steps tried, those that led to known states included. */
  readonly steps: number;
  readonly depth: number;
  /** Nothing was left to look at within the bounds of the scenario. */
  readonly isExhausted: boolean;
  /** States from which a way back to normal service was looked for, and found. */
  readonly ledHome: number;
}
