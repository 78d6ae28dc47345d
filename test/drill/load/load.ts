import { type OrderView } from '@borough/contracts';
import { newUuid, toId } from '@borough/topology';
import { createHash, randomBytes } from 'node:crypto';
import { type OrderAnswer, type RequestRecord } from '../checker/history.js';
import { nowMs } from '../clock.js';
import { type DrillArea } from '../set-up.js';
import { type LoadClient, type OrderChange, type Outcome } from './clients.js';

/** Shares of the requests; the rest are orders placed. */
const READ_SHARE = 0.25;
const CHANGE_SHARE = 0.2;
/** Unsafe requests sent a second time with the same key: half of them at once, half a little later. */
const TWICE_SHARE = 0.02;
const TWICE_AFTER_MS = 100;
/** How often requests that are due are sent, in ms. */
const TICK_MS = 4;
/** Orders kept for reads and changes; older ones are left alone. */
const KEPT_ORDERS = 2_000;

/** What the history of an order calls what is asked for. */
const EFFECTS = {
  place: 'order-placed',
  accept: 'order-accepted',
  cancel: 'order-cancelled',
} as const satisfies Record<OrderChange | 'place', string>;

type About = Pick<RequestRecord, 'kind' | 'shard' | 'key' | 'content' | 'effect' | 'orderId'>;

interface KnownOrder {
  readonly orderId: string;
  readonly shard: number;
  /** What may be asked for next; undefined while a change is under way, and at the end. */
  next: OrderChange | undefined;
}

/**
 * An open-loop load: requests are sent when they are due, however long earlier ones take, so a pause shows as the waiting
 * it costs. Every request and its end is recorded; none of them asks for anything that could rightly be refused.
 */
export class Load {
  readonly records: RequestRecord[] = [];
  private readonly orders: KnownOrder[] = [];
  private readonly underWay = new Set<Promise<void>>();
  private timer: NodeJS.Timeout | undefined;
  private startedAt = 0;
  private firstDueAt = 0;
  /** When what is sent now was due: the machine may be late. */
  private dueAt = 0;
  private sent = 0;

  constructor(
    private readonly areas: readonly DrillArea[],
    private readonly clients: readonly LoadClient[],
    private readonly ratePerSecond: number,
    private readonly random: () => number,
    private readonly runId: string,
  ) {}

  get failed(): number {
    return this.records.reduce((count, { isOk }) => count + (isOk ? 0 : 1), 0);
  }

  get inFlight(): number {
    return this.underWay.size;
  }

  start(): void {
    this.startedAt = performance.now();
    this.firstDueAt = nowMs();
    this.sent = 0;
    this.timer = setInterval(() => {
      const due = Math.floor(((performance.now() - this.startedAt) * this.ratePerSecond) / 1_000);
      for (; this.sent < due; this.sent += 1) {
        this.dueAt = this.firstDueAt + (this.sent * 1_000) / this.ratePerSecond;
        this.sendOne();
      }
    }, TICK_MS);
  }

  /** Sends nothing more. */
  pause(): void {
    clearInterval(this.timer);
  }

  /** Sends nothing more; resolves when everything sent has been answered. */
  async stop(): Promise<void> {
    this.pause();
    while (this.underWay.size > 0) await Promise.all(this.underWay);
  }

  private sendOne(): void {
    const client = this.clients[this.sent % this.clients.length];
    if (client === undefined) return;
    const dice = this.random();
    const known = dice < READ_SHARE + CHANGE_SHARE ? this.anyOrder(dice >= READ_SHARE) : undefined;
    if (known === undefined) this.place(client);
    else if (dice < READ_SHARE) this.read(client, known);
    else this.change(client, known);
  }

  private anyOrder(mustBeChangeable: boolean): KnownOrder | undefined {
    for (let tried = 0; tried < 5; tried += 1) {
      const order = this.orders[Math.floor(this.random() * this.orders.length)];
      if (order !== undefined && (!mustBeChangeable || order.next !== undefined)) return order;
    }
    return undefined;
  }

  private place(client: LoadClient): void {
    const area = this.areas[Math.floor(this.random() * this.areas.length)];
    if (area === undefined) return;
    const key = this.newKey();
    const content = `bread ${key}`;
    const request = {
      storeId: area.storeId,
      customerId: toId(
        'customer',
        newUuid(0, Date.now(), () => randomBytes(16)),
      ),
      items: [{ name: content, quantity: 1 }],
      dropOff: { latitude: area.latitude, longitude: area.longitude },
    };
    const about = { kind: 'place', shard: area.shard, key, content, effect: EFFECTS.place } as const;
    this.perhapsTwice(
      client,
      about,
      (by) => by.place(request, key),
      ({ order }) => {
        if (order !== undefined) this.keep({ orderId: order.id, shard: area.shard, next: 'accept' });
      },
    );
  }

  private change(client: LoadClient, order: KnownOrder): void {
    const { orderId, shard, next } = order;
    if (next === undefined) return;
    order.next = undefined;
    const key = this.newKey();
    const about = { kind: 'change', shard, key, orderId, effect: EFFECTS[next] } as const;
    this.perhapsTwice(
      client,
      about,
      (by) => by.change(orderId, next, key),
      ({ isOk }) => {
        if (isOk && next === 'accept') order.next = 'cancel';
      },
    );
  }

  private read(client: LoadClient, { orderId, shard }: KnownOrder): void {
    this.send(client, { kind: 'read', shard, orderId }, (by) => by.read(orderId));
  }

  private newKey(): string {
    return `${this.runId}-${this.records.length}-${this.sent}`;
  }

  private keep(order: KnownOrder): void {
    if (this.orders.some(({ orderId }) => orderId === order.orderId)) return;
    if (this.orders.length < KEPT_ORDERS) this.orders.push(order);
    else this.orders[Math.floor(this.random() * KEPT_ORDERS)] = order;
  }

  private perhapsTwice(
    client: LoadClient,
    about: About,
    ask: (by: LoadClient) => Promise<Outcome>,
    answered: (outcome: Outcome) => void,
  ): void {
    this.send(client, about, ask, answered);
    const dice = this.random();
    if (dice < TWICE_SHARE / 2) this.send(client, about, ask);
    else if (dice < TWICE_SHARE)
      this.later(() => {
        this.send(client, about, ask);
      });
  }

  private later(work: () => void): void {
    const waited = new Promise<void>((resolve) => {
      setTimeout(() => {
        this.dueAt = nowMs();
        work();
        resolve();
      }, TWICE_AFTER_MS);
    });
    this.track(waited);
  }

  private send(
    client: LoadClient,
    about: About,
    ask: (by: LoadClient) => Promise<Outcome>,
    answered?: (outcome: Outcome) => void,
  ): void {
    const scheduledAt = this.dueAt;
    const sentAt = nowMs();
    this.track(
      ask(client).then((outcome) => {
        const { order, ...rest } = outcome;
        this.records.push({
          client: client.kind,
          ...about,
          scheduledAt,
          sentAt,
          answeredAt: nowMs(),
          ...rest,
          ...(order === undefined ? {} : { answer: answerOf(order) }),
        });
        answered?.(outcome);
      }),
    );
  }

  private track(work: Promise<void>): void {
    this.underWay.add(work);
    void work.finally(() => this.underWay.delete(work));
  }
}

function answerOf(order: OrderView): OrderAnswer {
  return {
    orderId: order.id,
    version: order.version,
    status: order.status,
    content: order.items[0]?.name ?? '',
    digest: createHash('sha1').update(JSON.stringify(order)).digest('base64url'),
  };
}
