import { type Command } from 'commander';
import { CliFault } from '../terminal/cli-fault.js';
import { EXIT } from '../terminal/exit-codes.js';
import { zoneOf } from './arguments.js';
import { firstLook, followWayBack, withWayBackOptions, type WayBackOptions } from './follow-way-back.js';
import { verb, workOf, type Run } from './verb.js';

/** `borough zone add <zone>` */
export function zoneAdd(run: Run): Command {
  const command = verb('add <zone>', {
    summary: 'What to set so that a new zone comes in; once the coordinators know it, follow it',
    page: 'zone-add',
    examples: ['borough zone add d', 'borough zone add d --within 3600'],
    json: 'print the way as it stands at the end',
  });
  return withWayBackOptions(command).action(async (text: string, options: WayBackOptions) => {
    const work = workOf(run.terminal, options);
    const zone = zoneOf(text);
    const first = await firstLook(work, zone);
    if (first === undefined) throw notKnown(zone);
    run.exitCode = await followWayBack(work, zone, first, options);
  });
}

function notKnown(zone: string): CliFault {
  return new CliFault({
    code: 'zone-not-found',
    title: `The coordinator does not know zone ${zone} yet: nothing was changed`,
    details: [
      'To bring it in, in this order, one process at a time:',
      `1. the new zone: a migrated PostgreSQL, and its API with ZONE_ID=${zone} and PEER_DATABASE_URLS of every other zone`,
      `2. every other zone: add ${zone}=<URL> to its PEER_DATABASE_URLS, restart it, wait until it is ready again`,
      `3. every coordinator: add ${zone}=<URL> to its VOTER_DATABASE_URLS and ZONE_URLS, restart it`,
      `4. every router: add ${zone}=<URL> to its ZONE_URLS, restart it`,
    ],
    next: [`then follow it:  borough zone add ${zone}`, 'the runbook says which URLs: infra/runbooks/zone-add.md'],
    exitCode: EXIT.refused,
  });
}
