import { z } from 'zod';

/**
 * Notice from a router to every coordinator: this is the table I route by.
 *
 * Sent at once when the table version changed, and every second anyway. A move that waits for routers counts those it
 * heard of within the last 3 s. Lost or late reports make a move wait until its bound, and nothing else.
 *
 * Version history
 * - 1: first.
 */
export const ROUTER_REPORT_SUBJECT = 'borough.router.report.v1';

export const routerReport = z.object({
  /** Unlike every other router's; new with each start. */
  routerId: z.string().min(1).max(64),
  tableVersion: z.int().min(0),
  /** Requests held just now. */
  heldRequests: z.int().min(0),
});
export type RouterReport = z.infer<typeof routerReport>;
