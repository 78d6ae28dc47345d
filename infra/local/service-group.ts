import { type Layout } from './layout.js';
import { Service, type ServiceDefinition } from './service.js';
import { StarterError } from './starter-error.js';

/** In which order services are stopped; those of one rank at the same time. */
const STOP_ORDER = ['router', 'zone', 'coordinator', 'broker', 'postgres'] as const;
export type Rank = (typeof STOP_ORDER)[number];

export interface ProcessView {
  /** `postgres-a`, `redis-a`, `nats`, `zone-a`, `coordinator`, `router`. */
  name: string;
  /** Undefined while it is down. */
  pid: number | undefined;
  restarts: number;
}

/** All services of a cluster, by name, and the order in which they end. */
export class ServiceGroup {
  readonly #services = new Map<string, { rank: Rank; service: Service }>();
  #stopping = false;

  constructor(
    private readonly layout: Layout,
    private readonly notice: (text: string) => void,
  ) {}

  /** @returns when it is ready @throws StarterError when it does not get so, or the group is being stopped */
  async start(rank: Rank, definition: ServiceDefinition, signal: AbortSignal): Promise<void> {
    if (this.#stopping) throw new StarterError(`${definition.name} is not started: the cluster is being stopped.`);
    const service = new Service(definition, this.layout, this.notice);
    this.#services.set(definition.name, { rank, service });
    await service.start(signal);
  }

  /** @throws StarterError naming those there are, when there is none of that name */
  service(name: string): Service {
    const found = this.#services.get(name);
    if (found !== undefined) return found.service;
    throw new StarterError(`There is no service ${name}; there are ${[...this.#services.keys()].sort().join(', ')}.`);
  }

  /** Those of these names that there are. */
  servicesNamed(names: readonly string[]): Service[] {
    return names.flatMap((name) => this.#services.get(name)?.service ?? []);
  }

  processes(): readonly ProcessView[] {
    return [...this.#services.values()].map(({ service: { name, pid, restarts } }) => ({ name, pid, restarts }));
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    for (const rank of STOP_ORDER) {
      const ranked = [...this.#services.values()].filter((entry) => entry.rank === rank);
      await Promise.all(ranked.map((entry) => entry.service.stop()));
    }
  }

  killNow(): void {
    this.#stopping = true;
    for (const { service } of this.#services.values()) service.killNow();
  }
}
