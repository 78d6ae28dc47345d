/** Shows a move until it has ended, and never stops it: Ctrl-C only ends the watching. */
import { type MoveView } from '@borough/contracts';
import { changeLines, progressLines, reportLines } from '../render/move-lines.js';
import { CliFault } from '../terminal/cli-fault.js';
import { EXIT } from '../terminal/exit-codes.js';
import { LiveBlock } from '../terminal/live-block.js';
import { type Output } from '../terminal/output.js';
import { type Work } from './verb.js';

/**
 * @param onView told of each view
 * @returns the view at the end
 * @throws CliFault `interrupted` on Ctrl-C, and what `OpsClient.watchMove` throws
 */
export async function followMove(
  { ops, output, signal }: Work,
  moveId: string,
  onView: (view: MoveView) => void = () => undefined,
): Promise<MoveView> {
  const show = output.isLive ? redrawn(output) : lineByLine(output);
  let last: MoveView | undefined;
  try {
    const onLost = (coordinator: string, why: string) => {
      show.note(`lost ${coordinator}: ${why}; asking another coordinator`);
    };
    for await (const view of ops().watchMove(moveId, { signal, onLost })) {
      last = view;
      onView(view);
      show.view(view);
    }
  } catch (error) {
    if (!signal.aborted) throw error;
    throw new CliFault({
      code: 'interrupted',
      title: `Stopped watching; the move ${last?.state === 'ended' ? 'had ended' : 'goes on'}`,
      next: [`watch it again:  borough move watch ${moveId}`, `stop the move:   borough move abort ${moveId}`],
      exitCode: EXIT.interrupted,
      facts: { moveId },
    });
  }
  if (last === undefined) throw new Error(`the watch of ${moveId} ended without a view`);
  show.end();
  output.words(reportLines(last, output.paint));
  return last;
}

interface Show {
  view(view: MoveView): void;
  note(text: string): void;
  /** The move has ended; the report takes over. */
  end(): void;
}

function redrawn(output: Output): Show {
  const block = new LiveBlock(output.screen);
  let last: MoveView | undefined;
  return {
    view: (view) => {
      last = view;
      block.show(progressLines(view, output.paint, block.maxLines));
    },
    note: (text) => {
      if (last !== undefined) block.show(progressLines(last, output.paint, block.maxLines, text));
    },
    end: () => {
      block.clear();
    },
  };
}

function lineByLine(output: Output): Show {
  let last: MoveView | undefined;
  return {
    view: (view) => {
      output.words(changeLines(last, view, output.paint));
      last = view;
    },
    note: (text) => {
      output.words([text]);
    },
    end: () => undefined,
  };
}
