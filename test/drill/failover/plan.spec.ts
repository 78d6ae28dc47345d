import { expect, it } from 'vitest';
import { seededRandom } from '../../load/replay/seeded-random.js';
import { FAILOVER_FAULTS, planRounds, type PlanOptions } from './plan.js';

const ZONES = ['a', 'b', 'c'];

function planned(more: Partial<PlanOptions> = {}, seed = 1) {
  return planRounds({
    rounds: 36,
    faults: [],
    zones: ZONES,
    crashPoints: ['one', 'two'],
    random: seededRandom(seed),
    ...more,
  });
}

it('the same seed plans the same rounds, another seed others', () => {
  expect(planned()).toEqual(planned());
  expect(planned({}, 2)).not.toEqual(planned());
});

it('every fault comes once before any comes again', () => {
  const faults = planned().map(({ fault }) => fault);
  for (const turn of [0, 1, 2]) {
    const ofTurn = faults.slice(turn * FAILOVER_FAULTS.length, (turn + 1) * FAILOVER_FAULTS.length);
    expect(new Set(ofTurn)).toEqual(new Set(FAILOVER_FAULTS));
  }
});

it('only the faults asked for come, each as often', () => {
  const faults = planned({ rounds: 10, faults: ['zone-killed', 'cut-off'] }).map(({ fault }) => fault);
  expect([...faults].sort()).toEqual([...Array<string>(5).fill('cut-off'), ...Array<string>(5).fill('zone-killed')]);
});

it('every zone is lost, and the peer is always another zone', () => {
  const rounds = planned();
  expect(new Set(rounds.map(({ zone }) => zone))).toEqual(new Set(ZONES));
  for (const { zone, peer } of rounds) {
    expect(ZONES).toContain(peer);
    expect(peer).not.toBe(zone);
  }
});

it('coordinators are killed at each step in turn', () => {
  const points = planned({ rounds: 4, faults: ['coordinator-killed'] }).map(({ crashPoint }) => crashPoint);
  expect(points).toEqual(['one', 'two', 'one', 'two']);
});
