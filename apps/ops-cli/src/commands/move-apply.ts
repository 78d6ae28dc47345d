import { type Command } from 'commander';
import { shardsOf, zoneOf } from './arguments.js';
import { carryOut, confirmMany, type CarryOutOptions } from './carry-out.js';
import { withMoveOptions } from './move-options.js';
import { verb, workOf, type CommonOptions, type Run } from './verb.js';

interface MoveApplyOptions extends CommonOptions, CarryOutOptions {
  readonly to: string;
}

/** `borough move apply <shards...> --to <zone>` */
export function moveApply(run: Run): Command {
  const command = verb('apply <shards...>', {
    summary: 'Move shards to another zone, with the plan first and the progress after',
    page: 'move-apply',
    examples: [
      'borough move apply 3 --to b --why "b is closer"',
      'borough move apply 3,4 7-9 --to b --why "kernel update of a" --yes',
      'borough move apply 3 --to b --why test --yes --detach --json',
    ],
    json: 'print the move as it ended (with --detach: as it began)',
  }).requiredOption('--to <zone>', 'the zone they move to');
  return withMoveOptions(command).action(async (words: string[], options: MoveApplyOptions) => {
    const target = { kind: 'shards', shards: shardsOf(words), to: zoneOf(options.to) } as const;
    run.exitCode = await carryOut(workOf(run.terminal, options), target, options, confirmMany);
  });
}
