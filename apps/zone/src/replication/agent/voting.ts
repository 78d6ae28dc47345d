import { type Logger, type PostgresSession } from '@borough/server-kit';
import { type ZoneId } from '@borough/topology';

/** What a zone says of everything a voter must not forget (control.what_was_voted). */
interface Voted {
  readonly isVoting: boolean;
  readonly ownership: readonly unknown[];
}

export interface VotingPeer {
  readonly zoneId: ZoneId;
  readonly session: PostgresSession;
}

/** Longest wait for one zone, in ms. */
const DEADLINE_MS = 1_000;

/**
 * Makes a new database a voter: one that lost its disk has forgotten what it promised, and must not say otherwise.
 *
 * ```
 * every other zone answers, and votes                        ─► learn what they know, then vote
 * every other zone answers, and nobody ever owned anything   ─► the cluster is being born: vote
 * else                                                       ─► wait
 * ```
 *
 * @returns whether this database votes; with the reason when it waits
 */
export async function beginVoting(
  owner: PostgresSession,
  peers: readonly VotingPeer[],
  logger: Logger,
): Promise<{ isVoting: boolean; waitsFor: string }> {
  const [own] = await owner.query<{ is_voting: boolean }>('SELECT v.is_voting FROM control.voter v');
  if (own?.is_voting === true) return { isVoting: true, waitsFor: '' };
  const answers = await Promise.all(
    peers.map(async ({ zoneId, session }) => {
      try {
        const rows = await session.query<{ voted: Voted }>('SELECT control.what_was_voted() AS voted', [], DEADLINE_MS);
        return { zoneId, voted: rows[0]?.voted };
      } catch {
        return { zoneId, voted: undefined };
      }
    }),
  );
  const away = answers.filter(({ voted }) => voted === undefined).map(({ zoneId }) => zoneId);
  if (away.length > 0) return { isVoting: false, waitsFor: `zone ${away.join(', ')} does not answer yet` };
  const isBirth = answers.every(({ voted }) => voted?.ownership.length === 0);
  const notVoting = answers.filter(({ voted }) => voted?.isVoting !== true).map(({ zoneId }) => zoneId);
  if (!isBirth && notVoting.length > 0) {
    return { isVoting: false, waitsFor: `zone ${notVoting.join(', ')} has lost what was voted as well` };
  }
  await owner.query('SELECT control.begin_voting($1)', [JSON.stringify(answers.map(({ voted }) => voted))]);
  if (!isBirth) logger.info({ from: answers.map(({ zoneId }) => zoneId) }, 'this database has learnt what was voted');
  return { isVoting: true, waitsFor: '' };
}
