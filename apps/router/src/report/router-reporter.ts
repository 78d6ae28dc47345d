import {
  HELD_REQUESTS_HEADER,
  ROUTER_ID_HEADER,
  ROUTER_REPORT_SUBJECT,
  type RouterReport,
  TABLE_VERSION_HEADER,
} from '@borough/contracts';
import { type Notices } from '@borough/server-kit';
import { randomBytes } from 'node:crypto';
import { type LiveTable } from '../table/live-table.js';

const REPORT_EVERY_MS = 1_000;

/**
 * A name no other start of a router has: what is given, cut to what a header takes, and chance.
 *
 * @param name for people, like a host name
 */
export function newRouterId(name: string): string {
  const plain = name.replace(/[^\w.-]/g, '-').slice(0, 40) || 'router';
  return `${plain}-${randomBytes(4).toString('hex')}`;
}

/** The same facts as headers of a poll, which is a report without NATS. */
export function reportHeaders({ routerId, tableVersion, heldRequests }: RouterReport): Record<string, string> {
  return {
    [ROUTER_ID_HEADER]: routerId,
    [TABLE_VERSION_HEADER]: String(tableVersion),
    [HELD_REQUESTS_HEADER]: String(heldRequests),
  };
}

/**
 * Tells every coordinator by which table this router goes: at once when that changed, and every second. A move ends when
 * every live router has said so, which is why a change does not wait for the second to pass.
 */
export class RouterReporter {
  private timer: NodeJS.Timeout | undefined;
  private ignoreTable = (): void => undefined;

  constructor(
    private readonly table: LiveTable,
    private readonly notices: Notices,
    private readonly report: () => RouterReport,
  ) {}

  start(): void {
    this.timer = setInterval(() => {
      this.publish();
    }, REPORT_EVERY_MS);
    this.ignoreTable = this.table.onChange((changed) => {
      if (changed.length === 0) return;
      // Without NATS a poll is the report.
      if (this.notices.isConnected) this.publish();
      else void this.table.refresh();
    });
  }

  stop(): void {
    clearInterval(this.timer);
    this.ignoreTable();
  }

  private publish(): void {
    this.notices.publish(ROUTER_REPORT_SUBJECT, this.report());
  }
}
