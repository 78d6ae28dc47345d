import { type Command } from 'commander';
import { shardsOf, zoneOf } from './arguments.js';
import { showPlan, type CarryOutOptions } from './carry-out.js';
import { withPlanOptions } from './move-options.js';
import { verb, workOf, type CommonOptions, type Run } from './verb.js';

interface MovePlanOptions extends CommonOptions, Pick<CarryOutOptions, 'why' | 'by'> {
  readonly to: string;
}

/** `borough move plan <shards...> --to <zone>` */
export function movePlan(run: Run): Command {
  const command = verb('plan <shards...>', {
    summary: 'What moving these shards would do: steps, checks, pause, orders in process; changes nothing',
    page: 'move-plan',
    examples: ['borough move plan 3 --to b', 'borough move plan 3,4 7-9 --to b', 'borough move plan 3 --to b --json'],
    json: 'print the plan of the ops API',
  }).requiredOption('--to <zone>', 'the zone they would move to');
  return withPlanOptions(command).action(async (words: string[], options: MovePlanOptions) => {
    const target = { kind: 'shards', shards: shardsOf(words), to: zoneOf(options.to) } as const;
    run.exitCode = await showPlan(workOf(run.terminal, options), target, options);
  });
}
