import { createLogger } from '@borough/server-kit';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type LinkFacts } from '../voters/voter.js';
import { LinkHealthWatch } from './link-health-watch.js';

const logger = createLogger('test', 'silent');

let nowMs: number;
let facts: Map<string, LinkFacts>;
let watch: LinkHealthWatch;

beforeEach(() => {
  nowMs = 0;
  vi.spyOn(performance, 'now').mockImplementation(() => nowMs);
  facts = new Map([
    ['a', factsOf('a', 'b')],
    ['b', factsOf('b', 'a')],
  ]);
  watch = new LinkHealthWatch({ facts: () => Promise.resolve(facts), logger });
});

afterEach(() => {
  vi.restoreAllMocks();
});

function factsOf(zone: string, other: string, more: Partial<LinkFacts> = {}): LinkFacts {
  return {
    zone,
    incoming: [
      {
        from: other,
        isSubscribed: true,
        isEnabled: true,
        hasWorker: true,
        beatAgeMs: 200,
        position: 1,
        applyErrors: 0,
        conflicts: {},
        isSealed: false,
      },
    ],
    outgoing: [{ to: other, hasSlot: true, isActive: true, isCounted: true, isLost: false, lagBytes: zone.length }],
    keptLogBytes: null,
    commitsWaitMs: 0,
    ...more,
  };
}

describe('the watch of links', () => {
  it('tells of each zone what comes in there, with what the other end says of it', async () => {
    facts.set('b', factsOf('b', 'a', { outgoing: [] }));
    await watch.sample();

    expect(watch.linksOf('a').map(({ status }) => [status.from, status.state, status.lagBytes])).toEqual([
      ['b', 'streaming', undefined],
    ]);
    expect(watch.linksOf('b').map(({ status }) => [status.from, status.lagBytes])).toEqual([['a', 1]]);
  });

  it('tells nothing of a zone that has not answered for five seconds', async () => {
    await watch.sample();
    facts.delete('a');
    nowMs = 5_100;
    await watch.sample();

    expect(watch.linksOf('a')).toEqual([]);
    expect(watch.commitProblems('a')).toEqual([]);
    expect(watch.linksOf('b')).toHaveLength(1);
  });

  it('tells of commits that wait for longer than a silent member is waited for', async () => {
    facts.set('a', factsOf('a', 'b', { commitsWaitMs: 1_900 }));
    await watch.sample();
    expect(watch.commitProblems('a')).toEqual([]);

    facts.set('a', factsOf('a', 'b', { commitsWaitMs: 3_100 }));
    await watch.sample();
    expect(watch.commitProblems('a')).toEqual([
      expect.stringMatching(/have waited for 3\.1 s.*member-not-acknowledging/),
    ]);
    expect(watch.commitProblems('b')).toEqual([]);
  });
});
