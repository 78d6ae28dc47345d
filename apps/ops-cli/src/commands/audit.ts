import { setTimeout as sleep } from 'node:timers/promises';
import { type AuditView } from '@borough/contracts';
import { NoCoordinator } from '@borough/ops-client';
import { type Command } from 'commander';
import { auditLines, auditListLines, auditProgressLines } from '../render/audit-lines.js';
import { CliFault } from '../terminal/cli-fault.js';
import { EXIT, type ExitCode } from '../terminal/exit-codes.js';
import { LiveBlock } from '../terminal/live-block.js';
import { auditIdOf, sinceOf, usage, whoOf, zoneOf } from './arguments.js';
import { whyOf } from './carry-out.js';
import { verb, wholeNumber, workOf, type CommonOptions, type Run, type Work } from './verb.js';

const POLL_MS = 300;
const CANCEL_WITHIN_MS = 5_000;
/** A zone that has begun its part and does not answer at the end is waited for so long, in ms. */
const LATE_MAX_MS = 10_000;
/** Looks in a row that no coordinator answers; each takes as long as `--timeout` says. */
const AWAY_MAX = 6;

interface AuditOptions extends CommonOptions {
  readonly table?: readonly string[];
  readonly zones?: string;
  readonly since?: string;
  readonly heal?: true;
  readonly why?: string;
  readonly by?: string;
  readonly detach?: true;
}

/** `borough audit`, `borough audit list`, `borough audit show <audit>` */
export function audit(run: Run): Command {
  return verb('audit', {
    summary: 'Compare what zones hold of the shards of others with their owners, without reading every row',
    page: 'audit',
    examples: [
      'borough audit',
      'borough audit --zones a,b --table orders --since 2h',
      'borough audit --heal --why "zone b came back without its disk"',
      'borough audit list',
    ],
    json: 'print the audit as it ended, every differing row with it',
  })
    .option('--table <table...>', 'only these tables')
    .option('--zones <zones>', 'only what these zones hold of each other, comma-separated')
    .option('--since <when>', 'only rows that may have changed since: 30m, 2h, 7d, or an instant')
    .option(
      '--heal',
      'make copies that differ what their owner has; owners are never written to. Without it, read-only',
    )
    .option('--why <text>', 'the reason, kept with the audit; needed to heal')
    .option('--by <who>', 'who asks (default: user@host)')
    .option('--detach', 'begin it and do not wait')
    .addCommand(auditList(run))
    .addCommand(auditShow(run))
    .action(async (options: AuditOptions) => {
      const work = workOf(run.terminal, options);
      const { terminal, output, ops, signal } = work;
      const zones = options.zones?.split(',').map((zone) => zoneOf(zone.trim()));
      if (zones !== undefined && zones.length < 2) {
        throw usage('An audit compares two zones at least', ['write  --zones a,b']);
      }
      const since = options.since === undefined ? undefined : sinceOf(options.since, Date.now());
      const why = options.heal === true ? await whyOf(work, options.why, 'the record of the audit') : options.why;
      const request = {
        ...(options.table === undefined ? {} : { tables: [...options.table] }),
        ...(zones === undefined ? {} : { zones }),
        ...(since === undefined ? {} : { since }),
        ...(why === undefined ? {} : { why }),
        heal: options.heal === true,
        requestedBy: whoOf(options.by, terminal.env),
      };
      const begun = await ops().beginAudit(request, { signal });
      if (options.detach === true) {
        output.words([`Begun: ${begun.auditId}`, `  look at it:  borough audit show ${begun.auditId}`]);
        output.document(begun);
        return;
      }
      const end = await followed(work, begun);
      output.words(auditLines(end, output.paint));
      output.document(end);
      run.exitCode = exitOf(end);
    });
}

function auditList(run: Run): Command {
  return verb('list', {
    summary: 'Audits of late, those that zones make by themselves as well; the newest first',
    page: 'audit',
    examples: ['borough audit list', 'borough audit list --limit 50 --json'],
    json: 'print them as the ops API does',
  })
    .option('--limit <n>', 'how many', wholeNumber(1, 50), 20)
    .action(async (_: unknown, command: Command) => {
      const { limit, ...options } = command.optsWithGlobals<CommonOptions & { readonly limit: number }>();
      const { output, ops, signal } = workOf(run.terminal, options);
      const list = await ops().listAudits({ limit }, { signal });
      output.document(list);
      if (!output.isJson) output.words(auditListLines(list.audits, output.paint));
    });
}

function auditShow(run: Run): Command {
  return verb('show <audit>', {
    summary: 'How far an audit is, and what it found',
    page: 'audit',
    examples: ['borough audit show 019ab02d-9ab7-7000-8c5d-15e1d1f2a04c'],
    json: 'print it, every differing row with it',
  }).action(async (text: string, _: unknown, command: Command) => {
    const { output, ops, signal } = workOf(run.terminal, command.optsWithGlobals<CommonOptions>());
    const view = await ops().getAudit(auditIdOf(text), { signal });
    output.document(view);
    if (output.isJson) return;
    if (view.state !== 'ended') output.words(auditProgressLines(view, output.paint));
    output.words(auditLines(view, output.paint));
  });
}

/** Ctrl-C ends the audit, with what it has found. */
async function followed(work: Work, begun: AuditView): Promise<AuditView> {
  const { output, signal } = work;
  const { auditId } = begun;
  const block = output.isLive ? new LiveBlock(output.screen) : undefined;
  if (block === undefined) output.words([`audit ${auditId} runs`]);
  let view = begun;
  let away = 0;
  let endedAtMs = Infinity;
  const isAnswered = (): boolean => begun.zones.every(({ zone }) => !view.unanswered.includes(zone));
  const isLate = (): boolean => !isAnswered() && performance.now() < endedAtMs + LATE_MAX_MS;
  try {
    while (view.state !== 'ended' || isLate()) {
      block?.show([output.paint.bold(`audit ${auditId}`), ...auditProgressLines(view, output.paint)]);
      await sleep(POLL_MS, undefined, { signal });
      const seen = await looked(work, auditId, away);
      away = seen === undefined ? away + 1 : 0;
      view = seen ?? view;
      endedAtMs = view.state === 'ended' ? Math.min(endedAtMs, performance.now()) : Infinity;
    }
  } catch (error) {
    block?.clear();
    if (!signal.aborted) throw error;
    const title = await cancelled(work, auditId);
    throw new CliFault({
      code: 'interrupted',
      title,
      next: [`what it found:  borough audit show ${auditId}`],
      exitCode: EXIT.interrupted,
      facts: { auditId },
    });
  }
  block?.clear();
  if (view.isCancelled) output.words(['It was cancelled.']);
  return view;
}

/** While nobody answers for a moment the zones go on. @returns undefined then */
async function looked({ ops, signal }: Work, auditId: string, away: number): Promise<AuditView | undefined> {
  try {
    return await ops().getAudit(auditId, { signal });
  } catch (error) {
    if (signal.aborted || !(error instanceof NoCoordinator) || away + 1 >= AWAY_MAX) throw error;
    return undefined;
  }
}

async function cancelled({ ops }: Work, auditId: string): Promise<string> {
  try {
    await ops().cancelAudit(auditId, { signal: AbortSignal.timeout(CANCEL_WITHIN_MS) });
    return 'Interrupted: the audit is cancelled; what it healed stays';
  } catch {
    return 'Interrupted, and the audit could not be cancelled: it goes on by itself';
  }
}

function exitOf({ isEqual }: AuditView): ExitCode {
  return isEqual ? EXIT.done : EXIT.notAll;
}
