import { freeBaseAfter, portBaseFromEnvironment } from '../../infra/local/ports.js';

/**
 * Free ports for a cluster of the tests, away from those of `npm start`.
 *
 * Spread by process id, so that runs that begin at the same moment seldom look at the same ports; kept within 10,000 to
 * 30,000, below what the system gives to outgoing connections.
 *
 * @param offset sets kinds of clusters of one run apart, in ports
 */
export function freeTestPortBase(offset: number): Promise<number> {
  const wanted = portBaseFromEnvironment() + offset + 100 * (process.pid % 50);
  return freeBaseAfter(10_000 + (wanted % 20_000));
}
