import { type MoveTarget } from '@borough/contracts';
import { type Command } from 'commander';
import { count } from '../render/words.js';
import { zoneOf } from './arguments.js';
import { carryOut, type CarryOutOptions } from './carry-out.js';
import { withMoveOptions } from './move-options.js';
import { verb, workOf, type CommonOptions, type Run } from './verb.js';

interface ZoneDrainOptions extends CommonOptions, CarryOutOptions {
  readonly to?: string;
}

/** `borough zone drain <zone>` */
export function zoneDrain(run: Run): Command {
  const command = verb('drain <zone>', {
    summary: 'Move everything a zone owns to the other zones, or to one of them',
    page: 'zone-drain',
    examples: [
      'borough zone drain a --why "kernel update of a"',
      'borough zone drain a --to b --dry-run',
      'borough zone drain a --why "kernel update of a" --yes --json',
    ],
    json: 'print the move as it ended (with --detach: as it began; with --dry-run: the plan)',
  }).option('--to <zone>', 'all to this zone (default: spread over the zones that are able)');
  return withMoveOptions(command).action(async (text: string, options: ZoneDrainOptions) => {
    const zone = zoneOf(text);
    const target: MoveTarget =
      options.to === undefined ? { kind: 'drain', zone } : { kind: 'drain', zone, to: zoneOf(options.to) };
    run.exitCode = await carryOut(workOf(run.terminal, options), target, options, ({ shards }) => ({
      word: zone,
      consequence: `This moves all of zone ${zone} away: ${count(shards.length, 'shard')}.`,
    }));
  });
}
