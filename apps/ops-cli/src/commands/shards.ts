import { type Command } from 'commander';
import { shardsLines } from '../render/shards-lines.js';
import { zoneOf } from './arguments.js';
import { verb, workOf, type CommonOptions, type Run } from './verb.js';

interface ShardsOptions extends CommonOptions {
  readonly zone?: string;
  readonly moving?: true;
}

/** `borough shards` */
export function shards(run: Run): Command {
  return verb('shards', {
    summary: 'Every shard: area, owner, state, epoch, its move, and whether the zones agree',
    page: 'shards',
    examples: ['borough shards', 'borough shards --zone a', 'borough shards --moving --json'],
    json: 'print the shards view of the ops API',
  })
    .option('--zone <zone>', 'only those this zone owns')
    .option('--moving', 'only those that move')
    .action(async (options: ShardsOptions) => {
      const { output, ops, signal } = workOf(run.terminal, options);
      const zone = options.zone === undefined ? undefined : zoneOf(options.zone);
      const { tableVersion, shards: all } = await ops().getShards({ signal });
      const wanted = all.filter(
        ({ owner, state }) =>
          (zone === undefined || owner === zone) && (options.moving !== true || state !== 'serving'),
      );
      const view = { tableVersion, shards: wanted };
      output.document(view);
      if (!output.isJson) output.words(shardsLines(view, output.paint));
    });
}
