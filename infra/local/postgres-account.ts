import { existsSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { plainEnvironment, runCommand, type Command } from './run-command.js';
import { StarterError } from './starter-error.js';

/**
 * As whom Postgres runs. It refuses to run as root, so root has two ways:
 *
 * - `mapped`: in a user namespace in which root is seen as an ordinary user. Files stay root's, so it works below a folder only
 *   root may enter (/root), and nothing has to be given away. Needs Linux with user namespaces.
 * - `other`: as the user `nobody`, who is given the data directory. The folders above it must let him pass.
 */
export type PostgresAccount = { kind: 'self' } | { kind: 'mapped' } | { kind: 'other'; uid: number; gid: number };

/** nobody and nogroup on Debian; any ids that own nothing would do. */
const NOBODY = { kind: 'other', uid: 65_534, gid: 65_534 } as const;

const MAPPING = ['--user', '--map-user=1000', '--map-group=1000'];

/**
 * @param data the data directory; once it exists, whoever owns it runs Postgres
 * @param postgres the server binary, to try the account with
 * @throws StarterError when nobody suitable can run it
 */
export async function choosePostgresAccount(data: string, postgres: string): Promise<PostgresAccount> {
  const self = process.getuid?.() ?? 0;
  const owner = existsSync(data) ? statSync(data) : undefined;
  if (self !== 0) {
    if (owner === undefined || owner.uid === self) return { kind: 'self' };
    throw new StarterError(
      `${data} belongs to another user (uid ${owner.uid}), who started the cluster before.\n` +
        'Run as that user, or let that user clear it with:  npm run reset',
    );
  }
  if (owner !== undefined && owner.uid !== 0) return { kind: 'other', uid: owner.uid, gid: owner.gid };
  const mapped = await runCommand({ file: 'unshare', args: [...MAPPING, 'true'] });
  if (mapped.ok) return { kind: 'mapped' };
  await refuseUnreachable(dirname(dirname(data)), postgres, mapped.output);
  return NOBODY;
}

/** A command of Postgres's as the account runs it. The pid stays that of the program: `unshare` replaces itself by it. */
export function commandAs(account: PostgresAccount, file: string, args: readonly string[]): Command {
  const environment = plainEnvironment({ LC_ALL: 'C', TZ: 'UTC' });
  switch (account.kind) {
    case 'self':
      return { file, args, environment };
    case 'mapped':
      return { file: 'unshare', args: [...MAPPING, file, ...args], environment };
    case 'other':
      return { file, args, environment, cwd: '/', account: { uid: account.uid, gid: account.gid } };
  }
}

async function refuseUnreachable(directory: string, postgres: string, whyNotMapped: string): Promise<void> {
  const account = { uid: NOBODY.uid, gid: NOBODY.gid };
  const program = await runCommand({ file: postgres, args: ['--version'], cwd: '/', account });
  const folder = await runCommand({ file: 'test', args: ['-x', directory], cwd: '/', account });
  if (program.ok && folder.ok) return;
  throw new StarterError(
    'Postgres does not run as root. It could run in a user namespace, but this system allows none ' +
      `(unshare: ${whyNotMapped.trim()}), or as the user nobody, who may not enter ${program.ok ? directory : dirname(postgres)}.\n` +
      'Move the checkout to a folder that every user may enter (not below /root), or run npm start as an ordinary user.',
  );
}
