import { type Command } from 'commander';

/** The options of every verb that begins a move. */
export function withMoveOptions(command: Command): Command {
  return withPlanOptions(command)
    .option('--yes', 'do not ask for confirmation; needed where there is no terminal')
    .option('--detach', 'do not wait for the end: print the move and leave')
    .option('--dry-run', 'show the plan and change nothing');
}

/** The options that say for whom and why. */
export function withPlanOptions(command: Command): Command {
  return command
    .option('--why <text>', 'the reason, for the audit log')
    .option('--by <who>', 'who asks, for the audit log (default: user@host)');
}
