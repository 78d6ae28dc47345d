import { Problem } from '@borough/server-kit';
import { type ZoneId } from '@borough/topology';
import { type CanonicalRequest } from './canonical-request.js';
import { type ForwardedAnswer, type Forwarder } from './forwarder.js';
import { type ZoneHealth } from './zone-health.js';
import { refusalIn, type ZoneRefusal } from './zone-refusal.js';

/** What came of one try at one zone. */
export type Outcome =
  | { readonly kind: 'answered'; readonly answer: ForwardedAnswer }
  | { readonly kind: 'refused'; readonly refusal: ZoneRefusal }
  /** `answer` when it was the zone itself that said so. */
  | { readonly kind: 'failed'; readonly problem: Problem; readonly answer?: ForwardedAnswer };

const SERVER_FAULT = 500;

/** @param signal gives the try up, whatever its reason: that says nothing about the zone */
export async function tryZone(
  { forwarder, health }: { readonly forwarder: Forwarder; readonly health: ZoneHealth },
  zoneId: ZoneId,
  request: CanonicalRequest,
  body: Buffer | undefined,
  signal?: AbortSignal,
): Promise<Outcome> {
  const seen = health.begin(zoneId);
  try {
    const answer = await forwarder.send(zoneId, request, body, signal);
    const refusal = refusalIn(answer);
    if (refusal?.code === 'zone-unavailable') seen.end('unavailable');
    else seen.end(answer.status < SERVER_FAULT ? 'answered' : 'failed');
    if (refusal === undefined) return { kind: 'answered', answer };
    if (refusal.code !== 'zone-unavailable' && refusal.code !== 'outcome-unknown') return { kind: 'refused', refusal };
    const problem = new Problem(refusal.code, { detail: `Zone ${zoneId} said so.`, retryAfterSeconds: 1 });
    return { kind: 'failed', problem, answer };
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    if (signal?.aborted !== true) seen.end(error.code === 'zone-unavailable' ? 'unavailable' : 'failed');
    return { kind: 'failed', problem: error };
  } finally {
    seen.end(undefined);
  }
}
