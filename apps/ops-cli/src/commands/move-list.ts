import { type Command } from 'commander';
import { movesLines } from '../render/history-lines.js';
import { moveIdOf } from './arguments.js';
import { verb, wholeNumber, workOf, type CommonOptions, type Run } from './verb.js';

interface MoveListOptions extends CommonOptions {
  readonly limit: number;
  readonly before?: string;
}

/** `borough move list` */
export function moveList(run: Run): Command {
  return verb('list', {
    summary: 'Moves, the newest first',
    page: 'move-list',
    examples: ['borough move list', 'borough move list --limit 100 --json'],
    json: 'print the page of the ops API; `next` is the --before of the next one',
  })
    .option('--limit <n>', 'how many', wholeNumber(1, 100), 20)
    .option('--before <move>', 'only older ones than this')
    .action(async (options: MoveListOptions) => {
      const { output, ops, signal } = workOf(run.terminal, options);
      const before = options.before === undefined ? undefined : moveIdOf(options.before);
      const page = await ops().listMoves({ limit: options.limit, before }, { signal });
      output.document(page);
      if (!output.isJson) output.words(movesLines(page, output.paint));
    });
}
