import fc from 'fast-check';
import { type RoutingEntry } from '@borough/topology';
import { describe, expect, it } from 'vitest';
import { type Guest, mayGo, type RoomLimits, type RoomRefusal, WaitingRoom } from './waiting-room.js';

interface Numbered extends Guest {
  readonly arrival: number;
}

const always = (): boolean => true;

function serving(shard: number, epoch: number): RoutingEntry {
  return { shard, epoch, state: 'serving', owner: 'a' };
}

function moving(shard: number, epoch: number): RoutingEntry {
  return { shard, epoch, state: 'moving', owner: 'a', heir: 'b' };
}

/** A room, and a shorter way to speak of who comes and goes. */
function roomOf(limits: Partial<RoomLimits> = {}) {
  const room = new WaitingRoom<Numbered>({ maxGuests: 100, maxBytes: 1_000_000, ...limits });
  let arrivals = 0;
  const knock = (shard: number, { bytes = 1, afterEpoch = 1 } = {}): Numbered | RoomRefusal => {
    const refusal = room.refusalOf(shard, bytes);
    if (refusal !== undefined) return refusal;
    const guest = { shard, bytes, afterEpoch, arrival: arrivals };
    arrivals += 1;
    room.enter(guest);
    return guest;
  };
  const drain = (hasRoom: (shard: number) => boolean = always): Numbered[] => {
    const gone: Numbered[] = [];
    for (let guest = room.next(hasRoom); guest !== undefined; guest = room.next(hasRoom)) gone.push(guest);
    return gone;
  };
  return { room, knock, drain };
}

describe('who may go', () => {
  it.each<[string, RoutingEntry | undefined, boolean]>([
    ['a later epoch serves', serving(1, 2), true],
    ['the same epoch serves', serving(1, 1), false],
    ['an earlier epoch serves', serving(1, 0), false],
    ['a later epoch moves', moving(1, 2), false],
    ['a later epoch is fenced', { shard: 1, epoch: 2, state: 'fenced', owner: 'a' }, false],
    ['nothing is known of the shard', undefined, false],
  ])('after epoch 1, when %s', (_what, entry, expected) => {
    expect(mayGo(entry, 1)).toBe(expected);
  });
});

describe('those who wait', () => {
  it('go when their shard serves at a later epoch, in the order they came', () => {
    const { room, knock, drain } = roomOf();
    const guests = [knock(1), knock(1), knock(1)];
    knock(2);
    room.take(serving(1, 2));

    expect(drain()).toEqual(guests);
    expect(room.size).toBe(1);
  });

  it('stay when it serves at the epoch they wait for the end of', () => {
    const { room, knock, drain } = roomOf();
    knock(1, { afterEpoch: 2 });
    const early = knock(1, { afterEpoch: 1 });
    room.take(serving(1, 2));

    expect(drain()).toEqual([early]);
    expect(room.isWaiting).toBe(true);
  });

  it('take turns with other shards: a long queue keeps no short one waiting', () => {
    const { room, knock, drain } = roomOf();
    for (const shard of [1, 1, 1, 1, 2, 2, 3]) knock(shard);
    for (const shard of [1, 2, 3]) room.take(serving(shard, 2));

    expect(drain().map(({ shard }) => shard)).toEqual([1, 2, 3, 1, 2, 1, 1]);
  });

  it('are passed over while there is no room for their shard, and keep their place', () => {
    const { room, knock, drain } = roomOf();
    for (const shard of [1, 1, 2]) knock(shard);
    for (const shard of [1, 2]) room.take(serving(shard, 2));

    expect(drain((shard) => shard === 2).map(({ shard }) => shard)).toEqual([2]);
    expect(drain().map(({ arrival }) => arrival)).toEqual([0, 1]);
  });

  it('wait on, before those who came later, when their shard moves again before their turn', () => {
    const { room, knock, drain } = roomOf();
    knock(1);
    knock(1);
    room.take(serving(1, 2));
    room.next(always);
    room.take(moving(1, 2));
    knock(1, { afterEpoch: 2 });
    expect(drain()).toEqual([]);
    room.take(serving(1, 3));

    expect(drain().map(({ arrival }) => arrival)).toEqual([1, 2]);
  });

  it('may be made ready one by one, and leave from anywhere', () => {
    const { room, knock, drain } = roomOf();
    const [first, second, third] = [knock(1), knock(1), knock(1)] as [Numbered, Numbered, Numbered];
    room.makeReady(second);
    room.makeReady(third);
    room.leave(second);
    room.leave(first);
    room.leave(first);

    expect(drain()).toEqual([third]);
    expect([room.size, room.bytesHeld, room.isWaiting, room.isReady]).toEqual([0, 0, false, false]);
  });
});

describe('the bounds', () => {
  it('on number and on bytes refuse the newcomer and nobody else', () => {
    const full = roomOf({ maxGuests: 2 });
    full.knock(1);
    full.knock(2);
    const heavy = roomOf({ maxBytes: 10 });
    heavy.knock(1, { bytes: 7 });

    expect(full.knock(3)).toBe('full');
    expect(heavy.knock(2, { bytes: 4 })).toBe('bytes');
    expect(heavy.knock(2, { bytes: 3 })).toMatchObject({ bytes: 3 });
  });

  it('let one shard have three quarters, and keep the rest for others', () => {
    const { room, knock } = roomOf({ maxGuests: 100 });
    while (typeof knock(1) === 'object');
    expect(room.size).toBe(75);
    while (typeof knock(2) === 'object');

    expect(room.size).toBe(100);
    expect([knock(1), knock(2), knock(3)]).toEqual(['full', 'full', 'full']);
  });

  it('count bytes by shares too', () => {
    const { knock } = roomOf({ maxBytes: 100 });
    knock(1, { bytes: 80 });

    expect(knock(1, { bytes: 1 })).toBe('share');
    expect(knock(2, { bytes: 20 })).toMatchObject({ shard: 2 });
  });

  it('let even shards fill the room evenly', () => {
    const { room, knock } = roomOf({ maxGuests: 100 });
    for (let at = 0; at < 100; at += 1) knock(at % 10);

    expect(room.size).toBe(100);
  });
});

describe('whatever happens', () => {
  const step = fc.oneof(
    fc.record({ do: fc.constant('knock' as const), shard: fc.nat(3), bytes: fc.nat(9) }),
    fc.record({ do: fc.constant('serve' as const), shard: fc.nat(3) }),
    fc.record({ do: fc.constant('move' as const), shard: fc.nat(3) }),
    fc.record({ do: fc.constant('next' as const), shard: fc.nat(3) }),
    fc.record({ do: fc.constant('leave' as const), shard: fc.nat(50) }),
    fc.record({ do: fc.constant('retry' as const), shard: fc.nat(50) }),
  );

  it('bounds hold, nobody is lost or goes twice, and each shard goes first come, first served', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), fc.integer({ min: 1, max: 20 }), (steps, maxGuests) => {
        const { room, knock } = roomOf({ maxGuests, maxBytes: 60 });
        const epochs = [1, 1, 1, 1];
        const states = ['moving', 'moving', 'moving', 'moving'];
        const inside = new Set<Numbered>();
        const wasRetried = new Set<Numbered>();
        const everyone: Numbered[] = [];
        for (const { do: what, shard, ...more } of steps) {
          const guest = everyone[shard];
          if (what === 'knock') {
            const came = knock(shard, { bytes: 'bytes' in more ? more.bytes : 0, afterEpoch: epochs[shard] ?? 0 });
            if (typeof came === 'object') {
              everyone.push(came);
              inside.add(came);
            }
          } else if (what === 'serve') {
            epochs[shard] = (epochs[shard] ?? 0) + 1;
            states[shard] = 'serving';
            room.take(serving(shard, epochs[shard]));
          } else if (what === 'move') {
            states[shard] = 'moving';
            room.take(moving(shard, epochs[shard] ?? 0));
          } else if (what === 'next') {
            const gone = room.next((candidate) => candidate === shard);
            if (gone !== undefined) {
              expect(inside.delete(gone)).toBe(true);
              expect(gone.shard).toBe(shard);
              if (!wasRetried.has(gone)) {
                expect([states[shard], gone.afterEpoch < (epochs[shard] ?? 0)]).toEqual(['serving', true]);
                const overtaken = [...inside].find((one) => one.shard === shard && one.arrival < gone.arrival);
                expect(overtaken).toBeUndefined();
              }
            }
          } else if (guest !== undefined && what === 'leave') {
            room.leave(guest);
            inside.delete(guest);
          } else if (guest !== undefined) {
            room.makeReady(guest);
            wasRetried.add(guest);
          }
          expect(room.size).toBe(inside.size);
          expect(room.size).toBeLessThanOrEqual(maxGuests);
          expect(room.bytesHeld).toBe([...inside].reduce((sum, { bytes }) => sum + bytes, 0));
          expect(room.bytesHeld).toBeLessThanOrEqual(60);
          expect(new Set(room.all())).toEqual(inside);
        }
      }),
    );
  });

  it('a shard that holds less than its share gets in as long as there is a place and its bytes fit', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(9), { minLength: 40, maxLength: 400 }), (shards) => {
        const { room, knock } = roomOf({ maxGuests: 40 });
        const held = new Map<number, number>();
        for (const shard of shards) {
          const own = held.get(shard) ?? 0;
          const sharers = Math.max(2, held.size + (held.has(shard) ? 0 : 1));
          const isFull = room.size >= 40;
          const came = knock(shard);
          if (own < 40 / sharers) expect(typeof came).toBe(isFull ? 'string' : 'object');
          if (typeof came === 'object') held.set(shard, own + 1);
        }
      }),
    );
  });
});
