import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { z } from 'zod';
import { type Layout } from './layout.js';
import { readJson, writePrivateJson } from './private-file.js';
import { StarterError } from './starter-error.js';

const secretsSchema = z.object({
  postgresSuperuser: z.string(),
  owner: z.string(),
  api: z.string(),
  control: z.string(),
  replication: z.string(),
  audit: z.string(),
  nats: z.string(),
  redis: z.string(),
});

/** The passwords of one cluster, all different, generated on its first start. The same in each of its zones. */
export type Secrets = z.infer<typeof secretsSchema>;

/**
 * @param hasData whether any zone's Postgres already holds data, which only knows the passwords it was made with
 * @throws StarterError when there is data and the passwords to it are gone
 */
export function readOrMakeSecrets(layout: Layout, hasData: boolean): Secrets {
  const found = secretsSchema.safeParse(readJson(layout.secretsFile));
  if (found.success) return found.data;
  if (hasData || existsSync(layout.secretsFile)) {
    throw new StarterError(
      `${layout.secretsFile} is missing or damaged, and the databases beside it open with no other passwords.\n` +
        `Bring the file back, or start anew without the data:  npm run reset`,
    );
  }
  const secrets: Secrets = {
    postgresSuperuser: newPassword(),
    owner: newPassword(),
    api: newPassword(),
    control: newPassword(),
    replication: newPassword(),
    audit: newPassword(),
    nats: newPassword(),
    redis: newPassword(),
  };
  writePrivateJson(layout.secretsFile, secrets);
  return secrets;
}

/** Letters and digits only, so it needs no escaping in a URL; a letter first, so NATS does not read it as a number. */
function newPassword(): string {
  return `p${randomBytes(24).toString('hex')}`;
}
