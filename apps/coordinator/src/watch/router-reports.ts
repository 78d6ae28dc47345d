import { ROUTER_REPORT_SUBJECT, type RouterReport, routerReport } from '@borough/contracts';
import { type Notices } from '@borough/server-kit';

/** A router that said nothing for so long is not waited for, in ms: it reports every second. */
const LIVE_MS = 3_000;
/** A router that said nothing for so long is forgotten, in ms. */
const KEPT_MS = 60_000;
/** Bound on names, which come from the network. */
const MAX_ROUTERS = 1_000;

/** What a router last said, and when. */
export interface ReportedRouter extends RouterReport {
  readonly reportedMsAgo: number;
}

/**
 * What each router last said about its routing table: by NATS, or with its polls of this coordinator.
 *
 * Only for ending a move at the right moment and for showing it: a router that routes by an old table is refused by the
 * database (P2).
 */
export class RouterReports {
  private readonly reports = new Map<string, RouterReport & { atMs: number }>();
  private readonly waiting = new Set<() => void>();

  constructor(private readonly nowMs: () => number = () => performance.now()) {}

  listen(notices: Notices): void {
    notices.listen(ROUTER_REPORT_SUBJECT, routerReport, (report) => {
      this.note(report);
    });
  }

  note(report: RouterReport): void {
    if (!this.reports.has(report.routerId) && this.reports.size >= MAX_ROUTERS) return;
    this.reports.set(report.routerId, { ...report, atMs: this.nowMs() });
    for (const look of this.waiting) look();
  }

  /** By name. */
  all(): ReportedRouter[] {
    const nowMs = this.nowMs();
    for (const [routerId, { atMs }] of this.reports) if (nowMs - atMs > KEPT_MS) this.reports.delete(routerId);
    return [...this.reports.values()]
      .map(({ atMs, ...report }) => ({ ...report, reportedMsAgo: Math.round(nowMs - atMs) }))
      .sort((a, b) => (a.routerId < b.routerId ? -1 : 1));
  }

  /**
   * Waits until every live router has reported this table version or a later one.
   *
   * @returns the routers that did not within the time; empty when all did, or none is known
   */
  async late(tableVersion: number, withinMs: number): Promise<string[]> {
    const lateNow = (): string[] =>
      this.all()
        .filter((router) => router.reportedMsAgo <= LIVE_MS && router.tableVersion < tableVersion)
        .map(({ routerId }) => routerId);
    if (lateNow().length === 0) return [];
    return new Promise((resolve) => {
      const end = (late: string[]): void => {
        clearTimeout(timer);
        this.waiting.delete(look);
        resolve(late);
      };
      const look = (): void => {
        if (lateNow().length === 0) end([]);
      };
      const timer = setTimeout(() => {
        end(lateNow());
      }, withinMs);
      this.waiting.add(look);
    });
  }
}
