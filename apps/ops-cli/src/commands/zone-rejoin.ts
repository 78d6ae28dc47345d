import { type Command } from 'commander';
import { zoneOf } from './arguments.js';
import { firstLook, followWayBack, noSuchZone, withWayBackOptions, type WayBackOptions } from './follow-way-back.js';
import { verb, workOf, type Run } from './verb.js';

/** `borough zone rejoin <zone>` */
export function zoneRejoin(run: Run): Command {
  const command = verb('rejoin <zone>', {
    summary: 'Follow a zone on its way back after a failover, until it is a full member; it walks by itself',
    page: 'zone-rejoin',
    examples: ['borough zone rejoin a', 'borough zone rejoin a --within 60 --json'],
    json: 'print the way as it stands at the end',
  });
  return withWayBackOptions(command).action(async (text: string, options: WayBackOptions) => {
    const work = workOf(run.terminal, options);
    const zone = zoneOf(text);
    const first = await firstLook(work, zone);
    if (first === undefined) throw noSuchZone(zone);
    run.exitCode = await followWayBack(work, zone, first, options);
  });
}
