/** Questions to the person at the terminal, asked on standard error so that standard output stays clean. */
import { createInterface } from 'node:readline/promises';
import { CliFault } from './cli-fault.js';
import { EXIT } from './exit-codes.js';
import { type Terminal } from './terminal.js';

/** Whether somebody is there who can see a question and answer it. */
export function canAsk(terminal: Terminal): boolean {
  return terminal.stdin.isTTY === true && terminal.stderr.isTTY === true;
}

/**
 * The line the person types, without spaces around it; empty at the end of the input (Ctrl-D).
 *
 * @throws CliFault `interrupted` on Ctrl-C
 */
export async function ask(terminal: Terminal, question: string): Promise<string> {
  const { signal, interrupt } = terminal.interruption;
  const keyboard = createInterface({ input: terminal.stdin, output: terminal.stderr });
  // While readline has the keyboard, Ctrl-C is a key and no signal.
  keyboard.once('SIGINT', interrupt);
  const ended = new Promise<string>((resolve) => {
    keyboard.once('close', () => {
      resolve('');
    });
  });
  try {
    return (await Promise.race([keyboard.question(question, { signal }), ended])).trim();
  } catch (error) {
    if (!signal.aborted) throw error;
    terminal.stderr.write('\n');
    throw new CliFault({ code: 'interrupted', title: 'Interrupted: nothing was changed', exitCode: EXIT.interrupted });
  } finally {
    keyboard.close();
  }
}

/**
 * Lets nothing pass but the word itself.
 *
 * @throws CliFault `not-confirmed` when anything else is typed
 */
export async function confirm(terminal: Terminal, word: string, consequence: string): Promise<void> {
  const typed = await ask(terminal, `${consequence}\nType ${word} to go on: `);
  if (typed === word) return;
  throw new CliFault({
    code: 'not-confirmed',
    title: 'Not confirmed: nothing was changed',
    details: [`Only ${word}, typed exactly, goes on.`],
    exitCode: EXIT.usage,
  });
}
