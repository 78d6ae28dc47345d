import { type ProblemCode } from '@borough/contracts';
import { Problem } from '@borough/server-kit';
import pg from 'pg';
import { QueryFailedError } from 'typeorm';

/** SQLSTATEs raised by the control schema (0001-control.sql) and what they mean to a caller. */
const REFUSALS: Readonly<Record<string, ProblemCode>> = {
  BR404: 'area-not-served',
  BR421: 'wrong-zone',
  BR409: 'stale-epoch',
  BR503: 'shard-moving',
  BR003: 'zone-starting',
};

/** Seconds after which a refused write may be worth another try. */
const RETRY_AFTER_SECONDS = 1;

/**
 * The Problem for a write the database refused because of ownership, or undefined for any other error.
 * The facts (`shard`, `owner`, `epoch`) are the database's own.
 */
export function ownershipRefusal(error: unknown): Problem | undefined {
  const cause: unknown = error instanceof QueryFailedError ? error.driverError : error;
  if (!(cause instanceof pg.DatabaseError) || cause.code === undefined) return undefined;
  const code = REFUSALS[cause.code];
  if (code === undefined) return undefined;
  return new Problem(code, {
    detail: cause.message,
    members: cause.detail === undefined ? {} : (JSON.parse(cause.detail) as Record<string, unknown>),
    ...(code === 'shard-moving' || code === 'zone-starting' ? { retryAfterSeconds: RETRY_AFTER_SECONDS } : {}),
    cause: error,
  });
}
