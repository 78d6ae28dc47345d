import { type Command } from 'commander';
import { heldLines } from '../render/held-lines.js';
import { verb, wholeNumber, workOf, type CommonOptions, type Run } from './verb.js';

interface OrdersHeldOptions extends CommonOptions {
  readonly limit: number;
}

/** `borough orders held` */
export function ordersHeld(run: Run): Command {
  return verb('held', {
    summary: 'Orders that take no change since a failover or a declared loss, the longest held first',
    page: 'orders-held',
    examples: ['borough orders held', 'borough orders held --limit 500 --json'],
    json: 'print the view of the ops API; `unanswered` are zones whose held orders are missing',
  })
    .option('--limit <n>', 'how many', wholeNumber(1, 500), 50)
    .action(async ({ limit, ...options }: OrdersHeldOptions) => {
      const { output, ops, signal } = workOf(run.terminal, options);
      const view = await ops().listHeldOrders({ limit }, { signal });
      output.document(view);
      if (!output.isJson) output.words(heldLines(view, output.paint));
    });
}
