import { type Command } from 'commander';
import { receiptsLines } from '../render/receipt-lines.js';
import { zoneOf } from './arguments.js';
import { verb, wholeNumber, workOf, type CommonOptions, type Run } from './verb.js';

interface ReceiptsListOptions extends CommonOptions {
  readonly zone?: string;
  readonly table?: string;
  readonly shard?: number;
  readonly limit: number;
  readonly before?: string;
}

/** `borough receipts list` */
export function receiptsList(run: Run): Command {
  return verb('list', {
    summary: 'Rows that a zone had written and nobody was told of, found when it came back; the newest first',
    page: 'receipts',
    examples: ['borough receipts list', 'borough receipts list --zone a --table orders --limit 200 --json'],
    json: 'print the page of the ops API; `next` is the --before of the next one',
  })
    .option('--zone <zone>', 'only those found in this zone')
    .option('--table <table>', 'only rows of this table')
    .option('--shard <n>', 'only rows of this shard', wholeNumber(0, 4095))
    .option('--limit <n>', 'how many', wholeNumber(1, 500), 50)
    .option('--before <cursor>', 'only older ones than this')
    .action(async ({ table, shard, limit, before, ...options }: ReceiptsListOptions) => {
      const { output, ops, signal } = workOf(run.terminal, options);
      const zone = options.zone === undefined ? undefined : zoneOf(options.zone);
      const page = await ops().listReceipts({ zone, table, shard, limit, before }, { signal });
      output.document(page);
      const more = [
        'borough receipts list',
        ...(zone === undefined ? [] : ['--zone', zone]),
        ...(table === undefined ? [] : ['--table', table]),
        ...(shard === undefined ? [] : ['--shard', `${shard}`]),
      ].join(' ');
      if (!output.isJson) output.words(receiptsLines(page, more, output.paint));
    });
}
