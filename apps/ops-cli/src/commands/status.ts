import { type Command } from 'commander';
import { faultsOf, statusLines } from '../render/status-lines.js';
import { EXIT } from '../terminal/exit-codes.js';
import { verb, workOf, type CommonOptions, type Run } from './verb.js';

interface StatusOptions extends CommonOptions {
  readonly check?: true;
}

/** `borough status` */
export function status(run: Run): Command {
  return verb('status', {
    summary: 'Zones, routers, who leads, running moves, and what is wrong',
    page: 'status',
    examples: ['borough status', 'borough status --check || page-someone', 'borough status --json'],
    json: 'print the zones view of the ops API, and what is wrong as `wrong`',
  })
    .option('--check', 'exit with 1 when something is wrong')
    .action(async (options: StatusOptions) => {
      const { output, ops, signal } = workOf(run.terminal, options);
      const view = await ops().getZones({ signal });
      const wrong = faultsOf(view);
      output.document({ ...view, wrong });
      if (!output.isJson) output.words(statusLines(view, wrong, output.paint));
      run.exitCode = options.check === true && wrong.length > 0 ? EXIT.notAll : EXIT.done;
    });
}
