import { type Command } from 'commander';
import { orderIdOf, whoOf } from './arguments.js';
import { whyOf } from './carry-out.js';
import { verb, workOf, type CommonOptions, type Run } from './verb.js';

interface OrdersReleaseOptions extends CommonOptions {
  readonly why?: string;
  readonly by?: string;
}

/** `borough orders release <order>` */
export function ordersRelease(run: Run): Command {
  return verb('release <order>', {
    summary: 'Let an order be changed again that is held after a declared loss: somebody has looked at it',
    page: 'orders-held',
    examples: ['borough orders release ord_01h455vb4pex5vsknk084sn02q --why "asked the store: it was handed over"'],
    json: 'print which order, shard and zone it was',
  })
    .option('--why <text>', 'what was found, kept with the release')
    .option('--by <who>', 'who has looked at it (default: user@host)')
    .action(async (text: string, options: OrdersReleaseOptions) => {
      const work = workOf(run.terminal, options);
      const { output, ops, signal, terminal } = work;
      const orderId = orderIdOf(text);
      const requestedBy = whoOf(options.by, terminal.env);
      const why = await whyOf(work, options.why, 'the record of the release');
      const released = await ops().releaseOrder(orderId, { requestedBy, why }, { signal });
      output.document(released);
      output.words([output.paint.green(`✓ Released: ${orderId} may be changed again, at zone ${released.zone}`)]);
    });
}
