/** What a drill breaks in which round: worked out before it starts, from the seed alone. */

/** What befalls a zone, each in a round of its own. */
export const FAILOVER_FAULTS = [
  /** SIGKILL of its API, its Postgres and its Redis. */
  'zone-killed',
  /** The same, and its data directory deleted. */
  'zone-killed-and-wiped',
  'database-killed',
  'api-killed',
  /** SIGSTOP of all its processes, SIGCONT after the failover, with clients connected to its API all the time. */
  'zone-frozen',
  'database-frozen',
  /** No other zone and no coordinator reaches it or is reached; clients still reach its API. */
  'cut-off',
  /** It and one other zone do not reach each other: no reason to move anything. */
  'replication-cut',
  /** No coordinator reaches it, and nothing else is wrong: no reason to move anything. */
  'coordinator-cut',
  /** What it says to other zones and coordinators is lost, or what they say to it. */
  'one-way',
  /** What it sends to one other zone is held back for 1.5 s; then it is killed, and that is lost. */
  'heir-stalled',
  /** It is killed, and so is the coordinator that carries the failover out, at one of the steps. */
  'coordinator-killed',
] as const;
export type FailoverFault = (typeof FAILOVER_FAULTS)[number];

/** What a fault does to the zone, for reading the figures: how soon a loss can be seen depends on it. */
export const FAULT_CLASSES = {
  'zone-killed': 'killed',
  'zone-killed-and-wiped': 'killed',
  'database-killed': 'killed',
  'api-killed': 'killed',
  'heir-stalled': 'killed',
  'zone-frozen': 'silent',
  'database-frozen': 'silent',
  'cut-off': 'silent',
  'one-way': 'silent',
  'coordinator-killed': 'coordinator-too',
  'replication-cut': 'harmless',
  'coordinator-cut': 'harmless',
} as const satisfies Record<FailoverFault, string>;
export type FaultClass = (typeof FAULT_CLASSES)[FailoverFault];

export interface PlannedRound {
  /** From 1. */
  readonly round: number;
  readonly fault: FailoverFault;
  readonly zone: string;
  /** Another zone, for the faults of one link. */
  readonly peer: string;
  /** Of `coordinator-killed`: the step after which it dies. */
  readonly crashPoint?: string;
  /** Of `one-way`: whether what the zone says is lost, or what is said to it. */
  readonly lost?: 'said' | 'heard';
}

export interface PlanOptions {
  readonly rounds: number;
  /** These in turn, each as often as the others; all when empty. */
  readonly faults: readonly FailoverFault[];
  readonly zones: readonly string[];
  /** The steps of a failover, in order: one after the other. */
  readonly crashPoints: readonly string[];
  readonly random: () => number;
}

/**
 * One fault a round. Each comes once before any comes again, in an order of chance, so few rounds show as many faults as
 * they can; zones and what else there is to choose are chance too. The same for one seed.
 */
export function planRounds({ rounds, faults, zones, crashPoints, random }: PlanOptions): PlannedRound[] {
  const wanted = faults.length === 0 ? FAILOVER_FAULTS : [...new Set(faults)];
  const planned: PlannedRound[] = [];
  let turn: FailoverFault[] = [];
  let crashes = 0;
  for (let round = 1; round <= rounds; round += 1) {
    if (turn.length === 0) turn = shuffled(wanted, random);
    const fault = turn.pop() ?? 'zone-killed';
    const [zone = '', peer = ''] = shuffled(zones, random);
    const base = { round, fault, zone, peer };
    if (fault === 'coordinator-killed') {
      const crashPoint = crashPoints[crashes % crashPoints.length];
      crashes += 1;
      planned.push(crashPoint === undefined ? base : { ...base, crashPoint });
    } else if (fault === 'one-way') planned.push({ ...base, lost: random() < 0.5 ? 'said' : 'heard' });
    else planned.push(base);
  }
  return planned;
}

/** Whether the zone is to lose its shards by it. */
export function expectsFailover(fault: FailoverFault): boolean {
  return FAULT_CLASSES[fault] !== 'harmless';
}

/** Whether clients stay connected to the API of the zone itself, and go on writing and reading there. */
export function hasDirectClients(fault: FailoverFault): boolean {
  return fault === 'zone-frozen' || fault === 'database-frozen' || fault === 'cut-off' || fault === 'one-way';
}

/** In words, with what chance chose. */
export function describeRound({ fault, peer, crashPoint, lost }: PlannedRound): string {
  if (fault === 'heir-stalled') return `${fault} (towards ${peer})`;
  if (fault === 'replication-cut') return `${fault} (from ${peer})`;
  if (crashPoint !== undefined) return `${fault} (after ${crashPoint})`;
  if (lost !== undefined) return `${fault} (what it ${lost === 'said' ? 'says' : 'hears'} is lost)`;
  return fault;
}

function shuffled<Item>(items: readonly Item[], random: () => number): Item[] {
  const left = [...items];
  const order: Item[] = [];
  while (left.length > 0) order.push(...left.splice(Math.floor(random() * left.length), 1));
  return order;
}
