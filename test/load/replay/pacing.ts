/** When each order is due: pure arithmetic, in ms on any one clock. */

export type Pace =
  /** Closed loop: the next order goes as soon as an earlier one is answered. */
  | { readonly kind: 'max' }
  /** Open loop: every order goes at its hour, `speed` times as fast as the day was, however slow the answers are. */
  | { readonly kind: 'scaled'; readonly speed: number };

/**
 * The instant at which an order is meant to be sent. Latency counts from here, so what waits for a free connection
 * counts as slow; measured from the sending, an overloaded cluster would look fast ("coordinated omission").
 *
 * @param startedAtMs when placing began, on the clock of `nowMs`; the first order of the day is due then
 * @param firstPlacedAtMs and `placedAtMs`: ms since midnight of the day replayed
 */
export function dueAtMs(
  pace: Pace,
  startedAtMs: number,
  firstPlacedAtMs: number,
  placedAtMs: number,
  nowMs: number,
): number {
  return pace.kind === 'max' ? nowMs : startedAtMs + (placedAtMs - firstPlacedAtMs) / pace.speed;
}
