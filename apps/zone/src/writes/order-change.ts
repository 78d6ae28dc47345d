import { type Problem } from '@borough/server-kit';

/** One step of an order, as `change_orders` takes it: decided in the database, on the locked row. */
export interface OrderChange {
  /** UUID of the order. */
  readonly orderId: string;
  /** Status before → status after; in any other status the order refuses. */
  readonly steps: Readonly<Record<string, string>>;
  /** What is written into `order_events` besides before, after and version. */
  readonly event: {
    /** UUID of the event, of the order's shard. */
    readonly id: string;
    readonly kind: string;
    readonly actor: string;
    readonly reason: string | null;
    readonly occurredAt: Date;
  };
  /** What a caller is told when the step is not taken, from the status the order has; undefined when it is not there. */
  readonly refusal: (held: string | undefined) => Problem;
  /** The same when the order is held after a failover, from the hold as JSON text. */
  readonly heldBy: (hold: string) => Problem;
}
