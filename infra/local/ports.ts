import { createServer } from 'node:net';
import { StarterError } from './starter-error.js';

export const DEFAULT_PORT_BASE = 14_000;

/** From here up the system gives ports to outgoing connections, so a fixed port there is now and then taken. */
const EPHEMERAL_PORTS_FROM = 32_768;

/** A cluster uses only ports in `[portBase, portBase + 40]` when it has three zones; ten more for each further zone. */
export interface PortPlan {
  router: number;
  coordinator: number;
  nats: number;
  zones: readonly ZonePorts[];
}

interface ZonePorts {
  id: string;
  api: number;
  postgres: number;
  redis: number;
}

/** Which port each service gets. @throws StarterError when the base leaves no room below the system's own ports */
export function planPorts(portBase: number, zones: readonly string[]): PortPlan {
  const highest = portBase + 10 * (zones.length + 1);
  if (!Number.isInteger(portBase) || portBase < 1024 || highest >= EPHEMERAL_PORTS_FROM) {
    const largest = EPHEMERAL_PORTS_FROM - 10 * (zones.length + 1) - 1;
    throw new StarterError(`BOROUGH_PORT_BASE must be from 1024 to ${largest}, not ${portBase}.`);
  }
  return {
    router: portBase,
    coordinator: portBase + 1,
    nats: portBase + 2,
    zones: zones.map((id, index) => {
      const api = portBase + 10 * (index + 1);
      return { id, api, postgres: api + 1, redis: api + 2 };
    }),
  };
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

/** A base above this one whose ports nobody uses right now. */
/** The first base, 100 or a multiple of that above `portBase`, at which a cluster of three zones finds all its ports free just now. */
export async function freeBaseAfter(portBase: number): Promise<number> {
  for (let base = portBase + 100; base + 40 < EPHEMERAL_PORTS_FROM; base += 100) {
    const { router, coordinator, nats, zones } = planPorts(base, ['a', 'b', 'c']);
    const ports = [router, coordinator, nats, ...zones.flatMap(({ api, postgres, redis }) => [api, postgres, redis])];
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
