import { type MoveView } from '@borough/contracts';
import { type Command } from 'commander';
import { CliFault } from '../terminal/cli-fault.js';
import { EXIT } from '../terminal/exit-codes.js';
import { moveIdOf, whoOf } from './arguments.js';
import { followMove } from './follow-move.js';
import { verb, workOf, type CommonOptions, type Run, type Work } from './verb.js';

interface MoveAbortOptions extends CommonOptions {
  readonly by?: string;
  readonly detach?: true;
}

/** `borough move abort <move>` */
export function moveAbort(run: Run): Command {
  return verb('abort <move>', {
    summary: 'Stop a move: shards not yet certain of their new owner go back, moved ones stay moved',
    page: 'move-abort',
    examples: [
      'borough move abort mov_01h455vb4pex5vsknk084sn02q',
      'borough move abort mov_01h455vb4pex5vsknk084sn02q --detach --json',
    ],
    json: 'print the move as it ended (with --detach: as it stands)',
  })
    .option('--by <who>', 'who asks, for the audit log (default: user@host)')
    .option('--detach', 'do not wait for the end')
    .action(async (text: string, options: MoveAbortOptions) => {
      const work = workOf(run.terminal, options);
      const moveId = moveIdOf(text);
      const asked = await askToAbort(work, moveId, whoOf(options.by, run.terminal.env));
      if (options.detach === true) {
        work.output.words([`Asked to stop ${moveId}`, `  watch it:  borough move watch ${moveId}`]);
        work.output.document(asked);
        return;
      }
      const end = await followMove(work, moveId);
      work.output.document(end);
      // Done is what was asked for: that it stopped. A move that was past that has moved all the same.
      run.exitCode = end.outcome === 'aborted' || end.outcome === 'reverted' ? EXIT.done : EXIT.notAll;
    });
}

async function askToAbort({ ops, signal }: Work, moveId: string, requestedBy: string): Promise<MoveView> {
  try {
    return await ops().abortMove(moveId, { requestedBy }, { signal });
  } catch (error) {
    if (!signal.aborted) throw error;
    throw new CliFault({
      code: 'interrupted',
      title: 'Interrupted while asking to stop the move; it may be stopping',
      next: [`look:  borough move watch ${moveId}`],
      exitCode: EXIT.interrupted,
    });
  }
}
