import { setTimeout as sleep } from 'node:timers/promises';
import { auditView, type AuditView } from '@borough/contracts';
import { type ClusterAddresses } from '../../../infra/local/cluster-addresses.js';
import { askLeader, readFromAny } from '../../support/coordinators.js';

const ASK_EVERY_MS = 50;
const ENDED_WITHIN_MS = 600_000;

/**
 * Lets the cluster audit itself, by its ops API.
 *
 * @param request what of it, and whether to heal
 * @returns how it ended, and how long that took from asking to the answer of the last zone, in ms
 * @throws Error when it was refused, or has not ended within ten minutes
 */
export async function audited(
  { coordinatorUrls }: ClusterAddresses,
  request: { readonly heal?: boolean },
): Promise<{ view: AuditView; tookMs: number }> {
  const beganAtMs = performance.now();
  const asked = await askLeader(coordinatorUrls, '/ops/v1/audits', { ...request, requestedBy: 'drill' });
  if (asked.status >= 300) throw new Error(`the audit was refused: ${JSON.stringify(asked.body)}`);
  const { auditId } = auditView.parse(asked.body);
  while (performance.now() - beganAtMs < ENDED_WITHIN_MS) {
    const view = await readFromAny<AuditView>(coordinatorUrls, `/ops/v1/audits/${auditId}`);
    if (view?.state === 'ended') return { view, tookMs: performance.now() - beganAtMs };
    await sleep(ASK_EVERY_MS);
  }
  throw new Error(`audit ${auditId} has not ended within ${ENDED_WITHIN_MS} ms`);
}
