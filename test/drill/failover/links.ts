/** Every link of the drill's cluster that a fault may befall, with a fault proxy on each. */
import { type AddressFor } from '../../../infra/local/apps.js';
import { type PortPlan } from '../../../infra/local/ports.js';
import { FaultProxies } from '../../support/fault-proxies.js';
import { type LinkFault } from '../../support/fault-proxy.js';

/** One way in which services reach each other, by their names. */
export interface Link {
  /** Who connects: `zone-a` (its API and its Postgres), `coordinator-2`, `router`. */
  readonly from: string;
  /** Who is connected to: `postgres-b`, `zone-b`. */
  readonly to: string;
}

export type Links = (link: Link) => boolean;

/** Between a zone and another one, whichever of them connects. */
export function betweenZones(zone: string, peer: string): Links {
  return ({ from, to }) =>
    (from === `zone-${zone}` && to === `postgres-${peer}`) || (from === `zone-${peer}` && to === `postgres-${zone}`);
}

/** On which the changes of one zone reach another: the one that takes them in connects. */
export function changesOf(publisher: string, subscriber: string): Links {
  return ({ from, to }) => from === `zone-${subscriber}` && to === `postgres-${publisher}`;
}

/** From every coordinator to the database and the API of a zone. */
export function fromCoordinators(zone: string): Links {
  return ({ from, to }) => from.startsWith('coordinator') && (to === `postgres-${zone}` || to === `zone-${zone}`);
}

/** All links between zones that begin or end in this one. */
export function ofZone(zone: string): Links {
  return ({ from, to }) => from === `zone-${zone}` || (from.startsWith('zone-') && to === `postgres-${zone}`);
}

export function anyOf(...links: readonly Links[]): Links {
  return (link) => links.some((isOneOf) => isOneOf(link));
}

/** All of them, for mending. */
export const everyLink: Links = () => true;

/** The links between zones, from coordinators to zones and from routers to zones, each with its proxy. */
export class FaultyLinks {
  private constructor(
    private readonly proxies: FaultProxies,
    private readonly ports: ReadonlyMap<Link, number>,
  ) {}

  /**
   * @param plan the ports of the cluster that will be started
   * @param firstPort the proxies use as many ports as there are links from here on, at most 42
   */
  static async open(plan: PortPlan, firstPort: number): Promise<FaultyLinks> {
    const proxies = new FaultProxies();
    const ports = new Map<Link, number>();
    for (const [at, { port: target, ...link }] of linksOf(plan).entries()) {
      const port = firstPort + at;
      await proxies.open({ host: '127.0.0.1', port: target }, port);
      ports.set(link, port);
    }
    return new FaultyLinks(proxies, ports);
  }

  /** What the starter is to tell each service. */
  readonly addressFor: AddressFor = (from, to, url) => {
    const found = [...this.ports].find(([link]) => link.from === from && link.to === to);
    if (found === undefined) return url;
    const proxied = new URL(url);
    proxied.port = String(found[1]);
    // A URL without a path gets one here, and the services are given theirs without.
    return proxied.pathname === '/' ? proxied.href.replace(/\/$/, '') : proxied.href;
  };

  /** @returns once the fault has befallen them */
  async set(links: Links, fault: LinkFault): Promise<void> {
    await this.proxies.set(
      [...this.ports].flatMap(([link, port]) => (links(link) ? [port] : [])),
      fault,
    );
  }

  close(): Promise<void> {
    return this.proxies.close();
  }
}

/** Every link, with the port of the service it leads to. */
export function linksOf({ zones, coordinators, routers }: PortPlan): (Link & { port: number })[] {
  const called = (name: string, count: number): string[] =>
    Array.from({ length: count }, (_, at) => (at === 0 ? name : `${name}-${at + 1}`));
  const links: (Link & { port: number })[] = [];
  for (const { id, api, postgres } of zones) {
    for (const peer of zones) {
      if (peer.id !== id) links.push({ from: `zone-${peer.id}`, to: `postgres-${id}`, port: postgres });
    }
    for (const from of called('coordinator', coordinators.length)) {
      links.push({ from, to: `postgres-${id}`, port: postgres }, { from, to: `zone-${id}`, port: api });
    }
    for (const from of called('router', routers.length)) links.push({ from, to: `zone-${id}`, port: api });
  }
  return links;
}
