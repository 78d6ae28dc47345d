import { type Command } from 'commander';
import { EXIT } from '../terminal/exit-codes.js';
import { moveIdOf } from './arguments.js';
import { followMove } from './follow-move.js';
import { verb, workOf, type CommonOptions, type Run } from './verb.js';

/** `borough move watch <move>` */
export function moveWatch(run: Run): Command {
  const command = verb('watch <move>', {
    summary: 'Follow a move to its end; Ctrl-C stops the watching, not the move',
    page: 'move-watch',
    examples: [
      'borough move watch mov_01h455vb4pex5vsknk084sn02q',
      'borough move watch mov_01h455vb4pex5vsknk084sn02q --json | jq -r .state',
    ],
    json: 'print the move each time it has changed, each on a line of its own (NDJSON)',
  });
  return command.action(async (moveId: string, options: CommonOptions) => {
    const work = workOf(run.terminal, options);
    const end = await followMove(work, moveIdOf(moveId), (view) => {
      work.output.documentLine(view);
    });
    run.exitCode = end.outcome === 'moved' ? EXIT.done : EXIT.notAll;
  });
}
