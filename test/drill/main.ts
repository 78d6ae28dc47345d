/** `npm run drill`: breaks or moves things in a cluster of its own, under load, and proves that nobody noticed. */
import { rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { CommanderError } from 'commander';
import { CHECKOUT } from '../../infra/local/checkout.js';
import { faultText } from '../../infra/local/console.js';
import { auditDrill } from './audit/audit-drill.js';
import { auditReportLines } from './audit/report.js';
import { failoverDrill } from './failover/failover-drill.js';
import { failoverReportLines } from './failover/report.js';
import { type DrillParts, handoverDrill } from './handover-drill.js';
import { drillCommand, requireWritable } from './options.js';
import { reportLines } from './report.js';

const BREACH = 1;
const NOT_TRIED = 2;
const INTERRUPTED = 130;

try {
  await drillCommand({
    handover: (options) => drill(options, handoverDrill, reportLines),
    failover: (options) => drill(options, failoverDrill, failoverReportLines),
    audit: (options) => drill(options, auditDrill, auditReportLines),
  }).parseAsync();
} catch (error) {
  // Commander has said it already.
  if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : NOT_TRIED;
  else {
    console.error(faultText(error));
    process.exitCode = NOT_TRIED;
  }
}

interface Options {
  readonly json?: string;
  readonly directory?: string;
  readonly keep: boolean;
}

/** Carries out a drill and says what came of it. */
async function drill<Chosen extends Options, Report extends { readonly verdict: 'pass' | 'fail' }>(
  options: Chosen,
  carryOut: (options: Chosen, parts: DrillParts) => Promise<Report>,
  linesOf: (report: Report) => string[],
): Promise<void> {
  requireWritable(options.json);
  const directory = options.directory === undefined ? join(CHECKOUT, '.borough', 'drill') : resolve(options.directory);
  const interruption = new AbortController();
  const interrupt = (): void => {
    if (interruption.signal.aborted) return;
    console.log('\nStopping: nothing more is begun; what was done so far is checked.');
    interruption.abort();
  };
  process.on('SIGINT', interrupt);
  process.on('SIGTERM', interrupt);
  const say = (line: string): void => {
    console.log(`${new Date().toISOString().slice(11, 23)}  ${line}`);
  };
  const report = await carryOut(options, { directory, say, signal: interruption.signal });
  console.log(linesOf(report).join('\n'));
  if (options.json !== undefined) writeFileSync(options.json, `${JSON.stringify(report, undefined, 2)}\n`);
  const isPassed = report.verdict === 'pass';
  if (options.keep || !isPassed) console.log(`History and logs: ${directory}`);
  else rmSync(directory, { recursive: true, force: true });
  if (!isPassed) process.exitCode = BREACH;
  else if (interruption.signal.aborted) process.exitCode = INTERRUPTED;
}
