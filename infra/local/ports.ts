import { createServer } from 'node:net';
import { StarterError } from './starter-error.js';

export const DEFAULT_PORT_BASE = 14_000;

/** From here up the system gives ports to outgoing connections, so a fixed port there is now and then taken. */
const EPHEMERAL_PORTS_FROM = 32_768;

/** How many routers a cluster can have, and how many coordinators: what their ports below the first zone's leave room for. */
export const MOST_ROUTERS = 4;
export const MOST_COORDINATORS = 4;

/**
 * A cluster uses only ports in `[portBase, portBase + 40]` when it has three zones; ten more for each further zone.
 *
 *     +0 router   +1 coordinator   +2 NATS   +3 to +5 more routers   +6 to +8 more coordinators   +10 i the zones
 */
export interface PortPlan {
  routers: readonly number[];
  coordinators: readonly number[];
  nats: number;
  zones: readonly ZonePorts[];
}

interface ZonePorts {
  id: string;
  api: number;
  postgres: number;
  redis: number;
}

/**
 * Which port each service gets.
 *
 * @throws StarterError when the base leaves no room below the system's own ports, or there are too many of something
 */
export function planPorts(portBase: number, zones: readonly string[], routers = 1, coordinators = 1): PortPlan {
  requireCount('routers', routers, MOST_ROUTERS);
  requireCount('coordinators', coordinators, MOST_COORDINATORS);
  const highest = portBase + 10 * (zones.length + 1);
  if (!Number.isInteger(portBase) || portBase < 1024 || highest >= EPHEMERAL_PORTS_FROM) {
    const largest = EPHEMERAL_PORTS_FROM - 10 * (zones.length + 1) - 1;
    throw new StarterError(`BOROUGH_PORT_BASE must be from 1024 to ${largest}, not ${portBase}.`);
  }
  return {
    routers: Array.from({ length: routers }, (_, at) => (at === 0 ? portBase : portBase + 2 + at)),
    coordinators: Array.from({ length: coordinators }, (_, at) => (at === 0 ? portBase + 1 : portBase + 5 + at)),
    nats: portBase + 2,
    zones: zones.map((id, index) => {
      const api = portBase + 10 * (index + 1);
      return { id, api, postgres: api + 1, redis: api + 2 };
    }),
  };
}

function requireCount(what: string, count: number, most: number): void {
  if (Number.isInteger(count) && count >= 1 && count <= most) return;
  throw new StarterError(`The number of ${what} must be from 1 to ${most}, not ${count}.`);
}

/** `BOROUGH_PORT_BASE`, or the default when it is unset or empty. @throws StarterError when it is no whole number */
export function portBaseFromEnvironment(environment: NodeJS.ProcessEnv = process.env): number {
  const text = environment['BOROUGH_PORT_BASE']?.trim() ?? '';
  if (text === '') return DEFAULT_PORT_BASE;
  if (!/^\d+$/.test(text)) throw new StarterError(`BOROUGH_PORT_BASE must be a whole number, not "${text}".`);
  return Number(text);
}

/** @throws StarterError naming the first port that somebody else listens on, its service, and a base that would do */
export async function refuseTakenPorts(wanted: readonly { service: string; port: number }[], portBase: number) {
  for (const { service, port } of wanted) {
    if (await isFree(port)) continue;
    const otherBase = await freeBaseAfter(portBase);
    throw new StarterError(
      `Port ${port}, meant for ${service}, is in use by another program.\n` +
        `Stop that program, or choose other ports:  BOROUGH_PORT_BASE=${otherBase} npm start`,
    );
  }
}

/** The first base, 100 or a multiple of that above `portBase`, at which a cluster of three zones finds all its ports free just now. */
export async function freeBaseAfter(portBase: number): Promise<number> {
  for (let base = portBase + 100; base + 40 < EPHEMERAL_PORTS_FROM; base += 100) {
    const { routers, coordinators, nats, zones } = planPorts(base, ['a', 'b', 'c'], MOST_ROUTERS, MOST_COORDINATORS);
    const ports = [
      ...routers,
      ...coordinators,
      nats,
      ...zones.flatMap(({ api, postgres, redis }) => [api, postgres, redis]),
    ];
    const free = await Promise.all(ports.map(isFree));
    if (free.every(Boolean)) return base;
  }
  return DEFAULT_PORT_BASE;
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once('error', () => {
      resolve(false);
    });
    probe.listen({ port, host: '127.0.0.1', exclusive: true }, () => {
      probe.close(() => {
        resolve(true);
      });
    });
  });
}
