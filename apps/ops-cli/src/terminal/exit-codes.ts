/** What the exit status of every verb means. Stable: scripts lean on it; the runbooks list it. */
export const EXIT = {
  done: 0,
  /**
   * The move ended without having done all it was asked for, the zone that was followed is no full member in time, an audit
   * found copies that differ or could not see everything, or `status --check` found something wrong.
   */
  notAll: 1,
  /** The command line is wrong, or nobody confirmed. Nothing was changed. */
  usage: 2,
  /** No coordinator could do it: none was reached, none leads, or none has a majority. */
  noCoordinator: 3,
  /** A coordinator refused for good, a check blocks the plan, or no shard serves what was explained. */
  refused: 4,
  /** A fault of this program itself. */
  fault: 70,
  /** Ctrl-C. A move that had begun goes on. */
  interrupted: 130,
} as const;

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** For the foot of every help. */
export const EXIT_LINES: readonly string[] = [
  '0    done',
  '1    not all of it: of a move, of a zone that was followed for as long as asked, of an audit, or of status --check',
  '2    wrong command line, or not confirmed; nothing was changed',
  '3    no coordinator could do it: none reached, none leads, or no majority',
  '4    refused, or blocked by a check; nothing was changed',
  '70   a fault of this program',
  '130  interrupted with Ctrl-C; a move that had begun goes on',
];
