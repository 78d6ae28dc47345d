import { Problem } from '@borough/server-kit';

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** A cursor is the id of the last row shown. It stays true under inserts and moves, since ids never change. */
export function cursorAfter(uuid: string): string {
  return Buffer.from(uuid).toString('base64url');
}

/** @throws Problem `malformed-cursor` for anything `cursorAfter` did not make */
export function readCursor(cursor: string): string {
  const uuid = Buffer.from(cursor, 'base64url').toString();
  if (!UUID.test(uuid)) throw new Problem('malformed-cursor', { detail: 'Send `next` of the page before, unchanged.' });
  return uuid;
}
