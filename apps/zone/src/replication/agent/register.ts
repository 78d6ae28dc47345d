import { setTimeout as sleep } from 'node:timers/promises';
import { type PostgresSession } from '@borough/server-kit';
import { InSyncRegister, type ZoneId } from '@borough/topology';

/** Longest wait for one voter, in ms: a majority does not wait for a frozen one at all. */
export const REGISTER_DEADLINE_MS = 400;
/** Pause before another try, in ms, times the tries so far; up to as much again by chance. */
const PAUSE_MS = 5;

interface CopyRow {
  readonly is_granted: boolean;
  readonly promised: number;
  readonly ballot: number;
  readonly members: readonly string[];
  readonly version: number;
  readonly frozen_by: readonly string[];
}

/** The in-sync record by way of the control functions of every zone's database (0005-in-sync.sql). */
export function inSyncRegister(voters: readonly { zoneId: ZoneId; session: PostgresSession }[]): InSyncRegister {
  return new InSyncRegister(
    voters.map(({ zoneId, session }) => ({
      zoneId,
      promise: async (zone, ballot) => {
        const sql = `SELECT p.is_granted, p.promised::float8, p.ballot::float8, p.members, p.version::float8, p.frozen_by
                       FROM control.promise_in_sync($1, $2) p`;
        const [row] = await session.query<CopyRow>(sql, [zone, ballot], REGISTER_DEADLINE_MS);
        if (row === undefined) throw new Error(`voter ${zoneId} answered nothing`);
        const { is_granted: isGranted, promised, members, version, frozen_by: frozenBy } = row;
        return {
          isGranted,
          promised,
          copy: { voter: zoneId, ballot: row.ballot, record: { zone, members, version, frozenBy } },
        };
      },
      accept: async (zone, ballot, { members, version, frozenBy }) => {
        const sql = 'SELECT control.accept_in_sync($1, $2, $3, $4, $5) AS is_taken';
        const parameters = [zone, ballot, members, version, frozenBy];
        const [row] = await session.query<{ is_taken: boolean }>(sql, parameters, REGISTER_DEADLINE_MS);
        return row?.is_taken === true;
      },
    })),
    (tries) => sleep(PAUSE_MS * tries * (1 + Math.random())),
  );
}
