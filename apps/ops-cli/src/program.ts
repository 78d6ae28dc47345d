/** The command line `borough`: which verbs there are, and how each run ends. */
import { Command, CommanderError } from 'commander';
import { audit } from './commands/audit.js';
import { auditLog } from './commands/audit-log.js';
import { explain } from './commands/explain.js';
import { moveAbort } from './commands/move-abort.js';
import { moveApply } from './commands/move-apply.js';
import { moveList } from './commands/move-list.js';
import { movePlan } from './commands/move-plan.js';
import { moveWatch } from './commands/move-watch.js';
import { ordersHeld } from './commands/orders-held.js';
import { ordersRelease } from './commands/orders-release.js';
import { receiptsList } from './commands/receipts-list.js';
import { receiptsShow } from './commands/receipts-show.js';
import { shards } from './commands/shards.js';
import { status } from './commands/status.js';
import { type Run } from './commands/verb.js';
import { zoneAdd } from './commands/zone-add.js';
import { zoneDrain } from './commands/zone-drain.js';
import { zoneFailover } from './commands/zone-failover.js';
import { zoneRejoin } from './commands/zone-rejoin.js';
import { zoneSeed } from './commands/zone-seed.js';
import { zoneUndrain } from './commands/zone-undrain.js';
import { faultOf } from './render/fault-of.js';
import { CliFault } from './terminal/cli-fault.js';
import { EXIT, EXIT_LINES, type ExitCode } from './terminal/exit-codes.js';
import { Output } from './terminal/output.js';
import { type Terminal } from './terminal/terminal.js';

/**
 * Runs one command line to its end. Never throws.
 *
 * @param args without the program's own name
 * @returns the exit status
 */
export async function runCommandLine(args: readonly string[], terminal: Terminal): Promise<ExitCode> {
  const run: Run = { terminal, exitCode: EXIT.done };
  try {
    await program(run).parseAsync(placesLast(args), { from: 'user' });
    return run.exitCode;
  } catch (error) {
    // Help was asked for, and is written.
    if (error instanceof CommanderError && error.exitCode === 0) return EXIT.done;
    const fault = error instanceof CommanderError ? usageFault(error) : ended(error, terminal);
    const isStream = args[0] === 'move' && args[1] === 'watch';
    new Output(terminal, args.includes('--json')).fault(fault, isStream);
    return fault.exitCode;
  }
}

/**
 * South and west begin with a minus, which a command line reads as an option. So places go to the end, behind `--`.
 * Only `explain` takes one.
 */
export function placesLast(args: readonly string[]): string[] {
  const isPlace = (arg: string) => /^-\d+(\.\d+)?\s*,/.test(arg);
  if (args[0] !== 'explain' || args.includes('--') || !args.some(isPlace)) return [...args];
  return [...args.filter((arg) => !isPlace(arg)), '--', ...args.filter(isPlace)];
}

function program(run: Run): Command {
  const move = group('move', 'Move shards from zone to zone', [
    movePlan(run),
    moveApply(run),
    moveWatch(run),
    moveAbort(run),
    moveList(run),
  ]);
  const zone = group('zone', 'Move everything off a zone, or back; and zones that come back', [
    zoneDrain(run),
    zoneUndrain(run),
    zoneFailover(run),
    zoneRejoin(run),
    zoneSeed(run),
    zoneAdd(run),
  ]);
  const orders = group('orders', 'Orders that take no change after a failover', [ordersHeld(run), ordersRelease(run)]);
  const receipts = group('receipts', 'Rows that a zone had written and nobody was told of', [
    receiptsList(run),
    receiptsShow(run),
  ]);
  const borough = group('borough', 'Looks at a Borough cluster, and moves its traffic between zones.', [
    status(run),
    shards(run),
    explain(run),
    move,
    zone,
    orders,
    receipts,
    audit(run),
    auditLog(run),
  ]);
  borough.addHelpText('after', helpFoot());
  wire(borough, run.terminal);
  return borough;
}

function group(name: string, description: string, verbs: readonly Command[]): Command {
  const command = new Command(name).description(description).helpOption('-h, --help', 'this help');
  for (const verb of verbs) command.addCommand(verb);
  return command;
}

/** Commander ends the process and writes on its own unless told otherwise, for each command anew. */
function wire(command: Command, terminal: Terminal): void {
  command.exitOverride().configureOutput({
    writeOut: (text) => void terminal.stdout.write(text),
    // Its errors come as exceptions as well; what it writes besides is the help of a group called without a verb.
    writeErr: (text) => void terminal.stderr.write(text),
    outputError: () => undefined,
  });
  for (const child of command.commands) wire(child, terminal);
}

function usageFault(error: CommanderError): CliFault {
  const title = error.message.replace(/^error: /, '').replaceAll('\n', ' ');
  return new CliFault({
    code: 'usage',
    title: error.code === 'commander.help' ? 'A verb is missing' : title.charAt(0).toUpperCase() + title.slice(1),
    next: ['borough --help  lists the verbs; borough <verb> --help explains one'],
    exitCode: EXIT.usage,
  });
}

/** A call that Ctrl-C ended, where the verb had nothing more to say about it. */
function ended(error: unknown, { interruption }: Terminal): CliFault {
  if (error instanceof CliFault || !interruption.signal.aborted) return faultOf(error);
  return new CliFault({ code: 'interrupted', title: 'Interrupted', exitCode: EXIT.interrupted });
}

function helpFoot(): string {
  return [
    '',
    'Every verb has --help with examples, and --json: one document on standard output, words on standard error.',
    '',
    'Coordinators: --coordinator, else BOROUGH_COORDINATOR_URLS, else the cluster that npm start runs in this checkout.',
    '',
    'Exit status:',
    ...EXIT_LINES.map((line) => `  ${line}`),
    '',
    'Runbooks: infra/runbooks/README.md',
  ].join('\n');
}
