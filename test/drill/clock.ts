/** The wall clock in ms with fractions, going forward only: what all times of a history are taken from. */
export function nowMs(): number {
  return performance.timeOrigin + performance.now();
}
