import { type Receipt, type ReceiptPage, type WholeReceipt } from '@borough/contracts';
import { Problem } from '@borough/server-kit';
import { type ZoneId } from '@borough/topology';
import { type ReceiptFilter } from '../voters/voter.js';
import { type Voters } from '../voters/voters.js';

export interface ReceiptQuery extends ReceiptFilter {
  readonly zone?: ZoneId | undefined;
  readonly limit: number;
  /** By zone, the id of the oldest receipt of it that was shown; zones without one are begun at their newest. */
  readonly before: ReadonlyMap<ZoneId, number>;
}

/** Receipts lie in the zone where they were found, and are asked for there: no zone has those of another. */
export class Receipts {
  constructor(private readonly voters: Voters) {}

  /** One page over all zones, or of one. @throws Problem `zone-not-found` */
  async list({ zone, limit, before, ...filter }: ReceiptQuery): Promise<ReceiptPage> {
    const { zoneIds } = this.voters;
    const wanted = zone === undefined ? zoneIds : zoneIds.filter((candidate) => candidate === zone);
    if (wanted.length === 0) throw new Problem('zone-not-found', { detail: `There is no zone ${zone ?? ''}.` });
    // One more than is shown: whether there is a next page.
    const answers = await this.voters.receipts(wanted, filter, before, limit + 1);
    const merged = newestFirst(answers);
    const receipts = merged.slice(0, limit);
    return {
      receipts,
      ...(merged.length > limit ? { next: cursorAfter(before, receipts) } : {}),
      unanswered: wanted.filter((candidate) => !answers.has(candidate)),
    };
  }

  /** @throws Problem `zone-not-found`, `receipt-not-found`, `zone-unavailable` */
  async find(zone: ZoneId, id: number): Promise<WholeReceipt> {
    const found = await this.voters.receiptOf(zone, id);
    if (found === null) throw new Problem('receipt-not-found', { detail: `Zone ${zone} keeps no receipt ${id}.` });
    return { zone, ...found };
  }
}

/**
 * The lists of all zones as one. Each zone's stays in the order of its ids, so that a cursor of one id per zone skips
 * nothing; between zones the instants decide, which their clocks gave.
 */
function newestFirst(answers: ReadonlyMap<ZoneId, readonly Omit<Receipt, 'zone'>[]>): Receipt[] {
  const left = [...answers].map(([zone, list]) => list.map((receipt) => ({ zone, ...receipt })));
  const merged: Receipt[] = [];
  for (;;) {
    const [next] = left
      .filter((list) => list.length > 0)
      .sort((one, other) => ((one[0]?.foundAt ?? '') < (other[0]?.foundAt ?? '') ? 1 : -1));
    const newest = next?.shift();
    if (newest === undefined) return merged;
    merged.push(newest);
  }
}

function cursorAfter(before: ReadonlyMap<ZoneId, number>, shown: readonly Receipt[]): string {
  const oldest = new Map(before);
  for (const { zone, id } of shown) oldest.set(zone, id);
  return [...oldest].map(([zone, id]) => `${zone}/${id}`).join(',');
}
