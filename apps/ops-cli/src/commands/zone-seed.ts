import { type Command } from 'commander';
import { zoneOf } from './arguments.js';
import { firstLook, followWayBack, noSuchZone, withWayBackOptions, type WayBackOptions } from './follow-way-back.js';
import { verb, workOf, type Run } from './verb.js';

/** `borough zone seed <zone>` */
export function zoneSeed(run: Run): Command {
  const command = verb('seed <zone>', {
    summary: 'Follow a zone with a new disk while it takes over all rows, until it is a full member',
    page: 'zone-seed',
    examples: ['borough zone seed a', 'borough zone seed a --within 3600'],
    json: 'print the way as it stands at the end',
  });
  return withWayBackOptions(command).action(async (text: string, options: WayBackOptions) => {
    const work = workOf(run.terminal, options);
    const zone = zoneOf(text);
    const first = await firstLook(work, zone);
    if (first === undefined) throw noSuchZone(zone);
    const isDone = (name: string) => first.steps.some(({ step, state }) => step === name && state === 'done');
    if (first.isFullMember) {
      work.output.words(['Its disk is not new: there is nothing to seed.', DIFFERING]);
    } else if (isDone('votes') && isDone('rows')) {
      work.output.words(['Its disk is not new: it takes over only the rows that differ.', DIFFERING]);
    }
    run.exitCode = await followWayBack(work, zone, first, options);
  });
}

const DIFFERING = '  rows that differ though the zone is a full member are found and healed by  borough audit --heal';
