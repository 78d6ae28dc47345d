/**
 * All that the model knows at one moment: three zones with their Postgres, two coordinators, one shard, a few writes.
 *
 * A state is never changed once it was emitted: `draftOf` copies the top, `zoneIn` copies one zone of the copy. Zones
 * are the numbers 0 to 2, sets of zones are bit masks, log positions count entries; names appear only where the
 * functions of libs/topology want them, and in stories.
 */
import { type InSyncRecord, type StoredState, type Term, type ZoneId } from '@borough/topology';

export const ZONES: readonly number[] = [0, 1, 2];
const NAMES: readonly ZoneId[] = ['a', 'b', 'c'];
export const ALL = 0b111;
export const SHARD = 1;

export const bit = (zone: number): number => 1 << zone;
export const nameOf = (zone: number): ZoneId => NAMES[zone] ?? '?';
export const zoneNamed = (name: ZoneId): number => name.charCodeAt(0) - 97;
const NAMES_OF_MASK = Array.from({ length: 8 }, (_, mask) => NAMES.filter((_name, zone) => (mask & bit(zone)) !== 0));
export const namesOf = (mask: number): readonly ZoneId[] => NAMES_OF_MASK[mask] ?? [];
export const zonesOf = (mask: number): number[] => ZONES.filter((zone) => (mask & bit(zone)) !== 0);
export const maskOf = (names: readonly ZoneId[]): number =>
  names.reduce((mask, name) => mask | bit(zoneNamed(name)), 0);
export const countOf = (mask: number): number => (mask & 1) + ((mask >> 1) & 1) + ((mask >> 2) & 1);
export const moveName = (id: number): string => `m${id}`;

/** A term as one number: twice the counter, plus the coordinator (0 or 1). 0 is the term everything began under. */
export type TermCode = number;
const TERMS: Term[] = [];
export function termOf(code: TermCode): Term {
  return (TERMS[code] ??= { number: code >> 1, coordinator: coordinatorName(code & 1) });
}
export const coordinatorName = (at: number): string => (at === 0 ? 'x' : 'y');

/** A row of one write, as one number: whose write made it (the epoch), then its stamp (epoch, version). 0: no row. */
export type Row = number;
export const rowOf = (effect: number, epoch: number, version: number): Row => (effect << 6) | (epoch << 3) | version;
export const effectOf = (row: Row): number => row >> 6;
export const epochOf = (row: Row): number => (row >> 3) & 7;
export const versionOf = (row: Row): number => row & 7;
export const stampOf = (row: Row): number => row & 63;

/** An entry of a zone's log: which write, its row, and whether the row is new or changed. */
export type Entry = { readonly write: number; readonly row: Row; readonly isUpdate: boolean };

/** A voter's copy of the shard, with the cut: of the fence while fenced, of the epoch before from `accepted` on. */
export type Copy = {
  epoch: number;
  state: StoredState;
  owner: number;
  heir: number;
  move: number;
  term: TermCode;
  /** Whose log the cut is of; -1 when there is none. */
  cutZone: number;
  cutAt: number;
};

/** A change of a zone's in-sync set by its agent. */
export type AgentWork = {
  kind: 'none' | 'drop' | 'add';
  /** drop: record, setting. add: setting, marker, record. */
  phase: 'setting' | 'marker' | 'record';
  member: number;
  begunFrom: number;
  /** Log position the newcomer must have flushed. */
  marker: number;
};
export const NO_WORK: AgentWork = { kind: 'none', phase: 'setting', member: 0, begunFrom: 0, marker: 0 };

export type Zone = {
  isUp: boolean;
  /** Reaches no other zone and no coordinator. */
  isCutOff: boolean;
  promised: TermCode;
  copy: Copy;
  /** The setting as written; as each peer's walsender has it loaded; and whether commits wait at all. */
  setting: number;
  loaded: readonly number[];
  doCommitsWait: boolean;
  log: readonly Entry[];
  /** By write. */
  rows: readonly Row[];
  /** By source zone: how much of its log has been taken in and confirmed. */
  applied: readonly number[];
  /** Zones that are sealed off here; of these, whose apply worker still lives. */
  sealed: number;
  lingering: number;
  /** By write: what a backend is doing, and where its entry stands in the log. */
  backends: readonly ('none' | 'begun' | 'waiting')[];
  waitingAt: readonly number[];
  agent: AgentWork;
  /** A change of the record that an agent sent before it died; it may still arrive. */
  lateChange: AgentWork;
};

export type Stage =
  | 'standby'
  | 'leading'
  | 'freezing'
  | 'judging'
  | 'intending'
  | 'stopping'
  | 'applying'
  | 'sealing'
  | 'preparing'
  | 'accepting'
  | 'telling'
  | 'ending';

export type Coordinator = {
  term: TermCode;
  stage: Stage;
  isBack: boolean;
  /** Who is to be installed, at which epoch, with which cut (at -1: the old owner is sealed off). */
  owner: number;
  epoch: number;
  cutZone: number;
  cutAt: number;
  /** Voters that have answered the calls of this stage. */
  done: number;
  /** Zones that must have applied the cut. */
  needed: number;
};

export type MoveKind = 'none' | 'handover' | 'failover';
type Move = { id: number; kind: MoveKind; from: number; to: number; epoch: number; isRunning: boolean };

/** A control call that was sent and has not arrived. */
type LateCall = { voter: number; call: ControlCall };
export type ControlCall =
  | { kind: 'intend'; term: TermCode; epoch: number; owner: number; heir: number; move: number }
  | { kind: 'fence'; term: TermCode; epoch: number; owner: number; heir: number; move: number }
  /** `epoch` is the one that the seal ends. */
  | { kind: 'seal'; term: TermCode; epoch: number; owner: number }
  | { kind: 'unseal'; term: TermCode; epoch: number; owner: number }
  | { kind: 'accept'; term: TermCode; epoch: number; owner: number; cutZone: number; cutAt: number }
  | { kind: 'serve'; term: TermCode; epoch: number; owner: number }
  | { kind: 'tell'; term: TermCode; epoch: number; owner: number; cutZone: number; cutAt: number };

/** How many more of each a run may have. */
export type Budget = {
  crashes: number;
  cutOffs: number;
  deaths: number;
  lateCalls: number;
  leads: number;
  agentChanges: number;
  lateChanges: number;
  replays: number;
  missed: number;
};
export const NO_BUDGET: Budget = {
  crashes: 0,
  cutOffs: 0,
  deaths: 0,
  lateCalls: 0,
  leads: 0,
  agentChanges: 0,
  lateChanges: 0,
  replays: 0,
  missed: 0,
};

export type World = {
  zones: readonly Zone[];
  records: readonly InSyncRecord[];
  coordinators: readonly Coordinator[];
  move: Move;
  /** How many moves of the scenario's plan have begun. */
  planned: number;
  /** The zone that has to rejoin, and the failover that says so; -1 when there is none. */
  rejoining: number;
  rejoinMove: number;
  late: LateCall | undefined;
  /** By write: the epoch whose effect was acknowledged; 0 when it was not. */
  acknowledged: readonly number[];
  budget: Budget;
  /** What went wrong in the very step that led here. */
  breach: string | undefined;
};

export type Draft = { -readonly [Key in keyof World]: World[Key] };

export function draftOf(world: World): Draft {
  return { ...world, zones: [...world.zones] };
}

/** The zone of a draft, to be changed. */
export function zoneIn(draft: Draft, zone: number): Zone {
  const copy = { ...zoneOf(draft, zone) };
  (draft.zones as Zone[])[zone] = copy;
  return copy;
}

export function zoneOf(world: Pick<World, 'zones'>, zone: number): Zone {
  const found = world.zones[zone];
  if (found === undefined) throw new RangeError(`no zone ${zone}`);
  return found;
}

export function recordOf(world: Pick<World, 'records'>, zone: number): InSyncRecord {
  const found = world.records[zone];
  if (found === undefined) throw new RangeError(`no zone ${zone}`);
  return found;
}

export function coordinatorOf(world: Pick<World, 'coordinators'>, at: number): Coordinator {
  const found = world.coordinators[at];
  if (found === undefined) throw new RangeError(`no coordinator ${at}`);
  return found;
}

export function spend(draft: Draft, kind: keyof Budget): void {
  draft.budget = { ...draft.budget, [kind]: draft.budget[kind] - 1 };
}

export function withAt<Item>(items: readonly Item[], at: number, item: Item): Item[] {
  const copy = [...items];
  copy[at] = item;
  return copy;
}

export const at = (items: readonly number[], index: number): number => items[index] ?? 0;

/** Two zones that reach each other. */
export function areLinked(world: World, one: number, other: number): boolean {
  const a = zoneOf(world, one);
  const b = zoneOf(world, other);
  return a.isUp && b.isUp && !a.isCutOff && !b.isCutOff;
}

/** Voters that a coordinator reaches. */
export function reachable(world: World): number {
  return ZONES.reduce((mask, zone) => {
    const { isUp, isCutOff } = zoneOf(world, zone);
    return isUp && !isCutOff ? mask | bit(zone) : mask;
  }, 0);
}

/**
 * The zone whose own copy says that it owns the shard, at the highest epoch that was ever served; -1 while that one's
 * copy has gone on to an epoch that is only accepted.
 */
export function latestOwner(world: World): number {
  let owner = -1;
  let epoch = 0;
  for (const zone of ZONES) {
    const { copy } = zoneOf(world, zone);
    const served = copy.state === 'accepted' ? copy.epoch - 1 : copy.epoch;
    if (served < epoch) continue;
    if (served > epoch) owner = -1;
    epoch = served;
    if (copy.owner === zone && copy.state !== 'accepted') owner = zone;
  }
  return owner;
}
