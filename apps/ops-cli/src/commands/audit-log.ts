import { type Command } from 'commander';
import { auditLines } from '../render/history-lines.js';
import { verb, wholeNumber, workOf, type CommonOptions, type Run } from './verb.js';

interface AuditLogOptions extends CommonOptions {
  readonly limit: number;
  readonly before?: string;
}

/** `borough audit-log` */
export function auditLog(run: Run): Command {
  return verb('audit-log', {
    summary: 'Who asked for what, why, and what came of it; the newest first',
    page: 'audit-log',
    examples: ['borough audit-log', 'borough audit-log --limit 200 --json'],
    json: 'print the page of the ops API; `next` is the --before of the next one',
  })
    .option('--limit <n>', 'how many', wholeNumber(1, 200), 50)
    .option('--before <cursor>', 'only older ones than this')
    .action(async (options: AuditLogOptions) => {
      const { output, ops, signal } = workOf(run.terminal, options);
      const page = await ops().getAuditLog({ limit: options.limit, before: options.before }, { signal });
      output.document(page);
      if (!output.isJson) output.words(auditLines(page, output.paint));
    });
}
