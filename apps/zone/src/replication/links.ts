/** Names of what connects two zones. A link goes one way: changes of `publisher` are applied at `subscriber`. */

/** The one publication of every zone. */
export const PUBLICATION = 'borough';

/** Subscription at `subscriber`; also its slot at `publisher`, and the name its walsender there shows. */
export function linkName(subscriber: string, publisher: string): string {
  return `borough_${subscriber.replaceAll('-', '_')}_from_${publisher.replaceAll('-', '_')}`;
}

/** What to ask PostgreSQL for so that a commit waits for all of these members. */
export function inSyncSetting(linkNames: readonly string[]): string {
  return linkNames.length === 0 ? '' : `FIRST ${linkNames.length} (${linkNames.join(', ')})`;
}

/** The members a setting names; empty for the empty setting. */
export function membersOfSetting(setting: string): string[] {
  const list = /^FIRST \d+ \((.*)\)$/.exec(setting.trim())?.[1];
  return list === undefined ? [] : list.split(',').map((name) => name.trim().replaceAll('"', ''));
}
