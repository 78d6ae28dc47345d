/**
 * A hook for tests and drills: a coordinator that ends itself at a chosen step of a move, as hard as a power cut.
 *
 * Whoever wants that starts the coordinator with CRASH_POINT_FILE and writes the name of a step into that file. The
 * coordinator that reaches the step removes the file and sends itself SIGKILL. Without the variable nothing is looked at.
 */
import { readFileSync, rmSync } from 'node:fs';

/** The steps of a handover, in order. */
export const HANDOVER_STEPS = [
  'recorded',
  'frozen',
  'checked',
  'intended-at-one',
  'intended',
  'moving-published',
  'fenced',
  'applied',
  'accepted-at-one',
  'accepted',
  'served',
  'serving-published',
  'told',
  'routers-waited',
  'thawed',
] as const;

/** Those of a failover. */
export const FAILOVER_STEPS = [
  'failover-recorded',
  'failover-frozen',
  'failover-sealed',
  'failover-prepared',
  'failover-accepted',
  'failover-served',
  'failover-released',
] as const;
type CrashPoint = (typeof HANDOVER_STEPS | typeof FAILOVER_STEPS)[number];

export interface Crashes {
  /** Does not come back when this is the chosen step. */
  at(point: CrashPoint): void;
  /** Whether this is the chosen step: for leaving behind what only a part of the voters has heard of. */
  isAimedAt(point: CrashPoint): boolean;
}

/** @param file undefined: never crashes */
export function crashesFrom(file: string | undefined): Crashes {
  const isAimedAt = (point: CrashPoint): boolean => {
    if (file === undefined) return false;
    try {
      return readFileSync(file, 'utf8').trim() === point;
    } catch {
      return false;
    }
  };
  return {
    isAimedAt,
    at: (point) => {
      if (!isAimedAt(point)) return;
      rmSync(file ?? '');
      process.kill(process.pid, 'SIGKILL');
      // The signal comes on its own time; until then this process does nothing more.
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
    },
  };
}
