import { type MovePlan, type MoveTarget } from '@borough/contracts';
import { type Command } from 'commander';
import { count } from '../render/words.js';
import { usage, zoneOf } from './arguments.js';
import { carryOut, type CarryOutOptions } from './carry-out.js';
import { withMoveOptions } from './move-options.js';
import { verb, workOf, type CommonOptions, type Run } from './verb.js';

interface ZoneFailoverOptions extends CommonOptions, CarryOutOptions {
  readonly declareLost?: true;
  readonly confirm?: string;
}

/** `borough zone failover <zone>` */
export function zoneFailover(run: Run): Command {
  const command = verb('failover <zone>', {
    summary: 'Move everything off a zone that is dead, frozen or cut off, and seal it off',
    page: 'zone-failover',
    examples: [
      'borough zone failover a --dry-run',
      'borough zone failover a --why "its host is gone"',
      'borough zone failover a --declare-lost --why "a and b burnt down" --yes --confirm a',
    ],
    json: 'print the move as it ended (with --detach: as it began; with --dry-run: the plan)',
  })
    .option('--declare-lost', 'accept that writes are lost which no zone that answers has; the plan says which may be')
    .option('--confirm <zone>', 'for --declare-lost with --yes: the name of the zone, once more');
  return withMoveOptions(command).action(async (text: string, options: ZoneFailoverOptions) => {
    const zone = zoneOf(text);
    const isDeclared = options.declareLost === true;
    if (isDeclared && options.yes === true && options.confirm !== zone && options.dryRun !== true) {
      throw usage(`--declare-lost with --yes also needs  --confirm ${zone} . Nothing was changed`, [
        'look at the plan with  --dry-run : it says what may be lost',
      ]);
    }
    const target: MoveTarget = isDeclared ? { kind: 'failover', zone, declareLost: true } : { kind: 'failover', zone };
    run.exitCode = await carryOut(
      workOf(run.terminal, options),
      target,
      options,
      ({ shards }) => ({
        word: zone,
        consequence: isDeclared
          ? `This gives zone ${zone} up: ${count(shards.length, 'shard')}. What the plan says may be lost is then lost.`
          : `This fails zone ${zone} over: ${count(shards.length, 'shard')}. It is sealed off until it has rejoined.`,
      }),
      (plan) => (isDeclared ? [] : lossNotes(zone, plan)),
    );
  });
}

/** What somebody may do whose zone cannot be left without a loss, and what it costs. */
function lossNotes(zone: string, { checks }: MovePlan): string[] {
  if (!checks.some(({ check, isPassed }) => check === 'recorded-member' && !isPassed)) return [];
  return [
    `bring back one zone that has all that zone ${zone} acknowledged (borough status), then ask again: nothing is lost`,
    `or give up what only zone ${zone} and zones that are away have:  borough zone failover ${zone} --declare-lost`,
    'that move says first what may be lost; orders in process are then held until each was looked at (borough orders held)',
  ];
}
