import { z } from 'zod';
import { routingEntry } from '../http/routing.js';

/**
 * Notice from a coordinator to every router: these shards changed, or the area map did.
 *
 * It may come late, twice or out of order, and may be lost. The receiver merges the entries (a later epoch or state
 * wins, shard by shard) and then compares versions: `tableVersion` above its own after the merge, or `areaMapVersion`
 * above its own, means that something is missing, so it fetches the snapshot. It never guesses.
 *
 * Version history
 * - 1: first.
 */
export const ROUTING_CHANGED_SUBJECT = 'borough.routing.changed.v1';

export const routingChanged = z.object({
  tableVersion: z.int().min(0),
  areaMapVersion: z.int().min(0),
  entries: z.array(routingEntry),
});
export type RoutingChanged = z.infer<typeof routingChanged>;
