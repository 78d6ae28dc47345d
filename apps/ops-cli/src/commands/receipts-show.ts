import { type Command } from 'commander';
import { receiptLines } from '../render/receipt-lines.js';
import { receiptOf } from './arguments.js';
import { verb, workOf, type CommonOptions, type Run } from './verb.js';

/** `borough receipts show <zone>/<id>` */
export function receiptsShow(run: Run): Command {
  return verb('show <receipt>', {
    summary: 'One receipt: the row as it was found, beside the row that took its place',
    page: 'receipts',
    examples: ['borough receipts show a/12', 'borough receipts show a/12 --json'],
    json: 'print the receipt with both rows, whole',
  }).action(async (text: string, options: CommonOptions) => {
    const { output, ops, signal } = workOf(run.terminal, options);
    const { zone, id } = receiptOf(text);
    const receipt = await ops().getReceipt(zone, id, { signal });
    output.document(receipt);
    if (!output.isJson) output.words(receiptLines(receipt, output.paint));
  });
}
