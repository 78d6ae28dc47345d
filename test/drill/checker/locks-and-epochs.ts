/**
 * No order is changed while its shard is locked, and the epochs of a shard follow one another:
 *
 *     epoch n, owner A  ──────────────┤ fenced            served ├──────────────  epoch n + 1, owner B
 *                        written by A │  nobody may write        │ written by B
 *
 * Two witnesses: clients, who know between which two moments each of their writes came about; and the rows, which carry
 * the epoch that wrote them and a time from just before they were written. The rows' time proves only that a write came
 * after it, so a row of epoch n from after the fence is a breach, and one of epoch n + 1 from before it is none: it may
 * have waited.
 */
import { type Breach } from './breach.js';
import { type Effect, type Evidence, versionKey } from './evidence.js';
import { grouped } from './grouped.js';
import { type LockInterval } from './history.js';

export function* locksAndEpochs(evidence: Evidence): Generator<Breach> {
  yield* changesWhileLocked(evidence);
  yield* rowsAfterTheirFence(evidence);
  yield* epochsThatOverlap(evidence);
  yield* epochsThatGoBack(evidence);
  yield* epochsOfTwoZones(evidence);
}

/** Asked for after the lock stood, and acknowledged before it was given up. */
function* changesWhileLocked({ history, effects }: Evidence): Generator<Breach> {
  const locks = locksByShard(history.locks);
  for (const { kind, key, shard, sentAt, answeredAt } of effects) {
    for (const { fencedAt, servedAt, moveId } of locks.get(shard) ?? []) {
      if (servedAt === undefined) continue;
      if (sentAt <= fencedAt + history.clockErrorMs || answeredAt >= servedAt - history.clockErrorMs) continue;
      yield {
        kind: 'locked-change',
        detail: `${kind} ${key} of shard ${shard} was acknowledged while move ${moveId} had it locked`,
      };
    }
  }
}

function* rowsAfterTheirFence({ history, events }: Evidence): Generator<Breach> {
  const locks = locksByShard(history.locks);
  for (const { orderId, orderVersion, shard, epoch, occurredAt } of events.values()) {
    const ends = (locks.get(shard) ?? []).filter((lock) => lock.epoch >= epoch);
    const broken = ends.find(({ fencedAt }) => occurredAt > fencedAt + history.clockErrorMs);
    if (broken === undefined) continue;
    const isLocked = broken.servedAt === undefined || occurredAt <= broken.servedAt;
    yield {
      kind: isLocked ? 'locked-change' : 'overlapping-epochs',
      detail: `shard ${shard}: ${versionKey(orderId, orderVersion)} has epoch ${epoch}, which move ${broken.moveId} had ended`,
    };
  }
}

function locksByShard(locks: readonly LockInterval[]): Map<number, LockInterval[]> {
  return grouped(locks, ({ shard }) => shard);
}

/** No write of an epoch was begun after a write of a later one had been acknowledged. */
function* epochsThatOverlap({ effects, events }: Evidence): Generator<Breach> {
  for (const [shard, ofShard] of grouped(effects, (effect) => effect.shard)) {
    const byEpoch = grouped(ofShard, ({ answer }) => events.get(versionKey(answer.orderId, answer.version))?.epoch);
    const epochs = [...byEpoch].flatMap(([epoch, writes]): [number, Effect[]][] =>
      epoch === undefined ? [] : [[epoch, writes]],
    );
    // From the last epoch backwards: the earliest answer of all later ones is what no earlier write may begin after.
    let earliest = { answeredAt: Infinity, epoch: 0 };
    for (const [epoch, writes] of epochs.sort(([x], [y]) => y - x)) {
      for (const { key, sentAt } of writes) {
        if (sentAt <= earliest.answeredAt) continue;
        yield overlap(
          `shard ${shard}: ${key} of epoch ${epoch} began after a write of epoch ${earliest.epoch} was acknowledged`,
        );
      }
      for (const { answeredAt } of writes) if (answeredAt < earliest.answeredAt) earliest = { answeredAt, epoch };
    }
  }
}

/** A later version of an order was not written by an earlier owner. */
function* epochsThatGoBack({ events }: Evidence): Generator<Breach> {
  for (const { orderId, orderVersion, shard, epoch } of events.values()) {
    const before = events.get(versionKey(orderId, orderVersion - 1))?.epoch ?? 0;
    if (before <= epoch) continue;
    yield overlap(
      `shard ${shard}: ${versionKey(orderId, orderVersion)} has epoch ${epoch}, the one before it ${before}`,
    );
  }
}

/** Whoever answered a write of an epoch was its one owner. */
function* epochsOfTwoZones({ writes, events }: Evidence): Generator<Breach> {
  const owners = new Map<string, string>();
  for (const { answer, zone, isReplay, shard } of writes) {
    if (zone === undefined || isReplay === true) continue;
    const epoch = events.get(versionKey(answer.orderId, answer.version))?.epoch;
    if (epoch === undefined) continue;
    const owner = owners.get(`${shard}@${epoch}`) ?? zone;
    owners.set(`${shard}@${epoch}`, owner);
    if (owner !== zone) yield overlap(`shard ${shard}: zones ${owner} and ${zone} both wrote epoch ${epoch}`);
  }
}

function overlap(detail: string): Breach {
  return { kind: 'overlapping-epochs', detail };
}
