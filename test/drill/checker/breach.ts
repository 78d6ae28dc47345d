/** What can be wrong with a history. */
export const BREACH_KINDS = [
  /** A request was answered with anything but what it asked for. */
  'failed-request',
  /** An acknowledged order or change is not in a zone, or not with the acknowledged content. */
  'lost-write',
  /** One key, or one order, had more than one effect; or one key two different answers; or there is what nobody asked for. */
  'duplicated-write',
  /** An order was changed while its shard was locked. */
  'locked-change',
  /** Writes of two epochs of one shard overlap, or one epoch was written by two zones. */
  'overlapping-epochs',
  /** Two zones hold different rows. */
  'zones-differ',
  /** A read showed less than was acknowledged before it was sent, or something else. */
  'stale-read',
  /** There is too little in it that could have been wrong. */
  'empty-history',
] as const;
export type BreachKind = (typeof BREACH_KINDS)[number];

export interface Breach {
  readonly kind: BreachKind;
  /** For people: what, where, which ids. */
  readonly detail: string;
}

/** How many breaches of each kind there are. */
export function countBreaches(breaches: readonly Breach[]): Record<BreachKind, number> {
  const counts = Object.fromEntries(BREACH_KINDS.map((kind) => [kind, 0])) as Record<BreachKind, number>;
  for (const { kind } of breaches) counts[kind] += 1;
  return counts;
}
