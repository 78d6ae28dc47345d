/** Shows the way of a zone to being a full member until it is one, and never stops it: Ctrl-C only ends the watching. */
import { setTimeout as sleep } from 'node:timers/promises';
import { NoCoordinator } from '@borough/ops-client';
import { type Command } from 'commander';
import { duration } from '../render/words.js';
import { type WayBack, wayBackChanges, wayBackLines, wayBackOf } from '../render/way-back.js';
import { CliFault } from '../terminal/cli-fault.js';
import { EXIT, type ExitCode } from '../terminal/exit-codes.js';
import { LiveBlock } from '../terminal/live-block.js';
import { type Output } from '../terminal/output.js';
import { secondsOf, type CommonOptions, type Work } from './verb.js';

const POLL_MS = 500;
const WITHIN_SECONDS = 600;

export interface WayBackOptions extends CommonOptions {
  readonly within: number;
}

export function withWayBackOptions(command: Command): Command {
  return command.option('--within <seconds>', 'how long to follow it', secondsOf, WITHIN_SECONDS);
}

/**
 * @param zone one that the coordinator knows, as `firstLook` found
 * @returns `EXIT.done` when it is a full member, `EXIT.notAll` when it is not within the time
 * @throws CliFault `interrupted` on Ctrl-C
 */
export async function followWayBack(
  work: Work,
  zone: string,
  first: WayBack,
  { within }: WayBackOptions,
): Promise<ExitCode> {
  const { output, signal } = work;
  const endMs = performance.now() + within * 1000;
  const show = output.isLive ? redrawn(output) : lineByLine(output);
  let last = first;
  let hasHealed = false;
  let receipts = 0;
  try {
    show.view(last);
    while (!last.isFullMember && performance.now() < endMs) {
      await sleep(POLL_MS, undefined, { signal });
      const rows = last.steps.find(({ step }) => step === 'rows');
      hasHealed ||= rows?.progress !== undefined;
      receipts = Math.max(receipts, rows?.progress?.receipts ?? 0);
      const next = await look(work, zone, hasHealed, (why) => {
        show.note(why);
      });
      if (next === undefined) continue;
      last = next;
      show.view(last);
    }
  } catch (error) {
    if (!signal.aborted) throw error;
    throw new CliFault({
      code: 'interrupted',
      title: `Stopped watching; zone ${zone} goes on by itself`,
      next: [`watch it again:  borough zone rejoin ${zone}`],
      exitCode: EXIT.interrupted,
      facts: { ...last },
    });
  }
  show.end();
  output.words(endLines(last, within, receipts, output));
  output.document(last);
  return last.isFullMember ? EXIT.done : EXIT.notAll;
}

/** @returns undefined when the coordinator knows no such zone */
export async function firstLook({ ops, signal }: Work, zone: string): Promise<WayBack | undefined> {
  return wayBackOf(await ops().getZones({ signal }), zone);
}

export function noSuchZone(zone: string): CliFault {
  return new CliFault({
    code: 'zone-not-found',
    title: `The coordinator knows no zone ${zone}`,
    next: ['borough status  lists the zones', `a new zone is brought in with  borough zone add ${zone}`],
    exitCode: EXIT.refused,
  });
}

/** While nobody answers for a moment the zone may well go on. @returns undefined then */
async function look(
  { ops, signal }: Work,
  zone: string,
  hasHealed: boolean,
  onAway: (why: string) => void,
): Promise<WayBack | undefined> {
  try {
    return wayBackOf(await ops().getZones({ signal }), zone, hasHealed);
  } catch (error) {
    if (signal.aborted || !(error instanceof NoCoordinator)) throw error;
    onAway('no coordinator answers; asking again');
    return undefined;
  }
}

function endLines(last: WayBack, within: number, receipts: number, { paint }: Output): string[] {
  const found = receipts === 0 ? [] : [`  what nobody was told of is kept:  borough receipts list --zone ${last.zone}`];
  if (last.isFullMember) return [paint.green(`✓ Zone ${last.zone} is a full member`), ...found];
  const doing = last.steps.find(({ state }) => state === 'doing');
  const waitsFor = last.waitsFor ?? doing?.detail;
  return [
    paint.red(`✗ Zone ${last.zone} is no full member within ${duration(within * 1000)}; it goes on by itself`),
    ...(waitsFor === undefined ? [] : [`  it waits for: ${waitsFor}`]),
    `  watch it again:  borough zone rejoin ${last.zone}`,
    ...found,
  ];
}

interface Show {
  view(way: WayBack): void;
  note(text: string): void;
  end(): void;
}

function redrawn(output: Output): Show {
  const block = new LiveBlock(output.screen);
  let lines: string[] = [];
  return {
    view: (way) => {
      lines = wayBackLines(way, output.paint);
      block.show(lines);
    },
    note: (text) => {
      block.show([...lines, output.paint.yellow(`  ${text}`)]);
    },
    end: () => {
      block.clear();
      output.words(lines);
    },
  };
}

function lineByLine(output: Output): Show {
  let before: WayBack | undefined;
  return {
    view: (way) => {
      output.words(wayBackChanges(before, way, output.paint));
      before = way;
    },
    note: (text) => {
      output.words([text]);
    },
    end: () => undefined,
  };
}
