import { type Command } from 'commander';
import { zoneOf } from './arguments.js';
import { carryOut, confirmMany, type CarryOutOptions } from './carry-out.js';
import { withMoveOptions } from './move-options.js';
import { verb, workOf, type CommonOptions, type Run } from './verb.js';

/** `borough zone undrain <zone>` */
export function zoneUndrain(run: Run): Command {
  const command = verb('undrain <zone>', {
    summary: 'Move back to a zone what its last drain moved away',
    page: 'zone-undrain',
    examples: [
      'borough zone undrain a --why "kernel update of a is done"',
      'borough zone undrain a --dry-run',
      'borough zone undrain a --why "a is back" --yes --json',
    ],
    json: 'print the move as it ended (with --detach: as it began; with --dry-run: the plan)',
  });
  return withMoveOptions(command).action(async (text: string, options: CommonOptions & CarryOutOptions) => {
    const target = { kind: 'undrain', zone: zoneOf(text) } as const;
    run.exitCode = await carryOut(workOf(run.terminal, options), target, options, confirmMany);
  });
}
